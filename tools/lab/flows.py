"""Streams of numbered packets between the hosts of two sites, watched while they flow.

Each flow goes one way and has a UDP port of its own. Hosts of the sites send, and so do
the gateways themselves: to each other inside the tunnel, and into the other's network.
Each payload carries the marker that must never be seen outside.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from lab.inside import open_socket
from lab.netns import Namespace
from lab.traffic import MARKER
from lab.two_sites import INSIDE, INSIDE6, PC, PC6, TwoSites

FIRST_PORT: Final = 4720
"""UDP port of the first flow; the others have the ports above it."""

FORGED: Final = b"FORGED-BY-A-THIRD-HOST-AND-IN-CLEAR-0123"
"""40 bytes in every packet that the meddler makes: nobody may receive them."""

REMEMBERED: Final = 20_000
"""Arrivals of a flow that are kept: minutes."""

HOPS: Final = 8
"""Time to live: enough for any way, and an end to those that go round in a circle."""

_STAMP = struct.Struct("!d")


@dataclass(slots=True)
class Flow:
    """One direction between two hosts.

    Attributes:
        name: Its kind, family and direction, ``pc4 a>b``.
        port: Both ends' UDP port.
        target: Address it is sent to.
        sent: Packets sent, with those that the kernel refused.
        arrivals: When each packet was sent and when it arrived, monotonic seconds.
        forged: Packets of the meddler that its receiver was given.
    """

    name: str
    port: int
    target: str
    sent: int = 0
    arrivals: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED)
    )
    forged: int = 0

    @property
    def kind(self) -> str:
        """``pc`` host to host, ``own`` gateway to host, ``in`` gateway to gateway."""
        return self.name.split()[0][:-1]

    def last(self) -> float:
        """Return when the newest packet to arrive was received, or 0."""
        return self.arrivals[-1][1] if self.arrivals else 0.0

    def steady_since(self, since: float, now: float, gap: float) -> float | None:
        """Return from when on packets sent after `since` arrive without a gap.

        None: they do not arrive now.
        """
        began: float | None = None
        last = since
        for sent, received in list(self.arrivals):
            if sent < since or received > now:
                continue
            if began is None or received - last > gap:
                began = received
            last = received
        return None if now - last > gap else began

    def passed_between(self, start: float, end: float) -> int:
        """Count packets that were received in a span of time."""
        return sum(start <= received < end for _, received in list(self.arrivals))


def _limit_hops(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOPS)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)


class Flows:
    """All flows of two sites, sent from a thread of this process until closed."""

    def __init__(self, sites: TwoSites, interval: float) -> None:
        """Begin to send.

        Args:
            sites: The hosts.
            interval: Seconds between two packets of a flow.
        """
        self.interval = interval
        self.flows: list[Flow] = []
        self._senders: list[tuple[Flow, socket.socket]] = []
        self._receivers: dict[socket.socket, Flow] = {}
        self._stopping = threading.Event()
        self._sending = True
        for near, far in (sites.sides, tuple(reversed(sites.sides))):
            for kind, here, there, targets in (
                ("pc", near.pc, far.pc, (PC, PC6)),
                ("own", near.gateway, far.pc, (PC, PC6)),
                ("in", near.gateway, far.gateway, (INSIDE, INSIDE6)),
            ):
                for version, target in zip("46", targets, strict=True):
                    name = f"{kind}{version} {near.letter}>{far.letter}"
                    self._add(name, here, there, target[far.letter])
        self._thread = threading.Thread(target=self._run, name="flows")
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()
        for sock in self._receivers:
            sock.close()
        for _, sock in self._senders:
            sock.close()

    def pause(self) -> None:
        """Send nothing for a while."""
        self._sending = False

    def resume(self) -> None:
        """Send again."""
        self._sending = True

    def of(self, *kinds: str) -> list[Flow]:
        """Return the flows of some kinds."""
        return [flow for flow in self.flows if flow.kind in kinds]

    @property
    def forged(self) -> dict[str, int]:
        """The meddler's packets that sockets of the sites were given, by flow."""
        return {flow.name: flow.forged for flow in self.flows if flow.forged}

    def _add(self, name: str, here: Namespace, there: Namespace, target: str) -> None:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        flow = Flow(name, FIRST_PORT + len(self.flows), target)
        # Bound to no address: the kernel chooses the source each time, as for any
        # program of the host, and an address that goes takes no socket with it.
        sender = open_socket(here.name, family, socket.SOCK_DGRAM)
        sender.setblocking(False)
        _limit_hops(sender)
        receiver = open_socket(there.name, family, socket.SOCK_DGRAM)
        receiver.setblocking(False)
        receiver.bind(("", flow.port))
        self.flows.append(flow)
        self._senders.append((flow, sender))
        self._receivers[receiver] = flow

    def _run(self) -> None:
        due = time.monotonic()
        sockets = list(self._receivers)
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= due:
                if self._sending:
                    self._send()
                due = max(due + self.interval, now)
            wait = max(0.0, due - time.monotonic())
            for sock in select.select(sockets, [], [], wait)[0]:
                self._receive(sock)

    def _send(self) -> None:
        for flow, sock in self._senders:
            flow.sent += 1
            # No route, blocked, no buffer: it is lost, and that counts.
            with contextlib.suppress(OSError):
                payload = _STAMP.pack(time.monotonic()) + MARKER
                sock.sendto(payload, (flow.target, flow.port))

    def _receive(self, sock: socket.socket) -> None:
        flow = self._receivers[sock]
        while True:
            try:
                data = sock.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error for something that was sent
            if FORGED in data:
                flow.forged += 1
            elif data[_STAMP.size :] == MARKER:
                (sent_at,) = _STAMP.unpack_from(data)
                flow.arrivals.append((sent_at, time.monotonic()))
