"""A third host on the way that sends packets in the sites' names, in clear.

Every packet claims to come from the other site's hosts, from its gateway's address in
its network, or from its address inside the tunnel, and goes to a socket that a flow has
open. The router delivers them all: whether they are received is the gateways' doing.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Final

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from lab.flows import FORGED, HOPS, Flow
from lab.inside import open_socket
from lab.two_sites import GATE, GATE6, INSIDE, INSIDE6, PC, PC6, TwoSites

_SOURCES: Final = {4: (PC, GATE, INSIDE), 6: (PC6, GATE6, INSIDE6)}


def forge(flow: Flow) -> list[bytes]:
    """Return packets in the name of each sender that a flow's receiver would trust."""
    near = flow.name.split()[1][0]
    version = 6 if ":" in flow.target else 4
    return [
        bytes(
            _header(source[near], flow.target)
            / UDP(sport=flow.port, dport=flow.port)
            / FORGED
        )
        for source in _SOURCES[version]
    ]


def _header(source: str, target: str) -> Packet:
    if ":" in target:
        return IPv6(src=source, dst=target, hlim=HOPS)
    return IP(src=source, dst=target, ttl=HOPS)


class Forger:
    """Sends them all again and again, from a thread, until closed.

    Attributes:
        sent: Packets sent.
    """

    def __init__(self, sites: TwoSites, flows: Sequence[Flow], interval: float) -> None:
        """Begin.

        Args:
            sites: The hosts.
            flows: Whose receivers to deceive.
            interval: Seconds between two rounds, each a packet of each kind.
        """
        self.sent = 0
        self._interval = interval
        self._sending = True
        self._packets = [
            (packet, flow.target) for flow in flows for packet in forge(flow)
        ]
        name = sites.meddler.name
        self._sockets = {
            family: open_socket(name, family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            for family in (socket.AF_INET, socket.AF_INET6)
        }
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forger")
        self._thread.start()

    def pause(self) -> None:
        """Send nothing for a while."""
        self._sending = False

    def resume(self) -> None:
        """Send again."""
        self._sending = True

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()
        for sock in self._sockets.values():
            sock.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            for packet, target in self._packets if self._sending else ():
                family = socket.AF_INET6 if ":" in target else socket.AF_INET
                with contextlib.suppress(OSError):
                    self._sockets[family].sendto(packet, (target, 0))
                    self.sent += 1
