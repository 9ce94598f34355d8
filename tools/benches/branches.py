"""Many branches in this process that call one hub over a real socket."""

import os
import socket
import time
from collections.abc import Callable, Iterable

from benches.answers import Driver, make_parameters
from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.handshake.machine import Machine
from gateway.wire.payloads import Policy

HANDSHAKE_TIMEOUT = 20.0
"""Seconds one handshake may take, retransmissions included."""


class Branches:
    """One machine with a tunnel for each branch, and one UDP socket for all."""

    def __init__(
        self,
        identities: Iterable[PrivateIdentity],
        hub: PublicIdentity,
        port: int,
        *,
        name_of: Callable[[int], str],
        policy: Policy = Policy.REQUIRED,
        interval: float = 120.0,
    ) -> None:
        self._driver = Driver(Machine(random=os.urandom))
        self._names = []
        self._hub = ("127.0.0.1", port)
        self._policy = policy
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self._turn = 0
        for index, identity in enumerate(identities):
            name = name_of(index)
            self._names.append(name)
            self._driver.machine.add_tunnel(
                make_parameters(
                    name,
                    identity,
                    hub,
                    initiator=True,
                    policy=policy,
                    interval=interval,
                )
            )

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def rotate_next(self) -> None:
        """Rotate the next tunnel in turn, and wait until it is done.

        Raises:
            TimeoutError: The hub did not answer.
        """
        name = self._names[self._turn * 1009 % len(self._names)]
        self._turn += 1
        start = time.monotonic()
        key_ids = () if self._policy is Policy.OFF else None
        epoch = self._driver.start(name, self._hub, now=start, key_ids=key_ids)
        self._send()
        while self._driver.committed.get(name) != epoch:
            if time.monotonic() - start > HANDSHAKE_TIMEOUT:
                raise TimeoutError(f"{name} did not rotate")
            self._wait(0.25)

    def serve(self, seconds: float) -> None:
        """Answer what the hub says for some time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._wait(min(left, 0.25))

    def _wait(self, seconds: float) -> None:
        """Take in what arrives within some time.

        Timers are looked at only when nothing arrives. So what was lost is sent
        again, but no branch pings the hub while handshakes are measured: pings are
        a cost of tunnels and seconds, not of handshakes.
        """
        self._socket.settimeout(max(seconds, 0.0001))
        try:
            data = self._socket.recv(2048)
        except TimeoutError:
            self._driver.machine.handle_timer(now=time.monotonic())
        else:
            now = time.monotonic()
            self._driver.machine.receive_datagram(data, self._hub, now=now)
        self._driver.work(now=time.monotonic())
        self._send()

    def _send(self) -> None:
        for data, _ in self._driver.machine.datagrams_to_send():
            self._socket.sendto(data, self._hub)
