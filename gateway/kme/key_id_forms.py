"""Forms in which a KME writes key_IDs: the standard's, and two that occur in the field.

A KME that writes another form takes back no other either.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiohttp import web

_UUID: Final = re.compile(
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
)


@dataclass(frozen=True, slots=True)
class KeyIDForm:
    """One way to write key_IDs.

    Attributes:
        write: Makes the text.
        read: Reads it; None if it is none.
    """

    write: Callable[[UUID], str]
    read: Callable[[str], UUID | None]


def _read_uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


def _write_upper(key_id: UUID) -> str:
    return str(key_id).upper()


def _write_long(key_id: UUID) -> str:
    return f"Link7/{key_id.hex}{key_id.hex[::-1]}"


def _read_only(write: Callable[[UUID], str]) -> Callable[[str], UUID | None]:
    def read(text: str) -> UUID | None:
        found = re.search("[0-9A-Fa-f]{32}", text.replace("-", ""))
        key_id = UUID(found[0]) if found else None
        return key_id if key_id is not None and write(key_id) == text else None

    return read


CANONICAL: Final = KeyIDForm(str, _read_uuid)
"""UUIDs (ETSI GS QKD 014 V1.1.1, 6.3); either case is taken back (RFC 9562, 4)."""

UPPER: Final = KeyIDForm(_write_upper, _read_only(_write_upper))
LONG: Final = KeyIDForm(_write_long, _read_only(_write_long))
"""70 characters: 38 bytes in the place of 16."""

FORM: Final = web.RequestKey("key_id_form", KeyIDForm)
"""Where a request keeps the form that it is answered in."""
