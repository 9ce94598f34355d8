"""Relay messages to bytes and back; big-endian, strict, bounded.

::

    RelayKeys, one hop         71 + route + 36 n bytes, at most MAX_KEYS_SIZE
    0    1      version, 1
    1    1      type, 1
    2    1      path, from 0: which of the bundle's paths this is
    3    1      paths, 1 to MAX_PATHS
    4    1      hop, from 0: the sender is route[hop], the receiver route[hop + 1]
    5    1      nodes of the route, 2 to MAX_NODES
    6    1      n, the number of keys, 1 to MAX_BATCH
    7    16     bundle: random, names the keys that the paths carry together
    23   16     key_ID of the key that authenticates this message
    39   16     key_ID of the key that authenticates the answer
    55   ..     route: per node one byte of length, then its name
         4 n    tags of the pads' key_IDs
         32 n   keys, each XOR its pad
         16     Poly1305 tag

    RelayAnswer                37 bytes and a name
    0    1      version, 1
    1    1      type, 2; or 3: a refusal that could not be authenticated (tag of zeros)
    2    1      path
    3    1      outcome
    4    16     bundle
    20   1, ..  name of the node where it happened, length first
         16     tag

An answer names what was carried and holds nothing of it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from uuid import UUID

from gateway.errors import RelayError, RelayFault
from gateway.wire.network import MAX_NODE_NAME, NODE_NAME

VERSION: Final = 1
"""Version of the relay's messages; another one is refused, never negotiated."""

SHARE_SIZE: Final = 32
"""Bytes of what is carried: a 256-bit key, and of the pad that hides it."""

TAG_SIZE: Final = 16
"""Bytes of a Poly1305 tag."""

PAD_TAG_SIZE: Final = 4
"""Bytes by which a pad is named. A whole key_ID would be half the payload."""

MAX_BATCH: Final = 128
"""Keys of one message: 12 % go into overhead by then, and it is a QKD link's minute."""

MAX_PATHS: Final = 8
"""Paths of one bundle; networks with more disjoint ones are not built."""

MAX_NODES: Final = 8
"""Nodes of a route: seven hops, more than crosses a continent."""

_HEADER: Final = struct.Struct("!7B16s16s16s")
_ANSWER: Final = struct.Struct("!4B16sB")
_KEYS, _SEALED_ANSWER, _REFUSAL = 1, 2, 3

MAX_KEYS_SIZE: Final = (
    _HEADER.size
    + MAX_NODES * (1 + MAX_NODE_NAME)
    + MAX_BATCH * (PAD_TAG_SIZE + SHARE_SIZE)
    + TAG_SIZE
)
"""Bytes of the largest message: 4,935."""


class Outcome(IntEnum):
    """How a batch fared; the values travel."""

    DELIVERED = 0
    """The bundle is whole: the destination has stored its keys."""
    HELD = 1
    """The destination has this path's shares and waits for the other paths'."""
    PADS_EXHAUSTED = 2
    OUT_OF_STEP = 3
    UNKNOWN_NODE = 4
    LOST = 5
    BUSY = 6
    STORE = 7
    REPLAYED = 8


FAULTS: Final = {
    Outcome.PADS_EXHAUSTED: RelayFault.PADS_EXHAUSTED,
    Outcome.OUT_OF_STEP: RelayFault.OUT_OF_STEP,
    Outcome.UNKNOWN_NODE: RelayFault.UNKNOWN_NODE,
    Outcome.LOST: RelayFault.LOST,
    Outcome.BUSY: RelayFault.BUSY,
    Outcome.STORE: RelayFault.STORE,
    Outcome.REPLAYED: RelayFault.REPLAYED,
}
"""What each failure is called here; the two outcomes missing are none."""


@dataclass(frozen=True, slots=True)
class RelayKeys:
    """A batch on one hop.

    Attributes:
        bundle: 16 random bytes as a UUID; the same on every hop and path.
        path: Which path of the bundle.
        paths: How many the bundle has.
        hop: Position of the sender on the route.
        route: Names from origin to destination.
        mac_id: key_ID of the key that authenticates this message.
        answer_id: key_ID of the key that will authenticate the answer.
        pad_tags: `PAD_TAG_SIZE` bytes for each pad, in the order of the keys.
        sealed: `SHARE_SIZE` bytes for each key, encrypted.
        tag: `TAG_SIZE` bytes.
    """

    bundle: UUID
    path: int
    paths: int
    hop: int
    route: tuple[str, ...]
    mac_id: UUID
    answer_id: UUID
    pad_tags: tuple[bytes, ...]
    sealed: bytes
    tag: bytes = bytes(TAG_SIZE)


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """What became of a batch.

    Attributes:
        bundle: The bundle.
        path: Which path of it.
        outcome: How it fared.
        node: Where that was decided.
        sealed: Whether `tag` authenticates it; a refusal by a node that lacks the
            keys cannot be.
        tag: `TAG_SIZE` bytes; zeros when not sealed.
    """

    bundle: UUID
    path: int
    outcome: Outcome
    node: str
    sealed: bool = True
    tag: bytes = bytes(TAG_SIZE)


def check_route(route: Sequence[str]) -> None:
    """Refuse a route that is too short, too long, misnamed, or visits a node twice.

    Raises:
        RelayError: ``malformed`` or ``loop``.
    """
    if not 2 <= len(route) <= MAX_NODES:  # noqa: PLR2004 -- an origin, a destination
        raise _malformed(f"a route has 2 to {MAX_NODES} nodes")
    if not all(NODE_NAME.fullmatch(name) for name in route):
        raise _malformed("a node's name is none")
    if len(set(route)) != len(route):
        raise RelayError(
            "the route visits a node twice",
            "take one of those that `qgw network` shows",
            fault=RelayFault.LOOP,
        )


def encode_keys(message: RelayKeys) -> bytes:
    """Return the bytes of a batch, its tag last."""
    return b"".join(
        (
            _HEADER.pack(
                VERSION,
                _KEYS,
                message.path,
                message.paths,
                message.hop,
                len(message.route),
                len(message.pad_tags),
                message.bundle.bytes,
                message.mac_id.bytes,
                message.answer_id.bytes,
            ),
            *(_name(node) for node in message.route),
            *message.pad_tags,
            message.sealed,
            message.tag,
        )
    )


def encode_answer(answer: RelayAnswer) -> bytes:
    """Return the bytes of an answer, its tag last."""
    kind = _SEALED_ANSWER if answer.sealed else _REFUSAL
    name = _name(answer.node)
    head = _ANSWER.pack(
        VERSION, kind, answer.path, answer.outcome, answer.bundle.bytes, name[0]
    )
    return head + name[1:] + answer.tag


def decode_message(data: bytes) -> RelayKeys | RelayAnswer:
    """Read one message.

    Raises:
        RelayError: ``malformed``, or ``loop`` for a route that visits a node twice.
    """
    if not 2 <= len(data) <= MAX_KEYS_SIZE:  # noqa: PLR2004 -- version and type
        raise _malformed("a message has an impossible size")
    if data[0] != VERSION:
        raise _malformed(f"its version is not {VERSION}")
    if data[1] == _KEYS:
        return _decode_keys(data)
    if data[1] in (_SEALED_ANSWER, _REFUSAL):
        return _decode_answer(data)
    raise _malformed("its type is unknown")


def _decode_keys(data: bytes) -> RelayKeys:
    reader = _MessageReader(data)
    _, _, path, paths, hop, nodes, count, *ids = _HEADER.unpack(
        reader.take(_HEADER.size)
    )
    if not path < paths <= MAX_PATHS:
        raise _malformed("its path is out of bounds")
    if not 2 <= nodes <= MAX_NODES or hop + 1 >= nodes:  # noqa: PLR2004 -- two ends
        raise _malformed("its hop is out of bounds")
    if not 1 <= count <= MAX_BATCH:
        raise _malformed("its number of keys is out of bounds")
    route = tuple(reader.name() for _ in range(nodes))
    tags = tuple(reader.take(PAD_TAG_SIZE) for _ in range(count))
    sealed, tag = reader.take(count * SHARE_SIZE), reader.take(TAG_SIZE)
    reader.end()
    check_route(route)
    bundle, mac_id, answer_id = (UUID(bytes=value) for value in ids)
    if mac_id == answer_id:
        raise _malformed("it names one key for two uses")
    return RelayKeys(
        bundle, path, paths, hop, route, mac_id, answer_id, tags, sealed, tag
    )


def _decode_answer(data: bytes) -> RelayAnswer:
    reader = _MessageReader(data)
    _, kind, path, outcome, bundle, size = _ANSWER.unpack(reader.take(_ANSWER.size))
    if outcome > max(Outcome) or path >= MAX_PATHS:
        raise _malformed("its outcome or path is out of bounds")
    node = reader.text(size)
    tag = reader.take(TAG_SIZE)
    reader.end()
    if kind == _REFUSAL and any(tag):
        raise _malformed("a refusal has no tag")
    return RelayAnswer(
        UUID(bytes=bundle), path, Outcome(outcome), node, kind == _SEALED_ANSWER, tag
    )


def _name(node: str) -> bytes:
    encoded = node.encode("ascii")
    return bytes([len(encoded)]) + encoded


def _malformed(what: str) -> RelayError:
    return RelayError(
        f"a relay message is malformed: {what}", fault=RelayFault.MALFORMED
    )


class _MessageReader:
    """Takes bytes from the front, and insists that none is missing or left over."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise _malformed("it is truncated")
        self._at += size
        return part

    def name(self) -> str:
        return self.text(self.take(1)[0])

    def text(self, size: int) -> str:
        encoded = self.take(size)
        text = encoded.decode("ascii") if encoded.isascii() else ""
        if not NODE_NAME.fullmatch(text):
            raise _malformed("a node's name is none")
        return text

    def end(self) -> None:
        if self._at != len(self._data):
            raise _malformed("bytes are left over")
