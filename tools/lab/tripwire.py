"""Acts at the moment a handshake message passes on the wire."""

import select
import socket
import time

from gateway.wire.header import MARKER, VERSION, Type
from lab.gateway import PORT
from lab.inside import open_socket
from lab.netns import Namespace

_ETH_P_ALL = 3
_UDP = 42
"""Offset of the UDP payload in a frame with Ethernet and IPv4 without options."""


class Tripwire:
    """Sees every frame between one host and the network."""

    def __init__(self, end: Namespace) -> None:
        protocol = socket.htons(_ETH_P_ALL)
        self._socket = open_socket(
            end.wire, socket.AF_PACKET, socket.SOCK_RAW, protocol
        )
        self._socket.bind((end.leg, _ETH_P_ALL))
        self._socket.setblocking(False)

    def close(self) -> None:
        """Take it down."""
        self._socket.close()

    def wait(self, kind: Type, timeout: float) -> bool:
        """Return True as soon as a message of a kind passes, False if none does."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                continue
            try:
                frame = self._socket.recv(2048)
            except OSError:
                continue  # the link went down
            if is_message(frame, kind):
                return True
        return False


def is_message(frame: bytes, kind: Type) -> bool:
    """Return whether a frame has the last fragment of a message of a kind."""
    port = PORT.to_bytes(2)
    head = MARKER + bytes([VERSION, kind])
    if frame[_UDP - 6 : _UDP - 4] != port or not frame.startswith(head, _UDP):
        return False
    index, count = frame[_UDP + 6 : _UDP + 8]
    return index + 1 >= count
