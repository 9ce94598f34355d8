"""A KME's own words for what went wrong, as far as they can be repeated.

A KME's own message is what an operator needs most, and it comes from outside: whatever
looks like a key, an ID or a token in it is left out.
"""

import re
from collections.abc import Iterator, Mapping

from gateway.sources.http.limits import MAX_MESSAGE

_LONG = 12
"""Characters of a word that is left out unless it is plainly a word: 12 of base64 are
72 bits of a key."""

_LONGEST = 24
"""Characters of a plain word; the standard's messages have "extension_mandatory"."""

_PAGE = 2048
"""Bytes of an error page that are read; nginx's own have some 200."""

_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(rf"[A-Za-z0-9+/=_\-]{{{_LONG},}}")
_PLAIN = re.compile(r"[A-Z]?[a-z]+(?:[_\-][a-z]+)*")
_PLAIN_NAMES = frozenset({"additional_slave_SAE_IDs", "max_key_per_request"})
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:,.\-]?){6,}")


_PLACES = ("message", "title", "detail", "details", "error", "error_description")
"""Members in which KMEs say what is wrong: the standard's (ETSI GS QKD 014 V1.1.1,
6.5), problem details (RFC 9457, 3.1), web frameworks' own, OAuth's."""

_INNER = (*_PLACES, "msg", "reason")
"""The same one level down; FastAPI has a list of objects with ``msg``."""

_MAX_PARTS = 4
"""Things said that are repeated: an error names one or two."""


def words_of(members: Mapping[str, object]) -> str:
    """Return what the JSON of an error says, raw: short texts, in order, none twice."""
    parts: dict[str, None] = {}
    for place in _PLACES:
        for text in _texts(members.get(place), 2):
            if len(parts) < _MAX_PARTS and text.strip():
                parts[text.strip()] = None
    return "; ".join(parts)


def _texts(value: object, depth: int) -> Iterator[str]:
    """Yield the texts in a member's value, none of its names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for entry in value[:_MAX_PARTS]:
            yield from _texts(entry, depth - 1)
    elif isinstance(value, Mapping) and depth:
        for place in _INNER:
            yield from _texts(value.get(place), depth - 1)


def text_of_page(body: bytes) -> str:
    """Return the words of an error page: what stands before a KME answers in HTML."""
    text = body[:_PAGE].decode("ascii", "replace")
    return " ".join(_TAG.sub(" ", text).split())


def repeatable(said: str) -> str:
    """Return what can be shown of a KME's words: one line, without what may be a key.

    Args:
        said: Any text.

    Returns:
        At most `MAX_MESSAGE` printable ASCII characters, possibly none.
    """
    line = " ".join(said[: 4 * MAX_MESSAGE].split())
    line = "".join(c if " " <= c <= "~" else "?" for c in line)
    line = _HEX.sub("[...]", _WORD.sub(_veil, line))
    if len(line) > MAX_MESSAGE:
        line = line[:MAX_MESSAGE].rstrip() + " ..."
    return line


def quoted(said: str) -> str:
    """Return ``: "words"`` to stand at the end of a message, or an empty string."""
    line = repeatable(said)
    return f': "{line}"' if line else ""


def _veil(word: re.Match[str]) -> str:
    text = word[0]
    is_plain = len(text) <= _LONGEST and _PLAIN.fullmatch(text)
    if is_plain or text in _PLAIN_NAMES:
        return text
    return "[...]"
