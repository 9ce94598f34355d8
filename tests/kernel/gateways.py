"""Two gateways that share a tunnel, each with a plane in a namespace of its own.

A plane opens its sockets, and starts its processes, in the namespace of the thread
that calls it. So each site has one worker thread that lives in its namespace, as the
daemon has one for its plane.
"""

import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.dataplane.base import (
    DataPlane,
    EpochInstall,
    PlaneKeys,
    PlaneState,
    TunnelSpec,
)
from gateway.secret import Secret
from tests.kernel.cable import run
from tests.kernel.pace import GRACE, IN_FORCE_LIMIT, POLL_INTERVAL
from tests.kernel.traffic import MARKER, TRAFFIC_PORT, Traffic

T = TypeVar("T")
Plane = TypeVar("Plane", bound=DataPlane)

CONTROL_PORT = 51810


@dataclass
class Site(Generic[Plane]):
    """One gateway: a namespace, a worker thread in it, a plane."""

    namespace: str
    outer: str
    inner: str
    spec: TunnelSpec
    is_initiator: bool
    new_plane: Callable[[], Plane] = field(repr=False)
    """Makes a plane that knows nothing yet, as a daemon that starts has."""

    thread: ThreadPoolExecutor = field(repr=False)
    plane: Plane = field(init=False)

    def __post_init__(self) -> None:
        self.plane = self.new_plane()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something in the namespace."""
        return self.thread.submit(function, *arguments).result(timeout=60)

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.namespace, *arguments)

    def routes(self) -> str:
        """Return the routes in our own table, both families."""
        listed = self.ip("route", "show", "table", "all")
        listed += self.ip("-6", "route", "show", "table", "all")
        ours = [line for line in listed.splitlines() if " table 5157 " in line]
        return "\n".join(sorted(ours))

    def poll(self) -> PlaneState:
        return self.call(self.plane.poll, self.spec.name)

    def read_state(self) -> PlaneState:
        return self.call(self.plane.read_state, self.spec.name)

    def restart(self) -> None:
        """End the plane and start a new one on what is there, as the daemon does."""

        def replace() -> None:
            self.plane.close()
            self.plane = self.new_plane()
            self.plane.open()
            self.plane.add_tunnel(self.spec)

        self.call(replace)

    def send_once(self, target: str, source: str = "") -> bool:
        """Send one marked datagram; return whether the kernel took it."""

        def send() -> bool:
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                if source:
                    sender.bind((source, 0))
                try:
                    sender.sendto(MARKER, (target, TRAFFIC_PORT))
                except OSError:
                    return False
            return True

        return self.call(send)


@dataclass
class Pair(Generic[Plane]):
    """Two sites and their rotations."""

    near: Site[Plane]
    far: Site[Plane]
    epoch: int = 0
    lifetime: float = 360
    in_force_limit: float = IN_FORCE_LIMIT
    installs: list[tuple[Site[Plane], EpochInstall]] = field(default_factory=list)
    traffic: Traffic | None = None

    @property
    def sites(self) -> tuple[Site[Plane], Site[Plane]]:
        return self.near, self.far

    def prepare(self, *, unequal: bool = False, near_seen_at: str = "") -> None:
        """Prepare the next epoch at both ends as the daemons would.

        Args:
            unequal: Whether the far end gets other keys.
            near_seen_at: Address the far end believes the near end has.
        """
        self.epoch += 1
        offers = [
            site.call(site.plane.offer, site.spec.name, self.epoch)
            for site in self.sites
        ]
        ours = secrets.token_bytes(36), secrets.token_bytes(36), secrets.token_bytes(32)
        theirs = ours[1], ours[0], ours[2]
        if unequal:
            send, receive, psk = (secrets.token_bytes(len(key)) for key in ours)
            theirs = send, receive, psk
        seen_at = self.far.outer, near_seen_at or self.near.outer
        self.installs = [
            (
                site,
                EpochInstall(
                    tunnel=site.spec.name,
                    epoch=self.epoch,
                    initiator=site.is_initiator,
                    local_address=(site.outer, CONTROL_PORT),
                    peer_address=(seen_at[side], CONTROL_PORT),
                    local_offer=offers[side],
                    peer_offer=offers[1 - side],
                    keys=PlaneKeys(*(Secret(key) for key in keys)),
                    lifetime=self.lifetime,
                ),
            )
            for side, (site, keys) in enumerate(
                zip(self.sites, (ours, theirs), strict=True)
            )
        ]
        for site, install in self.installs:
            site.call(site.plane.prepare, install)

    def activate(self, *sites: Site[Plane]) -> float:
        """Commit: the responder, then the initiator, or those named; return when."""
        committed = time.monotonic()
        for site in sites or (self.far, self.near):
            site.call(site.plane.activate, site.spec.name, self.epoch)
        return committed

    def retire(self, epoch: int) -> None:
        for site in self.sites:
            site.call(site.plane.retire, site.spec.name, epoch)

    def is_in_force(self) -> bool:
        states = [site.poll() for site in self.sites]
        return all(
            any(e.epoch == self.epoch and e.active and e.received for e in s.epochs)
            for s in states
        )

    def wait_in_force(self, committed: float, limit: float | None = None) -> float:
        """Poll both ends until the epoch is in force; return after how long."""
        while not self.is_in_force():
            waited = time.monotonic() - committed
            states = [site.read_state() for site in self.sites]
            assert waited < (limit or self.in_force_limit), states
            time.sleep(POLL_INTERVAL)
        return time.monotonic() - committed

    def rotate(self) -> float:
        """Bring the next epoch in force and retire the one before."""
        before = self.epoch
        self.prepare()
        took = self.wait_in_force(self.activate())
        time.sleep(GRACE)
        if self.traffic is not None:
            self.traffic.wait_arrived()
        self.retire(before)
        return took
