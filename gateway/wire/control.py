"""Messages of the control channel, as they look inside its AEAD.

One byte of type, then the body. Big-endian. An unknown type is ignored by the
receiver, so that a later version can say more. Those about stock are in
`gateway.wire.stock`, those about a network of trusted nodes in `gateway.wire.network`.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.errors import ProtocolError
from gateway.wire.network import (
    NETWORK_TYPES,
    NetworkMessage,
    NodeState,
    PadStock,
    decode_network,
    encode_network,
)
from gateway.wire.stock import (
    STOCK_TYPES,
    StockAnnounce,
    StockAnswer,
    StockPage,
    decode_stock,
    encode_stock,
)


class CloseReason(IntEnum):
    """Why a peer closes."""

    STOPPED = 0
    REMOVED = 1


class RotateReason(IntEnum):
    """Why a responder asks for an early rotation."""

    OPERATOR = 0
    ADDRESS_CHANGED = 1
    LIFETIME = 2
    PLANE_LOST = 3


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `Pong` with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a `Ping`."""

    number: int


@dataclass(frozen=True, slots=True)
class InForce:
    """Says that packets under this epoch's keys arrive at the sender of this message.

    Attributes:
        epoch: The epoch.
        echo: Whether this answers the same notice from the receiver. A notice that
            is no echo is repeated until an echo comes; an echo is not answered.
    """

    epoch: int
    echo: bool


@dataclass(frozen=True, slots=True)
class RotateRequest:
    """Asks the initiator to rotate now."""

    reason: RotateReason


@dataclass(frozen=True, slots=True)
class Close:
    """Says that the sender has brought the tunnel down on purpose."""

    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Says whether something on the sender's host keeps packets out of the tunnel.

    Attributes:
        is_there: Whether it does; repeated for as long as it is so.
    """

    is_there: bool


StockMessage = StockAnnounce | StockPage | StockAnswer
ControlMessage = (
    Ping
    | Pong
    | InForce
    | RotateRequest
    | Close
    | Obstacle
    | StockMessage
    | NetworkMessage
)

_NUMBER: Final = struct.Struct("!BI")
_IN_FORCE: Final = struct.Struct("!BQB")
_SHORT: Final = struct.Struct("!BB")
_PING, _PONG, _FORCE, _ROTATE, _CLOSE = range(1, 6)
_OBSTACLE: Final = 11
"""6 to 10 are about stocks and networks."""

_SHORT_TYPES: Final = {RotateRequest: _ROTATE, Close: _CLOSE, Obstacle: _OBSTACLE}


def encode_control(message: ControlMessage) -> bytes:
    """Return the plaintext of a control message: 2 to 10 bytes, or about stocks."""
    match message:
        case Ping(number):
            return _NUMBER.pack(_PING, number)
        case Pong(number):
            return _NUMBER.pack(_PONG, number)
        case InForce(epoch, echo):
            return _IN_FORCE.pack(_FORCE, epoch, echo)
        case RotateRequest(value) | Close(value) | Obstacle(value):
            return _SHORT.pack(_SHORT_TYPES[type(message)], value)
        case StockAnnounce() | StockPage() | StockAnswer():
            return encode_stock(message)
        case PadStock() | NodeState():
            return encode_network(message)


def decode_control(data: bytes) -> ControlMessage | None:
    """Read a plaintext; None for a type this version does not know.

    Raises:
        ProtocolError: ``control``.
    """
    try:
        return _decode(data)
    except (struct.error, ValueError, IndexError) as error:
        raise ProtocolError("control") from error


def _decode(data: bytes) -> ControlMessage | None:
    kind = data[0]
    if kind in (_PING, _PONG):
        number = _NUMBER.unpack(data)[1]
        return Ping(number) if kind == _PING else Pong(number)
    if kind == _FORCE:
        _, epoch, echo = _IN_FORCE.unpack(data)
        if echo > 1:
            raise ProtocolError("control")
        return InForce(epoch, bool(echo))
    if kind in _SHORT_TYPES.values():
        return _decode_short(*_SHORT.unpack(data))
    if kind in NETWORK_TYPES:
        return decode_network(data)
    return decode_stock(data) if kind in STOCK_TYPES else None


def _decode_short(kind: int, value: int) -> RotateRequest | Close | Obstacle:
    if kind == _ROTATE:
        return RotateRequest(RotateReason(value))
    if kind == _CLOSE:
        return Close(CloseReason(value))
    if value > 1:
        raise ProtocolError("control")
    return Obstacle(bool(value))
