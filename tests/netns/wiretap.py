"""Sees what passes a host's link: every frame, or the control plane's datagrams."""

import socket
import struct
import threading
from dataclasses import dataclass

from lab.gateway import PORT
from lab.inside import open_socket
from lab.netns import Namespace

_ETH_P_ALL = 3
_UDP = 17
ETHERNET = 14
"""Bytes of the header before the packet."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram over IPv4."""

    source: tuple[str, int]
    target: tuple[str, int]
    payload: bytes


class LinkTap:
    """Hands each frame that passes a host's link to `take`, until closed."""

    def __init__(self, host: Namespace) -> None:
        self._socket = open_socket(
            host.wire, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)
        )
        self._socket.bind((host.leg, _ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def take(self, frame: bytes) -> None:
        """Look at a frame, from the Ethernet header on; called in a thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop looking."""
        self._open = False
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while self._open:
            try:
                frame = self._socket.recv(65_535)
            except TimeoutError:
                continue
            self.take(frame)


class Wiretap(LinkTap):
    """Collects datagrams to or from the control port."""

    def __init__(self, host: Namespace) -> None:
        self.seen: list[Datagram] = []
        super().__init__(host)

    def take(self, frame: bytes) -> None:
        """Keep a datagram of the control plane."""
        datagram = dissect(frame)
        if datagram and PORT in (datagram.source[1], datagram.target[1]):
            self.seen.append(datagram)


def dissect(frame: bytes) -> Datagram | None:
    """Return the UDP datagram in a frame, if it is one over IPv4, unfragmented."""
    if len(frame) < ETHERNET + 28 or frame[12:14] != b"\x08\x00":
        return None
    packet = frame[ETHERNET:]
    start = (packet[0] & 15) * 4
    if packet[9] != _UDP or len(packet) < start + 8:
        return None
    near, far, length = struct.unpack_from("!HHH", packet, start)
    return Datagram(
        (socket.inet_ntoa(packet[12:16]), near),
        (socket.inet_ntoa(packet[16:20]), far),
        packet[start + 8 : start + length],
    )
