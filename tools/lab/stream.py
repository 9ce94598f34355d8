"""A stream of numbered packets both ways that tells when it flowed and when not."""

import select
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.gateway import INNER
from lab.inside import open_socket
from lab.netns import Namespace
from lab.traffic import MARKER

PORT = 4711
INTERVAL = 0.02
"""Seconds between packets of one direction: far finer than what is asserted."""

_STAMP = struct.Struct("!d")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet that arrived; times are monotonic seconds."""

    sent_at: float
    received_at: float


class Stream:
    """Sends both ways from a thread of this process until it is closed.

    Attributes:
        arrivals: What arrived at ``a`` and at ``b``, in order.
        sent: Packets sent, both directions together.
    """

    def __init__(
        self,
        namespaces: tuple[Namespace, Namespace],
        inner: Mapping[str, str] = INNER,
    ) -> None:
        """Begin to send; both inside addresses must be there."""
        self._inner = dict(inner)
        self.arrivals: dict[str, list[Arrival]] = {"a": [], "b": []}
        self.sent = 0
        self._sockets: dict[str, socket.socket] = {}
        for letter, namespace in zip("ab", namespaces, strict=True):
            sock = open_socket(namespace.name, socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[letter] = sock
            sock.bind((self._inner[letter], PORT))
            sock.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()
        for sock in self._sockets.values():
            sock.close()

    def wait_both_ways(self, since: float, *, until: float) -> bool:
        """Wait until a packet sent after `since` has arrived at both ends."""
        while time.monotonic() < until:
            if all(_is_after(seen, since) for seen in self.arrivals.values()):
                return True
            time.sleep(INTERVAL)
        return False

    def steady_since(self, since: float, until: float, *, gap: float) -> float:
        """Return when traffic began to flow both ways without a gap until `until`.

        Args:
            since: Packets sent before do not count.
            until: Later arrivals are not looked at.
            gap: Seconds without a packet that count as one.
        """
        steady = since
        for seen in self.arrivals.values():
            last, began = since, since
            for arrival in _between(seen, since, until):
                if arrival.received_at - last >= gap:
                    began = arrival.received_at
                last = arrival.received_at
            if until - last >= gap:
                began = until
            first = next(iter(_between(seen, since, until)), None)
            if first is not None:
                began = max(began, first.received_at)
            steady = max(steady, began)
        return steady

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= due:
                self._send(now)
                due = max(due + INTERVAL, now)
            wait = max(0.0, due - time.monotonic())
            for sock in select.select(list(self._sockets.values()), [], [], wait)[0]:
                self._receive(sock)

    def _send(self, now: float) -> None:
        for letter, sock in self._sockets.items():
            peer = self._inner["b" if letter == "a" else "a"]
            self.sent += 1
            try:
                sock.sendto(_STAMP.pack(now) + MARKER, (peer, PORT))
            except OSError:
                continue  # no route, blocked, no buffer: it is lost, and that counts

    def _receive(self, sock: socket.socket) -> None:
        letter = "a" if sock is self._sockets["a"] else "b"
        try:
            data = sock.recv(2048)
        except OSError:
            return  # an ICMP error for something we sent
        if data[_STAMP.size :] == MARKER:
            (sent_at,) = _STAMP.unpack_from(data)
            self.arrivals[letter].append(Arrival(sent_at, time.monotonic()))


def _is_after(seen: Sequence[Arrival], since: float) -> bool:
    return bool(seen) and seen[-1].sent_at >= since


def _between(seen: Sequence[Arrival], since: float, until: float) -> list[Arrival]:
    """Return what was sent after `since` and arrived before `until`."""
    found: list[Arrival] = []
    for arrival in reversed(seen):
        if arrival.received_at < since:
            break
        if arrival.sent_at >= since and arrival.received_at <= until:
            found.append(arrival)
    found.reverse()
    return found
