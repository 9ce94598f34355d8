"""Frames of a relay connection, the first of them a hello.

::

    frame    2 bytes of length, big-endian, then that many bytes
    hello    the first frame: version (1 byte), the sender's name (1 to 31 bytes)
    message  any further frame: 2 to MAX_KEYS_SIZE bytes, as gateway.relay.messages

A connection carries frames one way, from whoever opened it.
"""

import struct
from typing import Final

from gateway.errors import RelayError, RelayFault
from gateway.relay.messages import MAX_KEYS_SIZE
from gateway.wire.network import MAX_NODE_NAME, NODE_NAME

TRANSPORT_VERSION: Final = 1
"""Version of hello and frames; another one is refused, never negotiated."""

_LENGTH: Final = struct.Struct("!H")

FRAME_OVERHEAD: Final = _LENGTH.size
"""Bytes a frame adds to a message."""

_MIN_SIZE: Final = 2
"""Bytes of the shortest frame: a version, and a name or a type."""

_MAX_HELLO: Final = 1 + MAX_NODE_NAME


def encode_frame(data: bytes) -> bytes:
    """Return a frame.

    Raises:
        ValueError: It is longer or shorter than any message.
    """
    if not _MIN_SIZE <= len(data) <= MAX_KEYS_SIZE:
        raise ValueError(f"a relay message has {_MIN_SIZE} to {MAX_KEYS_SIZE} bytes")
    return _LENGTH.pack(len(data)) + data


def encode_hello(name: str) -> bytes:
    """Return the frame that opens a connection of node `name`."""
    return encode_frame(bytes([TRANSPORT_VERSION]) + name.encode("ascii"))


def decode_hello(data: bytes) -> str:
    """Return the name that a first frame's contents give.

    Raises:
        RelayError: ``malformed``.
    """
    name = data[1:].decode("ascii") if data[1:].isascii() else ""
    if data[:1] != bytes([TRANSPORT_VERSION]) or not NODE_NAME.fullmatch(name):
        raise _malformed("its hello is none of this version")
    return name


class FrameReader:
    """Cuts a connection's bytes into frames.

    It keeps one unfinished frame at most, so `MAX_KEYS_SIZE` bytes and those just fed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._limit = _MAX_HELLO

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """Return the next frame's contents, or None until more bytes have come.

        Raises:
            RelayError: ``malformed``: what follows is no frame; nor is anything after.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if not _MIN_SIZE <= size <= self._limit:
            raise _malformed(f"a frame of {size} bytes")
        end = _LENGTH.size + size
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        self._limit = MAX_KEYS_SIZE
        return frame


def _malformed(what: str) -> RelayError:
    return RelayError(
        f"a relay connection is malformed: {what}", fault=RelayFault.MALFORMED
    )
