"""The header every datagram starts with, and the sizes all else follows from.

::

    offset  size
    0       4     zero: the non-ESP marker of RFC 3948, so that ESP in UDP and this
                  protocol can share one port and one NAT mapping
    4       1     version
    5       1     type
    6       1     fragment index, from 0
    7       1     fragment count, from 1
    8       8     session identifier: the sender's in an initiation, else the receiver's
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.crypto.aead import TAG_SIZE
from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import ProtocolError

VERSION: Final = 1
"""Version of the protocol; another one is dropped, never negotiated."""

MARKER: Final = bytes(4)
ID_SIZE: Final = 8
"""Bytes of a session identifier: random, so that who cannot see it cannot guess it."""

HEADER_SIZE: Final = 16
COUNTER_SIZE: Final = 8

DEFAULT_MTU: Final = 1232
"""Bytes of UDP payload that every IPv6 path carries: 1,280 less 40 and 8."""

MIN_MTU: Final = 576
"""Bytes; below it a handshake would need more than `MAX_FRAGMENTS`."""

MAX_MTU: Final = 1452
"""Bytes: what is left of an Ethernet frame with IPv6 and UDP."""

MAX_FRAGMENTS: Final = 8
"""The largest message (3,600 bytes, suite 2) in fragments of `MIN_MTU`."""

MAX_MESSAGE_SIZE: Final = 4096
"""Bytes a reassembled message can have; the largest has 3,600."""

COOKIE_SIZE: Final = 16
COOKIE_SALT_SIZE: Final = 16

INITIATION_OVERHEAD: Final = HEADER_SIZE + 2 * MAC_SIZE
RESPONSE_OVERHEAD: Final = HEADER_SIZE + MAC_SIZE
CONFIRMATION_SIZE: Final = HEADER_SIZE + TAG_SIZE
COOKIE_REPLY_SIZE: Final = HEADER_SIZE + COOKIE_SALT_SIZE + COOKIE_SIZE + TAG_SIZE
CONTROL_OVERHEAD: Final = HEADER_SIZE + COUNTER_SIZE + TAG_SIZE


class Type(IntEnum):
    """What a datagram is."""

    INITIATION = 1
    RESPONSE = 2
    COMMIT = 3
    COMMITTED = 4
    COOKIE_REPLY = 5
    CONTROL = 6


_HEADER: Final = struct.Struct("!4sBBBB8s")
_TYPES: Final = {int(member): member for member in Type}
_SIZES: Final[dict[Type, tuple[int, int]]] = {
    Type.INITIATION: (INITIATION_OVERHEAD + 1, MAX_MTU),
    Type.RESPONSE: (RESPONSE_OVERHEAD + 1, MAX_MTU),
    Type.COMMIT: (CONFIRMATION_SIZE, CONFIRMATION_SIZE),
    Type.COMMITTED: (CONFIRMATION_SIZE, CONFIRMATION_SIZE),
    Type.COOKIE_REPLY: (COOKIE_REPLY_SIZE, COOKIE_REPLY_SIZE),
    Type.CONTROL: (CONTROL_OVERHEAD + 1, MAX_MTU),
}
"""Least and most bytes of a datagram of each type."""


@dataclass(slots=True)
class Header:
    """A decoded header; not frozen, since one is made of each datagram of a flood.

    Attributes:
        type: What the datagram is.
        index: Fragment index.
        count: Fragment count.
        session_id: 8 bytes.
    """

    type: Type
    index: int
    count: int
    session_id: bytes


def encode_header(
    kind: Type, session_id: bytes, index: int = 0, count: int = 1
) -> bytes:
    """Return the 16 bytes of a header."""
    return _HEADER.pack(MARKER, VERSION, kind, index, count, session_id)


def decode_header(data: bytes) -> Header:
    """Read a datagram's header and check the datagram's size against its type.

    Raises:
        ProtocolError: ``truncated``, ``marker``, ``version``, ``type``, ``size`` or
            ``fragment``.
    """
    if len(data) < HEADER_SIZE:
        raise ProtocolError("truncated")
    marker, version, kind, index, count, session_id = _HEADER.unpack_from(data)
    if marker != MARKER:
        raise ProtocolError("marker")
    if version != VERSION:
        raise ProtocolError("version")
    known = _TYPES.get(kind)
    if known is None:
        raise ProtocolError("type")
    least, most = _SIZES[known]
    if not least <= len(data) <= most:
        raise ProtocolError("size")
    limit = MAX_FRAGMENTS if known in (Type.INITIATION, Type.RESPONSE) else 1
    if not 1 <= count <= limit or index >= count:
        raise ProtocolError("fragment")
    return Header(known, index, count, session_id)
