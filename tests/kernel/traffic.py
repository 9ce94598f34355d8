"""Packets with a mark that nobody but the two sites may read."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tests.kernel.pace import (
    ARRIVAL_LIMIT,
    PACKET_INTERVAL,
    POLL_INTERVAL,
    UNDER_WAY_LIMIT,
)

T = TypeVar("T")

MARKER = b"IN-CLEAR-IF-YOU-CAN-READ-THIS"
"""In every packet; must never be seen on the cable."""

TRAFFIC_PORT = 4000
SO_RCVBUFFORCE = 33  # linux/asm-generic/socket.h; not in Python's socket module

DRAIN = 0.5
"""Seconds of silence after which nothing is under way any more."""


class Place(Protocol):
    """A site, as far as packets need one."""

    @property
    def inner(self) -> str:
        """Inside address."""

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something in the site's namespace."""

    def send_once(self, target: str, source: str = "") -> bool:
        """Send one marked datagram; return whether the kernel took it."""


class Ends(Protocol):
    """Two sites."""

    traffic: "Traffic | None"
    """What is under way between them."""

    @property
    def sites(self) -> tuple[Place, Place]: ...


def open_udp(address: str, timeout: float) -> socket.socket:
    """Return a socket for `TRAFFIC_PORT` of the address that holds a burst."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    opened.bind((address, TRAFFIC_PORT))
    opened.settimeout(timeout)
    return opened


def packet_arrives(sender: Place, receiver: Place, source: str = "") -> bool:
    """Send one marked packet to the other end; return whether it came through."""
    with receiver.call(open_udp, receiver.inner, ARRIVAL_LIMIT) as listener:
        if not sender.send_once(receiver.inner, source):
            return False
        try:
            return listener.recv(2048) == MARKER
        except TimeoutError:
            return False


class Traffic:
    """Numbered packets both ways, one each `interval` seconds, until it is left."""

    def __init__(self, pair: Ends, interval: float = PACKET_INTERVAL) -> None:
        self.interval = interval
        self.sent = [0, 0]
        self.refused = [0, 0]
        self.seen: tuple[set[int], set[int]] = (set(), set())
        self._end = threading.Event()
        self._pair = pair
        self._sockets = [site.call(open_udp, site.inner, 0.1) for site in pair.sites]
        self._threads = [
            threading.Thread(target=target, args=(side,))
            for side in (0, 1)
            for target in (self._send, self._receive)
        ]

    def wait_arrived(self) -> None:
        """Wait until all that was sent by now has arrived, or must be lost.

        The packets of an epoch may still be queued on a busy machine when the next
        one is in force; the daemon, too, retires none as fast as tests do.
        """
        sent = list(self.sent)
        until = time.monotonic() + UNDER_WAY_LIMIT
        for side, seen in enumerate(reversed(self.seen)):
            missing = set(range(sent[side])) - seen
            while missing and time.monotonic() < until:
                time.sleep(POLL_INTERVAL)
                missing -= seen

    @property
    def lost(self) -> int:
        return sum(self.sent) - sum(len(seen) for seen in self.seen)

    def __enter__(self) -> "Traffic":
        self._pair.traffic = self
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._pair.traffic = None
        for thread in self._threads:
            thread.join(timeout=30)
        for opened in self._sockets:
            opened.close()

    def _send(self, side: int) -> None:
        target = (self._pair.sites[1 - side].inner, TRAFFIC_PORT)
        due = time.monotonic()
        while not self._end.is_set():
            packet = struct.pack("!Q", self.sent[side]) + MARKER
            self.sent[side] += 1
            try:
                self._sockets[side].sendto(packet, target)
            except OSError:
                self.refused[side] += 1
            # What this thread did not send in time is not made up for: a burst fills
            # queues that hold what comes at this pace.
            due = max(due + self.interval, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _receive(self, side: int) -> None:
        quiet_since = time.monotonic()
        while not self._end.is_set() or time.monotonic() - quiet_since < DRAIN:
            try:
                packet = self._sockets[side].recv(2048)
            except TimeoutError:
                continue
            quiet_since = time.monotonic()
            self.seen[side].add(struct.unpack_from("!Q", packet)[0])
