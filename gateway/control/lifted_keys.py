"""Keys lifted out of a request before it is parsed.

A JSON parser makes immutable text of every value, and text cannot be overwritten. So
each value of a member ``key`` is decoded in place, byte by byte, and replaced in the
line by a mark. Once the line is parsed, the mark is replaced by the `Secret`.
"""

import re
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from gateway.control.limits import MAX_DEPTH
from gateway.secret import Secret

_MEMBER: Final = re.compile(rb'"key"[ \t\r]*:[ \t\r]*"((?:[^"\\]|\\.){8,})"')
"""A member ``key`` with text of eight bytes or more: what is shorter is no key, and has
no room for a mark. One that hides its name behind an escape is refused later, since
keys are taken as `Secret` alone."""

_MARK: Final = re.compile(r"#(\d{1,6}) *")

_ALPHABET: Final = f"{ascii_uppercase}{ascii_lowercase}{digits}+/".encode()
"""Of base64 (RFC 4648, section 4)."""

_NONE: Final = 0xFF
_VALUES: Final = bytes(
    _ALPHABET.index(byte) if byte in _ALPHABET else _NONE for byte in range(256)
)
_GROUP: Final = 4
_PAD: Final = ord("=")
_ESCAPE: Final = ord("\\")


def lift_keys(line: bytearray) -> list[Secret | None]:
    """Take the keys out of a line of JSON, and leave marks in it.

    Returns:
        A key for each mark, None where the text was no base64.
    """
    spans = [found.span(1) for found in _MEMBER.finditer(line)]
    lifted: list[Secret | None] = []
    for number, (start, end) in enumerate(spans):
        with memoryview(line)[start:end] as text:
            lifted.append(decode_base64(text))
        line[start:end] = f"#{number}".encode().ljust(end - start)
    return lifted


def put_back(value: object, lifted: Sequence[Secret | None]) -> object:
    """Replace the marks in a parsed line by what was lifted; in place where it can."""
    return _put_back(value, lifted, MAX_DEPTH)


def _put_back(value: object, lifted: Sequence[Secret | None], depth: int) -> object:
    if depth == 0 or not lifted:
        return value
    if isinstance(value, dict):
        for name, member in value.items():
            mark = _MARK.fullmatch(member) if isinstance(member, str) else None
            if name == "key" and mark is not None and int(mark[1]) < len(lifted):
                value[name] = lifted[int(mark[1])]
            else:
                _put_back(member, lifted, depth - 1)
    elif isinstance(value, list):
        for element in value:
            _put_back(element, lifted, depth - 1)
    return value


def decode_base64(text: memoryview) -> Secret | None:
    r"""Return the bytes that base64 stands for, or None if it is none.

    Strict, as RFC 4648, section 3: with its padding, and nothing else in between. JSON
    may write ``/`` as ``\/``. Nothing is copied that is not overwritten.
    """
    plain = bytearray(len(text))
    decoded = bytearray(len(text))
    try:
        length = _unescape(text, plain)
        size = _decode(plain, length, decoded)
        if size is None:
            return None
        with memoryview(decoded)[:size] as key:
            return Secret(key)
    finally:
        plain[:] = bytes(len(plain))
        decoded[:] = bytes(len(decoded))


def _unescape(text: memoryview, plain: bytearray) -> int:
    length = 0
    for index, byte in enumerate(text):
        if byte == _ESCAPE and bytes(text[index + 1 : index + 2]) == b"/":
            continue
        plain[length] = byte
        length += 1
    return length


def _decode(plain: bytearray, length: int, decoded: bytearray) -> int | None:
    if length % _GROUP:
        return None
    padding = 0
    while padding < min(length, _GROUP - 2) and plain[length - 1 - padding] == _PAD:
        padding += 1
    size = bits = held = 0
    for index in range(length - padding):
        value = _VALUES[plain[index]]
        if value == _NONE:
            return None
        held = held << 6 | value
        bits += 6
        if bits >= 8:  # noqa: PLR2004  # a byte is complete
            bits -= 8
            decoded[size] = held >> bits
            size += 1
            held &= (1 << bits) - 1
    return None if held else size
