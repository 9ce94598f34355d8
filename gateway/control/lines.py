"""Lines of one connection, in buffers that are overwritten.

A request may hold keys. `asyncio`'s streams keep a line in several immutable copies,
which nobody can overwrite; here it is in one `bytearray`, from the kernel's call on.
"""

import asyncio
import socket
from typing import Final

from gateway.control import limits
from gateway.control.schema import ErrorCode
from gateway.errors import ControlError

_FIRST: Final = 4096
"""Bytes of a buffer at first; nearly all requests are shorter."""


class LineReader:
    """Reads lines from a connected, non-blocking socket.

    Args:
        connection: The socket, left to its owner.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray(_FIRST)
        self._filled = 0

    async def read(self) -> bytearray:
        """Return the next line with its newline; the caller wipes it.

        Returns nothing at the end of the stream; half a line asks for nothing.

        Raises:
            ControlError: It is longer than `MAX_MESSAGE`.
            TimeoutError: It did not come within `REQUEST_TIMEOUT`.
            OSError: The connection broke.
        """
        loop = asyncio.get_running_loop()
        searched = 0
        async with asyncio.timeout(limits.REQUEST_TIMEOUT):
            while (end := self._buffer.find(b"\n", searched, self._filled)) < 0:
                searched = self._filled
                if self._filled > limits.MAX_MESSAGE:
                    raise _too_large()
                if self._filled == len(self._buffer):
                    self._grow()
                with memoryview(self._buffer)[self._filled :] as room:
                    size = await loop.sock_recv_into(self._socket, room)
                if not size:
                    return bytearray()
                self._filled += size
        if end >= limits.MAX_MESSAGE:
            raise _too_large()
        return self._take(end + 1)

    def wipe(self) -> None:
        """Overwrite what was read and not taken."""
        wipe(self._buffer)
        self._filled = 0

    def _take(self, end: int) -> bytearray:
        line = self._buffer[:end]
        rest = self._filled - end
        self._buffer[:rest] = self._buffer[end : self._filled]
        self._buffer[rest : self._filled] = bytes(self._filled - rest)
        self._filled = rest
        return line

    def _grow(self) -> None:
        # By hand: a bytearray that grows leaves what it held where it was.
        larger = bytearray(2 * len(self._buffer))
        larger[: self._filled] = self._buffer
        wipe(self._buffer)
        self._buffer = larger


def _too_large() -> ControlError:
    return ControlError(
        f"request longer than {limits.MAX_MESSAGE} bytes",
        "send large imports in batches, as qgw keystore import does",
        code=ErrorCode.TOO_LARGE,
    )


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros; its length stays."""
    buffer[:] = bytes(len(buffer))
