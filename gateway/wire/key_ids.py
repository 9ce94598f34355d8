"""key_IDs: UUIDs as the standard has them, and other names that KMEs give to keys.

Within a gateway, and wherever 16 bytes stand for a key, a key is called by a UUID. One
that its KME calls otherwise keeps that text beside it, and goes back under that text.
"""

import hashlib
import re
from typing import Final
from uuid import UUID

KEY_ID_SIZE: Final = 16
"""Bytes of a UUID."""

MAX_KEY_ID_TEXT: Final = 128
"""Characters of a key_ID. ETSI GS QKD 014 V1.1.1, 6.3, has a UUID of 36; KMEs are known
to write hexadecimal digests, of at most 64 bytes. One such name fits an M1."""

_FIRST_PRINTABLE: Final = 0x21
_LAST_PRINTABLE: Final = 0x7E
"""Printable ASCII without the space: names go into URLs, and from peers to KMEs."""

_HEX: Final = "[0-9A-Fa-f]"
_UUID: Final = re.compile(
    rf"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}|{_HEX}{{32}}"
)
"""The form of RFC 9562, 4, with or without hyphens, and no other."""

_LABEL: Final = b"qgw key_ID v1"
_VERSION: Final = 8
"""RFC 9562, 5.8: a UUID made in a way of our own."""


class NamedKeyID(UUID):
    """A key_ID that its KME does not write as RFC 9562 does, in lower case.

    It equals the plain UUID of the same bytes, which is what logs and status show: a
    text that is no UUID might be anything, the key itself included.

    Attributes:
        text: What the KME calls the key.
    """

    __slots__ = ("text",)
    text: str

    def __init__(self, value: UUID, text: str) -> None:
        super().__init__(int=value.int)
        object.__setattr__(self, "text", text)


def parse_key_id(text: object) -> UUID | None:
    """Read a key_ID as somebody wrote it; None if it is none.

    A UUID in either case, with or without hyphens, is that UUID; of other texts a
    digest is taken.
    """
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_KEY_ID_TEXT:
        return None
    if not all(_FIRST_PRINTABLE <= ord(c) <= _LAST_PRINTABLE for c in text):
        return None
    if _UUID.fullmatch(text):
        plain = UUID(text)
        return plain if text == str(plain) else NamedKeyID(plain, text)
    return NamedKeyID(_digest(text), text)


def key_id_text(key_id: UUID) -> str:
    """Return what its KME calls a key."""
    return key_id.text if isinstance(key_id, NamedKeyID) else str(key_id)


def is_uuid(key_id: UUID) -> bool:
    """Whether its KME calls a key by a UUID, in whatever form."""
    return key_id_text(key_id).lower().replace("-", "") == key_id.hex


def key_id_of(name: bytes, text: str | None) -> UUID:
    """Put a key_ID together again.

    Args:
        name: Its 16 bytes.
        text: What the KME calls it, None if that follows from the bytes. A text that
            does not belong to them is left out.
    """
    plain = UUID(bytes=name)
    found = parse_key_id(text)
    return plain if found is None or found != plain else found


def _digest(text: str) -> UUID:
    digest = bytearray(hashlib.sha256(_LABEL + text.encode()).digest()[:KEY_ID_SIZE])
    digest[6] = digest[6] & 0x0F | _VERSION << 4
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
