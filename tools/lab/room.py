"""Room in a socket for what comes while the program that reads it has no processor."""

import contextlib
import socket
import struct
from typing import Final

SO_RCVBUFFORCE: Final = 33
"""asm-generic/socket.h: beyond net.core.rmem_max (208 KiB: half a second of a packet
each millisecond), with CAP_NET_ADMIN."""

SO_MEMINFO: Final = 55
"""asm-generic/socket.h: nine numbers, of which the last are datagrams dropped."""

_MEMINFO: Final = struct.Struct("9I")


def make_room(sock: socket.socket, size: int) -> None:
    """Let a socket hold so many bytes, or what the system allows those without rights.

    Args:
        sock: The socket.
        size: Bytes, the kernel's own overhead of each packet among them.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)


def overflowed(sock: socket.socket) -> int:
    """Return how many datagrams had come this far and found no room."""
    numbers = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(numbers)[-1])
