"""Branches that rotate on schedule against a hub somewhere else, and are timed."""

import os
import select
import socket
import time
from collections.abc import Sequence

from benches.answers import Driver, make_parameters
from benches.hub import tunnel_name
from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.handshake.machine import Machine
from gateway.wire.payloads import Policy

MAX_WAIT = 0.05
"""Seconds between looks at what is due."""

BATCH = 64


class FloodBranches:
    """One machine, with one socket and a tunnel for each branch.

    Attributes:
        started: Handshakes begun.
        took: Seconds of each that ended well.
        sent: What was last sent, oldest first.
    """

    def __init__(
        self,
        identities: Sequence[PrivateIdentity],
        hub: PublicIdentity,
        sock: socket.socket,
        target: tuple[str, int],
        interval: float,
        *,
        first: int = 0,
    ) -> None:
        """Know every tunnel; nothing is sent.

        Args:
            identities: The branches'.
            hub: The hub's.
            sock: Not blocking.
            target: Where the hub is.
            interval: Seconds between rotations of one tunnel.
            first: Number of the first branch.
        """
        self.driver = Driver(Machine(random=os.urandom))
        self._names = [tunnel_name(first + index) for index in range(len(identities))]
        self._socket, self._target, self._interval = sock, target, interval
        self._begun: dict[str, tuple[int, float]] = {}
        self.started = 0
        self.took: list[float] = []
        self.sent: list[bytes] = []
        for name, identity in zip(self._names, identities, strict=True):
            self.driver.machine.add_tunnel(
                make_parameters(
                    name,
                    identity,
                    hub,
                    initiator=True,
                    policy=Policy.OFF,
                    interval=interval,
                )
            )

    def run(self, seconds: float, *, begin: bool = True) -> None:
        """Rotate every tunnel once an interval, evenly; then only answer."""
        start, spacing = time.monotonic(), self._interval / len(self._names)
        turn = 0
        while (now := time.monotonic()) < start + seconds:
            while begin and now >= start + turn * spacing:
                self._begin(self._names[turn % len(self._names)], now)
                turn += 1
            self._work(now)
            select.select([self._socket], [], [], MAX_WAIT)

    def bring_up(self) -> None:
        """Rotate each tunnel once, a few at a time.

        Raises:
            TimeoutError: The hub does not answer.
        """
        for name in self._names:
            self._begin(name, time.monotonic())
            self.run(0.02, begin=False)
        self.run(2.0, begin=False)
        if self._begun:
            raise TimeoutError(f"{len(self._begun)} branches did not come up")
        self.started, self.took = 0, []

    def _begin(self, name: str, now: float) -> None:
        epoch = self.driver.start(name, self._target, now=now, key_ids=())
        self._begun[name] = (epoch, now)
        self.started += 1

    def _work(self, now: float) -> None:
        driver = self.driver
        for _ in range(BATCH):
            try:
                data = self._socket.recv(2048)
            except BlockingIOError:
                break
            driver.receive(data, self._target, now=now)
        driver.machine.handle_timer(now=now)
        driver.work(now=now)
        for data, _ in driver.machine.datagrams_to_send():
            self._socket.sendto(data, self._target)
            self.sent.append(data)
        del self.sent[:-600]
        for name, epoch in driver.committed.items():
            if name in self._begun and self._begun[name][0] == epoch:
                self.took.append(time.monotonic() - self._begun.pop(name)[1])
        driver.committed.clear()
