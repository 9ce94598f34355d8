"""Sees every datagram of the control plane that passes a host's link."""

import socket
import struct
import threading
from dataclasses import dataclass

from lab.gateway import PORT
from lab.inside import open_socket
from lab.netns import Namespace

_ETH_P_ALL = 3
_UDP = 17
_ETHERNET = 14


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram over IPv4."""

    source: tuple[str, int]
    target: tuple[str, int]
    payload: bytes


class Wiretap:
    """Collects datagrams to or from the control port until closed."""

    def __init__(self, host: Namespace) -> None:
        self.seen: list[Datagram] = []
        self._socket = open_socket(
            host.wire, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)
        )
        self._socket.bind((host.leg, _ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop collecting."""
        self._open = False
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while self._open:
            try:
                frame = self._socket.recv(65_535)
            except TimeoutError:
                continue
            datagram = dissect(frame)
            if datagram and PORT in (datagram.source[1], datagram.target[1]):
                self.seen.append(datagram)


def dissect(frame: bytes) -> Datagram | None:
    """Return the UDP datagram in a frame, if it is one over IPv4, unfragmented."""
    if len(frame) < _ETHERNET + 28 or frame[12:14] != b"\x08\x00":
        return None
    packet = frame[_ETHERNET:]
    start = (packet[0] & 15) * 4
    if packet[9] != _UDP or len(packet) < start + 8:
        return None
    near, far, length = struct.unpack_from("!HHH", packet, start)
    return Datagram(
        (socket.inet_ntoa(packet[12:16]), near),
        (socket.inet_ntoa(packet[16:20]), far),
        packet[start + 8 : start + length],
    )
