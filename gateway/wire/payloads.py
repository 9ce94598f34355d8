"""Encrypted payloads of an initiation and a response.

Both are padded to one fixed size, so that an observer learns neither the tunnel's
name nor how many QKD keys were offered. All integers are big-endian.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from uuid import UUID

from gateway.errors import ProtocolError
from gateway.wire.header import ID_SIZE
from gateway.wire.key_ids import (
    KEY_ID_SIZE,
    MAX_KEY_ID_TEXT,
    NamedKeyID,
    key_id_text,
    parse_key_id,
)

INITIATION_PAYLOAD_SIZE: Final = 256
RESPONSE_PAYLOAD_SIZE: Final = 112

MAX_OFFERED_KEYS: Final = 8
"""QKD key_IDs in one initiation: enough that two stocks that differ by a few keys
still meet, few enough for the third fragment."""

MAX_NAME_SIZE: Final = 32
MAX_PLANE_OFFER_SIZE: Final = 48
"""Bytes; WireGuard needs 35."""

CHAIN_ID_SIZE: Final = 16

_BY_TEXT: Final = 0x80
"""Set in the number of keys offered: they are named by text."""

_FLAG_PSK: Final = 1
_FLAG_ENCAP: Final = 2
_FLAG_CHAIN: Final = 4
_FLAG_KEY: Final = 8

_FIRST_PRINTABLE: Final = 0x21
_LAST_PRINTABLE: Final = 0x7E


class Policy(IntEnum):
    """QKD policy on the wire."""

    OFF = 0
    PREFERRED = 1
    REQUIRED = 2


class PlaneKind(IntEnum):
    """What both ends' data planes must agree on."""

    ESP = 1
    WIREGUARD = 2


class Status(IntEnum):
    """The responder's verdict on an initiation."""

    ACCEPTED = 0
    UNKNOWN_TUNNEL = 1
    STALE_EPOCH = 2
    ROLE_CONFLICT = 3
    PLANE_MISMATCH = 4
    PSK_MISMATCH = 5
    QKD_UNAVAILABLE = 6
    POLICY_MISMATCH = 7
    NOT_READY = 8
    EPOCH_LEAP = 9


@dataclass(frozen=True, slots=True)
class Terms:
    """What each end tells the other of its configuration.

    Attributes:
        policy: QKD policy.
        plane: Kind of data plane.
        psk: Whether a static PSK is configured.
        encap: Whether ESP travels in UDP.
        interval_ms: Rotation interval, milliseconds.
        qkd_every: Epochs from one fresh QKD key to the next, from 1.
    """

    policy: Policy
    plane: PlaneKind
    psk: bool
    encap: bool
    interval_ms: int
    qkd_every: int = 1


@dataclass(frozen=True, slots=True)
class InitiationPayload:
    """The second encrypted part of M1.

    Attributes:
        tunnel: Name, 1 to 32 ASCII characters.
        epoch: Number of the epoch proposed.
        terms: The initiator's configuration.
        chain_id: 16 bytes naming the chain secret held, or None.
        key_ids: QKD keys offered, no more than `keys_that_fit`.
        plane_offer: Opaque to the handshake, at most `MAX_PLANE_OFFER_SIZE` bytes.
    """

    tunnel: str
    epoch: int
    terms: Terms
    chain_id: bytes | None
    key_ids: tuple[UUID, ...]
    plane_offer: bytes


@dataclass(frozen=True, slots=True)
class ResponsePayload:
    """The first encrypted part of M2.

    Attributes:
        status: Accepted, or why not.
        session_id: The responder's session identifier, 8 bytes.
        epoch: The last epoch the responder committed.
        terms: The responder's configuration.
        chained: Whether the chain secret named in M1 is mixed in.
        key_id: The QKD key chosen, or None.
        used: Positions of offered keys that the responder knows to be used up.
        plane_offer: As in `InitiationPayload`.
    """

    status: Status
    session_id: bytes
    epoch: int
    terms: Terms
    chained: bool
    key_id: UUID | None
    used: frozenset[int]
    plane_offer: bytes


_TERMS: Final = struct.Struct("!BBBIH")
_INITIATION: Final = struct.Struct(f"!Q{CHAIN_ID_SIZE}s")
_RESPONSE: Final = struct.Struct(f"!B{ID_SIZE}sQ{KEY_ID_SIZE}sB")

_OFFER_SIZE: Final = INITIATION_PAYLOAD_SIZE - (
    _TERMS.size + _INITIATION.size + 1 + MAX_NAME_SIZE + 1 + MAX_PLANE_OFFER_SIZE + 1
)
"""Bytes of names offered: 140, whatever the lengths of what stands before them."""


def encode_initiation(payload: InitiationPayload) -> bytes:
    """Return `INITIATION_PAYLOAD_SIZE` bytes."""
    name = payload.tunnel.encode("ascii")
    flags = _FLAG_CHAIN if payload.chain_id is not None else 0
    parts = [
        _encode_terms(payload.terms, flags),
        _INITIATION.pack(payload.epoch, payload.chain_id or bytes(CHAIN_ID_SIZE)),
        _prefixed(name, MAX_NAME_SIZE),
        _prefixed(payload.plane_offer, MAX_PLANE_OFFER_SIZE),
        _encode_offer(payload.key_ids),
    ]
    return b"".join(parts).ljust(INITIATION_PAYLOAD_SIZE, b"\0")


def keys_that_fit(key_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Return as many of the first keys as one initiation can offer."""
    fitting = tuple(key_ids[:MAX_OFFERED_KEYS])
    while len(_names(fitting)) > _OFFER_SIZE:
        fitting = fitting[:-1]
    return fitting


def decode_initiation(data: bytes) -> InitiationPayload:
    """Read what `encode_initiation` wrote.

    Raises:
        ProtocolError: ``payload``.
    """
    reader = _PayloadReader(data, INITIATION_PAYLOAD_SIZE)
    terms, flags = _decode_terms(reader, _FLAG_CHAIN)
    epoch, chain_id = _INITIATION.unpack(reader.take(_INITIATION.size))
    if not flags & _FLAG_CHAIN and any(chain_id):
        raise ProtocolError("payload")
    name = _decode_name(reader.prefixed(MAX_NAME_SIZE))
    plane_offer = reader.prefixed(MAX_PLANE_OFFER_SIZE)
    if not epoch:
        raise ProtocolError("payload")
    key_ids = _decode_offer(reader)
    reader.finish()
    return InitiationPayload(
        name,
        epoch,
        terms,
        chain_id if flags & _FLAG_CHAIN else None,
        key_ids,
        plane_offer,
    )


def _encode_offer(key_ids: Sequence[UUID]) -> bytes:
    if len(key_ids) > len(keys_that_fit(key_ids)):
        raise ValueError(f"{len(key_ids)} QKD keys do not fit an offer")
    flag = _BY_TEXT if _are_named(key_ids) else 0
    return bytes([flag | len(key_ids)]) + _names(key_ids)


def _names(key_ids: Sequence[UUID]) -> bytes:
    if not _are_named(key_ids):
        return b"".join(key_id.bytes for key_id in key_ids)
    texts = [key_id_text(key_id).encode("ascii") for key_id in key_ids]
    return b"".join(_prefixed(text, MAX_KEY_ID_TEXT) for text in texts)


def _are_named(key_ids: Sequence[UUID]) -> bool:
    return any(isinstance(key_id, NamedKeyID) for key_id in key_ids)


def _decode_offer(reader: "_PayloadReader") -> tuple[UUID, ...]:
    number = reader.take(1)[0]
    count = number & ~_BY_TEXT
    if count > MAX_OFFERED_KEYS:
        raise ProtocolError("payload")
    if number & _BY_TEXT:
        key_ids = tuple(_take_text(reader) for _ in range(count))
    else:
        key_ids = tuple(UUID(bytes=reader.take(KEY_ID_SIZE)) for _ in range(count))
    if len(set(key_ids)) != count or bool(number & _BY_TEXT) != _are_named(key_ids):
        raise ProtocolError("payload")
    if len(_names(key_ids)) > _OFFER_SIZE:
        raise ProtocolError("payload")
    return key_ids


def _take_text(reader: "_PayloadReader") -> UUID:
    key_id = parse_key_id(reader.prefixed(MAX_KEY_ID_TEXT).decode("latin-1"))
    if key_id is None:
        raise ProtocolError("payload")
    return key_id


def encode_response(payload: ResponsePayload) -> bytes:
    """Return `RESPONSE_PAYLOAD_SIZE` bytes."""
    flags = _FLAG_CHAIN if payload.chained else 0
    key_id = bytes(KEY_ID_SIZE)
    if payload.key_id is not None:
        flags |= _FLAG_KEY
        key_id = payload.key_id.bytes
    used = sum(1 << position for position in payload.used)
    parts = [
        _encode_terms(payload.terms, flags),
        _RESPONSE.pack(payload.status, payload.session_id, payload.epoch, key_id, used),
        _prefixed(payload.plane_offer, MAX_PLANE_OFFER_SIZE),
    ]
    return b"".join(parts).ljust(RESPONSE_PAYLOAD_SIZE, b"\0")


def decode_response(data: bytes) -> ResponsePayload:
    """Read what `encode_response` wrote.

    Raises:
        ProtocolError: ``payload``.
    """
    reader = _PayloadReader(data, RESPONSE_PAYLOAD_SIZE)
    terms, flags = _decode_terms(reader, _FLAG_CHAIN | _FLAG_KEY)
    status, session_id, epoch, key_id, used = _RESPONSE.unpack(
        reader.take(_RESPONSE.size)
    )
    plane_offer = reader.prefixed(MAX_PLANE_OFFER_SIZE)
    reader.finish()
    if not flags & _FLAG_KEY and any(key_id):
        raise ProtocolError("payload")
    try:
        verdict = Status(status)
    except ValueError as error:
        raise ProtocolError("payload") from error
    return ResponsePayload(
        verdict,
        session_id,
        epoch,
        terms,
        bool(flags & _FLAG_CHAIN),
        UUID(bytes=key_id) if flags & _FLAG_KEY else None,
        frozenset(i for i in range(MAX_OFFERED_KEYS) if used >> i & 1),
        plane_offer,
    )


class _PayloadReader:
    """Takes fields off a buffer; every overrun is the peer's fault."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes, size: int) -> None:
        if len(data) != size:
            raise ProtocolError("payload")
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise ProtocolError("payload")
        field = self._data[self._position : end]
        self._position = end
        return field

    def prefixed(self, most: int) -> bytes:
        size = self.take(1)[0]
        if not 1 <= size <= most:
            raise ProtocolError("payload")
        return self.take(size)

    def finish(self) -> None:
        """Insist that only zero padding is left: no second way to say a thing."""
        if any(self._data[self._position :]):
            raise ProtocolError("payload")


def _prefixed(data: bytes, most: int) -> bytes:
    if not 1 <= len(data) <= most:
        raise ValueError(f"a field of {len(data)} bytes; 1 to {most} fit")
    return bytes([len(data)]) + data


def _encode_terms(terms: Terms, flags: int) -> bytes:
    flags |= _FLAG_PSK if terms.psk else 0
    flags |= _FLAG_ENCAP if terms.encap else 0
    return _TERMS.pack(
        terms.policy, terms.plane, flags, terms.interval_ms, terms.qkd_every
    )


def _decode_name(data: bytes) -> str:
    """Insist on printable ASCII: a peer's words go to logs and terminals."""
    if not all(_FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE for byte in data):
        raise ProtocolError("payload")
    return data.decode("ascii")


def _decode_terms(reader: _PayloadReader, more: int) -> tuple[Terms, int]:
    """Read the terms; `more` are the flags that may be set beside theirs."""
    policy, plane, flags, interval, every = _TERMS.unpack(reader.take(_TERMS.size))
    if flags & ~(_FLAG_PSK | _FLAG_ENCAP | more) or not every:
        raise ProtocolError("payload")
    try:
        terms = Terms(
            Policy(policy),
            PlaneKind(plane),
            bool(flags & _FLAG_PSK),
            bool(flags & _FLAG_ENCAP),
            interval,
            every,
        )
    except ValueError as error:
        raise ProtocolError("payload") from error
    return terms, flags
