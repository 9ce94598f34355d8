"""Control messages between neighbours of a network of trusted nodes.

Pads of a hop are kept in step like any other stock, so their messages are those of
`gateway.wire.stock`, with the direction in front in which the pads are used. How every
node stands is told to all of them, from neighbour to neighbour.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.errors import ProtocolError
from gateway.wire.stock import (
    STOCK_TYPES,
    StockAnnounce,
    StockAnswer,
    StockPage,
    decode_stock,
    encode_stock,
)

NODE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
"""Names of nodes; two and a sign make the name of a stock (64 characters at most)."""

MAX_NODE_NAME: Final = 31
"""Bytes of a node's name."""

MAX_NEIGHBOURS: Final = 16
"""Links of one node: what fits into one message, and more than a site has fibres."""

MAX_PADS: Final = 2**32 - 1
"""Pads that a state can tell."""

PAD_PREFIX_SIZE: Final = 2
"""Bytes in front of a message about stock that make it one about pads."""

_PADS, _STATE = 9, 10
NETWORK_TYPES: Final = frozenset({_PADS, _STATE})
"""The first bytes that `decode_network` knows."""

_STATE_HEAD: Final = struct.Struct("!BQBB")
_PAD_COUNT: Final = struct.Struct("!I")


class PadDirection(IntEnum):
    """Who sends under the pads: as the handshake of the tunnel has its ends."""

    FROM_INITIATOR = 0
    FROM_RESPONDER = 1


@dataclass(frozen=True, slots=True)
class PadStock:
    """A message about a stock of pads.

    Attributes:
        direction: Which of the hop's two stocks.
        message: It; announcements carry zeros for check values.
    """

    direction: PadDirection
    message: StockAnnounce | StockPage | StockAnswer


@dataclass(frozen=True, slots=True)
class NodeState:
    """What one node says of itself; passed on by the others as it is.

    Attributes:
        node: Whose state.
        serial: Grows with every state of a node.
        pads: For each neighbour, pads in stock towards it; 0 when it cannot be reached.
    """

    node: str
    serial: int
    pads: tuple[tuple[str, int], ...]


NetworkMessage = PadStock | NodeState


def encode_network(message: NetworkMessage) -> bytes:
    """Return the plaintext of a message: two more than one about stock, or some 800."""
    if isinstance(message, PadStock):
        return bytes([_PADS, message.direction]) + encode_stock(message.message)
    head = _STATE_HEAD.pack(
        _STATE, message.serial, len(message.pads), len(message.node)
    )
    links = (
        bytes([len(name)]) + name.encode("ascii") + _PAD_COUNT.pack(count)
        for name, count in message.pads
    )
    return head + message.node.encode("ascii") + b"".join(links)


def decode_network(data: bytes) -> NetworkMessage:
    """Read a plaintext whose first byte is in `NETWORK_TYPES`.

    Raises:
        ProtocolError: ``control``.
        struct.error: It is too short.
        ValueError: A direction or holding is none.
        IndexError: It is too short.
    """
    if data[0] == _PADS:
        inner = data[PAD_PREFIX_SIZE:]
        if inner[0] not in STOCK_TYPES:
            raise ProtocolError("control")
        return PadStock(PadDirection(data[1]), decode_stock(inner))
    _, serial, count, size = _STATE_HEAD.unpack_from(data)
    if count > MAX_NEIGHBOURS:
        raise ProtocolError("control")
    at = _STATE_HEAD.size
    node = _name(data[at : at + size], size)
    at += size
    pads = []
    for _ in range(count):
        size = data[at]
        name = _name(data[at + 1 : at + 1 + size], size)
        at += 1 + size
        pads.append((name, *_PAD_COUNT.unpack_from(data, at)))
        at += _PAD_COUNT.size
    if at != len(data) or len({name for name, _ in pads} | {node}) != count + 1:
        raise ProtocolError("control")
    return NodeState(node, serial, tuple(pads))


def _name(encoded: bytes, size: int) -> str:
    text = encoded.decode("ascii") if encoded.isascii() else ""
    if len(encoded) != size or not NODE_NAME.fullmatch(text):
        raise ProtocolError("control")
    return text
