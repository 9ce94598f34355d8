"""Control messages by which two gateways keep the stock of a link in step.

They go to the link of the tunnel they arrive over, so they name none. The one that
draws keys announces them; the other fetches the same ones and answers. A page lists
all that the sender holds in a span of key_IDs, so that two stocks can be compared
from end to end, whatever became of them.
"""

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final
from uuid import UUID

from gateway.errors import ProtocolError
from gateway.wire.key_ids import (
    KEY_ID_SIZE,
    NamedKeyID,
    key_id_text,
    parse_key_id,
)

CHECK_SIZE: Final = 4
"""Bytes of a key's check value: two KMEs that disagree are found out at once, save
for one key in 4 billion, and 32 bits behind an AEAD tell nobody anything of 256."""

NO_CHECK: Final = bytes(CHECK_SIZE)
"""Announced of pads, and compared with nothing."""

MAX_KEYS: Final = 64
"""Keys that one message names, at most: 1,286 bytes with their checks, if they are
named by UUIDs; of other names as many as the path carries."""

_ANNOUNCE, _PAGE, _ANSWER, _ANNOUNCE_NAMED = 6, 7, 8, 12
STOCK_TYPES: Final = frozenset({_ANNOUNCE, _PAGE, _ANSWER, _ANNOUNCE_NAMED})
"""The first bytes that `decode_stock` knows."""

_HEAD: Final = struct.Struct("!BIB")
_SPAN: Final = struct.Struct("!16s16s")
_COUNTS: Final = struct.Struct("!QI")

ANNOUNCE_SIZE: Final = _HEAD.size
ANNOUNCED_KEY_SIZE: Final = KEY_ID_SIZE + CHECK_SIZE
"""Bytes of an announcement without keys, and of each key in it."""

PAGE_SIZE: Final = _HEAD.size + _SPAN.size
PAGE_KEY_SIZE: Final = KEY_ID_SIZE
"""The same of a page."""


class Holding(IntEnum):
    """What the answering end says of one key."""

    UNKNOWN = 0
    """It does not have the key, and its KME does not either."""
    HELD = 1
    """It has the key in stock."""
    USED = 2
    """The key may never be used: consumed there, expired, or not the same bytes."""
    LATER = 3
    """It cannot tell yet: its KME is slow or down, or its stock is full."""


@dataclass(frozen=True, slots=True)
class Announced:
    """One key that the sender has drawn.

    Attributes:
        key_id: Its key_ID.
        check: `CHECK_SIZE` bytes that follow from the key (docs/protocol.md).
    """

    key_id: UUID
    check: bytes


@dataclass(frozen=True, slots=True)
class StockAnnounce:
    """Says which keys the sender has drawn from its KME for both.

    Attributes:
        serial: Grows with every announcement and page of one run of the sender.
        keys: At most `MAX_KEYS`; none asks only for an answer.
    """

    serial: int
    keys: tuple[Announced, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class StockPage:
    """Lists every unused key of the sender in a span of key_IDs.

    Attributes:
        serial: As in `StockAnnounce`, one sequence for both.
        after: The span begins behind this key_ID.
        until: The span's last key_ID.
        key_ids: At most `MAX_KEYS`, ascending.
    """

    serial: int
    after: UUID
    until: UUID
    key_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class StockAnswer:
    """Answers an announcement or a page.

    Attributes:
        serial: The serial answered.
        run: Drawn at random when the sender started: another one means that its
            store may be another one too.
        available: Keys the sender has available in all, at most 2**32 - 1.
        holdings: One for each key asked about, in that order.
    """

    serial: int
    run: int
    available: int
    holdings: tuple[Holding, ...]


def how_many_fit(keys: Iterable[Announced], room: int) -> int:
    """Return how many of the first keys one announcement takes, one at least.

    Args:
        keys: Those to be announced.
        room: Bytes that a message may have.
    """
    count = plain = named = 0
    is_named = False
    for key in itertools.islice(keys, MAX_KEYS):
        plain += ANNOUNCED_KEY_SIZE
        named += 1 + len(key_id_text(key.key_id)) + CHECK_SIZE
        is_named |= isinstance(key.key_id, NamedKeyID)
        if ANNOUNCE_SIZE + (named if is_named else plain) > room and count:
            break
        count += 1
    return count


def encode_stock(message: StockAnnounce | StockPage | StockAnswer) -> bytes:
    """Return the plaintext of a message about stock."""
    match message:
        case StockAnnounce(serial, keys):
            if any(isinstance(key.key_id, NamedKeyID) for key in keys):
                return _encode_named(serial, keys)
            head = _HEAD.pack(_ANNOUNCE, serial, len(keys))
            return head + b"".join(key.key_id.bytes + key.check for key in keys)
        case StockPage(serial, after, until, key_ids):
            head = _HEAD.pack(_PAGE, serial, len(key_ids))
            span = _SPAN.pack(after.bytes, until.bytes)
            return head + span + b"".join(key_id.bytes for key_id in key_ids)
        case StockAnswer(serial, run, available, holdings):
            head = _HEAD.pack(_ANSWER, serial, len(holdings))
            return head + _COUNTS.pack(run, available) + bytes(holdings)


def decode_stock(data: bytes) -> StockAnnounce | StockPage | StockAnswer:
    """Read a plaintext whose first byte is in `STOCK_TYPES`.

    Raises:
        ProtocolError: ``control``.
        struct.error: It is too short.
        ValueError: A holding is none, or a name is no ASCII.
        IndexError: It is too short.
    """
    kind, serial, count = _HEAD.unpack_from(data)
    if count > MAX_KEYS:
        raise ProtocolError("control")
    body = data[_HEAD.size :]
    if kind == _ANNOUNCE:
        parts = _split(body, count, ANNOUNCED_KEY_SIZE)
        keys = (
            Announced(UUID(bytes=part[:KEY_ID_SIZE]), part[KEY_ID_SIZE:])
            for part in parts
        )
        return StockAnnounce(serial, tuple(keys))
    if kind == _ANNOUNCE_NAMED:
        return StockAnnounce(serial, _decode_named(body, count))
    if kind == _PAGE:
        after, until = _SPAN.unpack_from(body)
        parts = _split(body[_SPAN.size :], count, PAGE_KEY_SIZE)
        key_ids = tuple(UUID(bytes=part) for part in parts)
        ascending = all(a < b for a, b in itertools.pairwise(key_ids))
        inside = not parts or after < parts[0] <= parts[-1] <= until
        if not (ascending and inside and after <= until):
            raise ProtocolError("control")
        return StockPage(serial, UUID(bytes=after), UUID(bytes=until), key_ids)
    run, available = _COUNTS.unpack_from(body)
    holdings = _split(body[_COUNTS.size :], count, 1)
    return StockAnswer(serial, run, available, tuple(Holding(h[0]) for h in holdings))


def _encode_named(serial: int, keys: Sequence[Announced]) -> bytes:
    parts = [_HEAD.pack(_ANNOUNCE_NAMED, serial, len(keys))]
    for key in keys:
        text = key_id_text(key.key_id).encode("ascii")
        parts += (bytes([len(text)]), text, key.check)
    return b"".join(parts)


def _decode_named(body: bytes, count: int) -> tuple[Announced, ...]:
    keys = []
    at = 0
    for _ in range(count):
        end = at + 1 + body[at]
        key_id = parse_key_id(body[at + 1 : end].decode("ascii"))
        check = body[end : end + CHECK_SIZE]
        if key_id is None or len(check) != CHECK_SIZE:
            raise ProtocolError("control")
        keys.append(Announced(key_id, check))
        at = end + CHECK_SIZE
    if at != len(body) or not any(isinstance(k.key_id, NamedKeyID) for k in keys):
        raise ProtocolError("control")
    return tuple(keys)


def _split(data: bytes, count: int, size: int) -> list[bytes]:
    if len(data) != count * size:
        raise ProtocolError("control")
    return [data[at : at + size] for at in range(0, len(data), size)]
