"""Two gateways in namespaces of their own, joined by a cable, and traffic between.

A plane opens its sockets, and starts its processes, in the namespace of the thread
that calls it. So each site has one worker thread that lives in its namespace, as the
daemon has one for its plane.
"""

import secrets
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pyroute2 import netns

from gateway.dataplane.base import EpochInstall, PlaneKeys, PlaneState, TunnelSpec
from gateway.dataplane.wireguard import kernel_wireguard, userspace_wireguard
from gateway.dataplane.wireguard.plane import WireGuardPlane
from gateway.secret import Secret
from tests.dataplane_contract import End
from tests.kernel.batch import run_ip

T = TypeVar("T")

MARKER = b"IN-CLEAR-IF-YOU-CAN-READ-THIS"
"""In every packet of `Traffic`; must never be seen on the cable."""

SO_RCVBUFFORCE = 33  # linux/asm-generic/socket.h; not in Python's socket module

POLL_INTERVAL = 0.05
IN_FORCE_LIMIT = 5.0

ARRIVAL_LIMIT = 0.2
"""Seconds for a packet to arrive; it takes 1 ms on an idle machine."""

GRACE = 0.2
"""Seconds an old epoch goes on receiving what is under way; the daemon waits longer."""

DRAIN = 0.5


def run(*command: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(  # noqa: S603  # commands of this file
        command, check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@dataclass
class Site:
    """One gateway: a namespace, a worker thread in it, a plane."""

    namespace: str
    outer: str
    inner: str
    plane: WireGuardPlane
    spec: TunnelSpec
    is_initiator: bool
    thread: ThreadPoolExecutor = field(repr=False)

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


@dataclass
class Pair:
    """Two sites and their rotations."""

    near: Site
    far: Site
    epoch: int = 0

    @property
    def sites(self) -> tuple[Site, Site]:
        return self.near, self.far

    def prepare(self, *, far_psk: bytes | None = None, near_seen_at: str = "") -> None:
        """Prepare the next epoch at both ends as the daemons would.

        Args:
            far_psk: Another PSK for the far end, to make it a wrong one.
            near_seen_at: Address the far end believes the near end has.
        """
        self.epoch += 1
        psk = secrets.token_bytes(32)
        near, far = self.sites
        offers = {
            site.namespace: site.call(site.plane.offer, site.spec.name, self.epoch)
            for site in self.sites
        }
        for site, peer, key in ((near, far, psk), (far, near, far_psk or psk)):
            seen_at = near_seen_at if site is far and near_seen_at else peer.outer
            install = EpochInstall(
                tunnel=site.spec.name,
                epoch=self.epoch,
                initiator=site.is_initiator,
                local_address=(site.outer, 51810),
                peer_address=(seen_at, 51810),
                local_offer=offers[site.namespace],
                peer_offer=offers[peer.namespace],
                keys=PlaneKeys(
                    Secret(bytes(36)), Secret(bytes(36)), wireguard_psk=Secret(key)
                ),
                lifetime=360,
            )
            site.call(site.plane.prepare, install)

    def activate(self, *sites: Site) -> float:
        """Commit: the responder, then the initiator, or those named; return when."""
        committed = time.monotonic()
        for site in sites or (self.far, self.near):
            site.call(site.plane.activate, site.spec.name, self.epoch)
        return committed

    def retire(self, epoch: int) -> None:
        for site in self.sites:
            site.call(site.plane.retire, site.spec.name, epoch)

    def reaches(self, sender: End, receiver: End) -> bool:
        """Send one packet from one inside address to the other."""
        source, target = (
            self.near.inner if end is self.near else self.far.inner
            for end in (sender, receiver)
        )
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        make = (socket.socket, family, socket.SOCK_DGRAM)
        with receiver.call(*make) as listening, sender.call(*make) as sending:
            listening.bind((target, 4001))
            listening.settimeout(ARRIVAL_LIMIT)
            sending.bind((source, 0))
            try:
                sending.sendto(MARKER, (target, 4001))
                return listening.recv(100) == MARKER
            except OSError:
                return False

    def is_in_force(self) -> bool:
        states = [site.poll() for site in self.sites]
        return all(
            any(e.epoch == self.epoch and e.active and e.received for e in s.epochs)
            for s in states
        )

    def wait_in_force(self, committed: float, limit: float = IN_FORCE_LIMIT) -> float:
        """Poll both ends until the epoch is in force; return after how long."""
        while not self.is_in_force():
            assert time.monotonic() - committed < limit, [s.poll() for s in self.sites]
            time.sleep(POLL_INTERVAL)
        return time.monotonic() - committed

    def rotate(self) -> float:
        """Bring the next epoch in force and retire the one before."""
        before = self.epoch
        self.prepare()
        took = self.wait_in_force(self.activate())
        time.sleep(GRACE)
        self.retire(before)
        return took


def make_plane(kind: str, tag: str) -> WireGuardPlane:
    """Return a plane with device names of its own: their sockets share a folder."""
    make = {"wireguard": kernel_wireguard, "wireguard-go": userspace_wireguard}[kind]
    return make((f"{tag}-0", f"{tag}-1"), (51811, 51812))


@contextmanager
def make_pair(kind: str, *, v6: bool = False, mtu: int = 1500) -> Iterator[Pair]:
    """Make two joined sites, their planes open and one tunnel added."""
    tag = secrets.token_hex(3)
    length = 64 if v6 else 24
    outer = ("fd00:77::1", "fd00:77::2") if v6 else ("192.0.2.1", "192.0.2.2")
    inner = ("fd00:1::1", "fd00:2::1") if v6 else ("10.1.0.1", "10.2.0.1")
    nets = ("fd00:1::/64", "fd00:2::/64") if v6 else ("10.1.0.0/24", "10.2.0.0/24")
    joint = ("fd00:9::1/126", "fd00:9::2/126") if v6 else ("10.9.0.1/30", "10.9.0.2/30")
    with ExitStack() as stack:
        names = [f"qgwt{tag}{side}" for side in "ab"]
        stack.callback(run_ip, *(f"netns delete {name}" for name in names))
        run_ip(
            *(f"netns add {name}" for name in names),
            f"link add cable netns {names[0]} type veth"
            f" peer name cable netns {names[1]}",
        )
        sites = []
        for i, name in enumerate(names):
            run_ip(
                f"address add {outer[i]}/{length} dev cable {'nodad' if v6 else ''}",
                f"link set cable mtu {mtu} up",
                "link set lo up",
                f"address add {inner[i]} dev lo",
                namespace=name,
            )
            thread = ThreadPoolExecutor(1, initializer=netns.setns, initargs=(name,))
            stack.callback(thread.shutdown)
            spec = TunnelSpec(
                name="paris",
                index=1,
                interface="unused",
                addresses=(joint[i],),
                local_subnets=(nets[i],),
                remote_subnets=(nets[1 - i],),
            )
            plane = make_plane(kind, f"t{tag}{'ab'[i]}")
            site = Site(name, outer[i], inner[i], plane, spec, i == 0, thread)
            site.call(plane.open)
            stack.callback(site.call, dispose, site)
            site.call(plane.add_tunnel, spec)
            sites.append(site)
        near, far = sites
        yield Pair(near, far)


def dispose(site: Site) -> None:
    """Remove devices, and with them processes, then close sockets."""
    site.plane.remove_devices()
    site.plane.close()


def restart(site: Site) -> None:
    """End a site's plane and start a new one on what is there, as the daemon does."""

    def replace_plane() -> None:
        names = site.plane._devices.names
        site.plane.close()
        site.plane = type(site.plane)(
            type(site.plane._backend)(), names, site.plane._devices.ports
        )
        site.plane.open()
        site.plane.add_tunnel(site.spec)

    site.call(replace_plane)


def send_once(site: Site, target: str, payload: bytes = MARKER) -> bool:
    """Send one datagram from a site; return whether the kernel took it."""

    def send() -> bool:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(payload, (target, 9))
            except OSError:
                return False
        return True

    return site.call(send)


class Traffic:
    """Numbered packets both ways, one each `interval` seconds, until it is left."""

    def __init__(self, pair: Pair, interval: float) -> None:
        self.interval = interval
        self.sent = [0, 0]
        self.refused = [0, 0]
        self.seen: tuple[set[int], set[int]] = (set(), set())
        self._end = threading.Event()
        self._pair = pair
        self._sockets = [site.call(self._make, site) for site in pair.sites]
        self._threads: list[threading.Thread] = []

    @property
    def lost(self) -> int:
        return sum(self.sent) - sum(len(seen) for seen in self.seen)

    def __enter__(self) -> "Traffic":
        for side in (0, 1):
            for target in (self._send, self._receive):
                thread = threading.Thread(target=target, args=(side,))
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=30)
        for one in self._sockets:
            one.close()

    def _make(self, site: Site) -> socket.socket:
        family = socket.AF_INET6 if ":" in site.inner else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        one.bind((site.inner, 4000))
        one.settimeout(0.1)
        return one

    def _send(self, side: int) -> None:
        target = (self._pair.sites[1 - side].inner, 4000)
        due = time.monotonic()
        while not self._end.is_set():
            number = self.sent[side]
            self.sent[side] += 1
            try:
                packet = struct.pack("!Q", number) + MARKER
                self._sockets[side].sendto(packet, target)
            except OSError:
                self.refused[side] += 1
            due += self.interval
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


class Tap:
    """Everything that passes on the cable, seen at one site."""

    def __init__(self, site: Site) -> None:
        self._socket = site.call(self._open)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.frames = 0
        self.leaks = 0
        self.udp = 0

    def __enter__(self) -> "Tap":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep(0.2)
        self._end.set()
        self._thread.join(timeout=10)
        self._socket.close()

    def _open(self) -> socket.socket:
        everything = 0x0003
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
        one.bind(("cable", everything))
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        one.settimeout(0.1)
        return one

    def _read(self) -> None:
        while True:
            try:
                frame = self._socket.recv(65535)
            except TimeoutError:
                # Not before all that was captured has been read.
                if self._end.is_set():
                    return
                continue
            self.frames += 1
            self.leaks += MARKER in frame
            self.udp += frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP
