"""Two gateways with ESP planes in namespaces of their own, joined by a cable.

Each site has one worker thread that lives in its namespace and calls its plane, as
the daemon has one. Traffic threads use sockets that were opened there.
"""

import collections
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
from gateway.dataplane.esp import EspPlane, enable_udp_encap
from gateway.secret import Secret
from tests.kernel.batch import run_ip

T = TypeVar("T")

MARKER = b"IN-CLEAR-IF-YOU-CAN-READ-THIS"
"""In every packet of `Traffic`; must never be seen on the cable."""

CONTROL_PORT = 51810
TRAFFIC_PORT = 4000
SO_RCVBUFFORCE = 33  # linux/asm-generic/socket.h; not in Python's socket module
ETH_P_ALL = 0x0003
IPV4 = b"\x08\x00"
DRAIN = 0.3
GRACE = 0.05
"""Seconds an old epoch goes on receiving; the daemon waits longer."""


def run(*command: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(  # noqa: S603  # commands of this file
        command, check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def ping(namespace: str, target: str, size: int = 56) -> bool:
    """Ping with so many bytes, unfragmented; return whether an answer came."""
    options = ("-c1", "-W1", "-Mdo", f"-s{size}")
    done = subprocess.run(  # noqa: S603  # commands of this file
        ("/bin/ip", "netns", "exec", namespace, "ping", *options, target),
        check=False,
        capture_output=True,
        timeout=10,
    )
    return done.returncode == 0


@dataclass(frozen=True)
class Layout:
    """Which address families are outside and inside."""

    outer6: bool = False
    inner6: bool = False
    encap: bool = False
    mtu: int = 1500

    def outer(self, side: int) -> str:
        return f"fd00:77::{side + 1}" if self.outer6 else f"192.0.2.{side + 1}"

    def inner(self, side: int) -> str:
        return f"fd00:{side + 1}::1" if self.inner6 else f"10.{side + 1}.0.1"

    def subnet(self, side: int) -> str:
        return f"fd00:{side + 1}::/64" if self.inner6 else f"10.{side + 1}.0.0/24"

    def joint(self, side: int) -> str:
        return f"fd00:9::{side + 1}/126" if self.inner6 else f"10.9.0.{side + 1}/30"


@dataclass
class Site:
    """One gateway: a namespace, a worker thread in it, a plane."""

    namespace: str
    outer: str
    inner: str
    spec: TunnelSpec
    is_initiator: bool
    thread: ThreadPoolExecutor = field(repr=False)
    plane: EspPlane = field(default_factory=EspPlane)

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
            self.plane = EspPlane()
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
class Pair:
    """Two sites and their rotations."""

    near: Site
    far: Site
    epoch: int = 0
    lifetime: float = 360
    installs: list[tuple[Site, EpochInstall]] = field(default_factory=list)

    @property
    def sites(self) -> tuple[Site, Site]:
        return self.near, self.far

    def prepare(self, *, far_key: bytes | None = None) -> None:
        """Prepare the next epoch at both ends; `far_key` gives the far end others."""
        self.epoch += 1
        keys = secrets.token_bytes(36), secrets.token_bytes(36)
        offers = [
            site.call(site.plane.offer, site.spec.name, self.epoch)
            for site in self.sites
        ]
        self.installs = []
        for side, site in enumerate(self.sites):
            send, receive = keys[side], keys[1 - side]
            if side == 1 and far_key is not None:
                send = receive = far_key
            install = EpochInstall(
                tunnel=site.spec.name,
                epoch=self.epoch,
                initiator=site.is_initiator,
                local_address=(site.outer, CONTROL_PORT),
                peer_address=(self.sites[1 - side].outer, CONTROL_PORT),
                local_offer=offers[side],
                peer_offer=offers[1 - side],
                keys=PlaneKeys(Secret(send), Secret(receive), Secret(bytes(32))),
                lifetime=self.lifetime,
            )
            self.installs.append((site, install))
            site.call(site.plane.prepare, install)

    def activate(self) -> None:
        """Commit: the responder, then the initiator."""
        for site in (self.far, self.near):
            site.call(site.plane.activate, site.spec.name, self.epoch)

    def retire(self, epoch: int) -> None:
        for site in self.sites:
            site.call(site.plane.retire, site.spec.name, epoch)

    def is_in_force(self) -> bool:
        return all(
            any(
                e.epoch == self.epoch and e.active and e.received
                for e in site.poll().epochs
            )
            for site in self.sites
        )

    def wait_in_force(self, limit: float = 2.0) -> None:
        deadline = time.monotonic() + limit
        while not self.is_in_force():
            assert time.monotonic() < deadline, [s.read_state() for s in self.sites]
            time.sleep(0.02)

    def rotate(self) -> None:
        """Bring the next epoch in force and retire the one before."""
        before = self.epoch
        self.prepare()
        self.activate()
        self.wait_in_force()
        time.sleep(GRACE)
        self.retire(before)


def missing_esp() -> str:
    """Return why this kernel cannot run the ESP plane, or nothing."""
    from gateway.errors import DataPlaneError  # noqa: PLC0415

    plane = EspPlane()
    try:
        plane.open()
    except DataPlaneError as error:
        return f"{error}; {error.hint}. Run: scripts/in-uml .venv/bin/pytest"
    plane.close()
    return ""


def plug_cable(names: list[str], layout: Layout) -> None:
    """Join two namespaces, with outer addresses on the cable and inner ones on lo."""
    run_ip(
        f"link add cable netns {names[0]} type veth peer name cable netns {names[1]}"
    )
    for side, name in enumerate(names):
        outer = f"{layout.outer(side)}/{64 if layout.outer6 else 24}"
        run_ip(
            f"address add {outer} dev cable {'nodad' if layout.outer6 else ''}",
            f"link set cable mtu {layout.mtu} up",
            "link set lo up",
            f"address add {layout.inner(side)} dev lo"
            f" {'nodad' if layout.inner6 else ''}",
            namespace=name,
        )


def spec_of(layout: Layout, side: int) -> TunnelSpec:
    """Return one end's tunnel; indexes differ at the two ends, as in the field."""
    return TunnelSpec(
        name="paris",
        index=side + 7,
        interface="qgw-paris",
        addresses=(layout.joint(side),),
        local_subnets=(layout.subnet(side),),
        remote_subnets=(layout.subnet(1 - side),),
        encap=layout.encap,
    )


@contextmanager
def make_pair(layout: Layout | None = None) -> Iterator[Pair]:
    """Make two joined sites, their planes open and one tunnel added."""
    layout = layout or Layout()
    tag = secrets.token_hex(3)
    with ExitStack() as stack:
        names = [f"qgwe{tag}{side}" for side in "ab"]
        stack.callback(run_ip, *(f"netns delete {name}" for name in names))
        run_ip(*(f"netns add {name}" for name in names))
        plug_cable(names, layout)
        sites = []
        for side, name in enumerate(names):
            thread = ThreadPoolExecutor(1, initializer=netns.setns, initargs=(name,))
            stack.callback(thread.shutdown)
            site = Site(
                name,
                layout.outer(side),
                layout.inner(side),
                spec_of(layout, side),
                side == 0,
                thread,
            )
            if layout.encap:
                control = site.call(control_socket, site.outer)
                stack.callback(control.close)
            site.call(site.plane.open)
            stack.callback(site.call, lambda site=site: site.plane.close())
            site.call(site.plane.add_tunnel, site.spec)
            sites.append(site)
        yield Pair(sites[0], sites[1])


@contextmanager
def hosts_behind(pair: Pair) -> Iterator[tuple[str, str]]:
    """Put a host behind each gateway; yield the near one and the far one's address."""
    names = []
    for side, site in enumerate(pair.sites):
        name = f"{site.namespace}h"
        names.append(name)
        run("ip", "netns", "add", name)
        run(
            *("ip", "link", "add", "lan", "netns", site.namespace, "type", "veth"),
            *("peer", "name", "lan", "netns", name),
        )
        for namespace, host in ((site.namespace, 129), (name, 130)):
            ip = ("ip", "-n", namespace)
            address = f"10.{side + 1}.0.{host}/25"
            run(*ip, "address", "add", address, "dev", "lan")
            run(*ip, "link", "set", "lan", "up")
        run("ip", "-n", name, "route", "add", "default", "via", f"10.{side + 1}.0.129")
        run(
            *("ip", "netns", "exec", site.namespace),
            *("sysctl", "-qw", "net.ipv4.ip_forward=1"),
        )
    try:
        yield names[0], "10.2.0.130"
    finally:
        for name in names:
            run("ip", "netns", "delete", name)


def control_socket(address: str) -> socket.socket:
    """Return a bound socket that takes ESP in UDP, as the daemon's does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    control = socket.socket(family, socket.SOCK_DGRAM)
    control.bind((address, CONTROL_PORT))
    enable_udp_encap(control)
    return control


class Traffic:
    """Numbered packets both ways, one each `interval` seconds, until it is left."""

    def __init__(self, pair: Pair, interval: float = 0.001) -> None:
        self.interval = interval
        self.sent = [0, 0]
        self.refused = [0, 0]
        self.seen: tuple[set[int], set[int]] = (set(), set())
        self._end = threading.Event()
        self._pair = pair
        self._sockets = [site.call(self._make, site.inner) for site in pair.sites]
        self._threads = [
            threading.Thread(target=target, args=(side,))
            for side in (0, 1)
            for target in (self._send, self._receive)
        ]

    @property
    def lost(self) -> int:
        return sum(self.sent) - sum(len(seen) for seen in self.seen)

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=30)
        for one in self._sockets:
            one.close()

    def _make(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        one.bind((address, TRAFFIC_PORT))
        one.settimeout(0.1)
        return one

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
    """Everything that either site puts on the cable.

    Only what goes out counts: a packet socket also sees what came in a second time,
    decrypted, since ESP hands it to the same interface again.
    """

    def __init__(self, pair: Pair) -> None:
        self._sockets = [site.call(self._open) for site in pair.sites]
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(one,)) for one in self._sockets
        ]
        self.leaks = 0
        self.protocols: collections.Counter[int] = collections.Counter()

    @property
    def esp(self) -> int:
        return self.protocols[socket.IPPROTO_ESP]

    @property
    def udp(self) -> int:
        return self.protocols[socket.IPPROTO_UDP]

    def __enter__(self) -> "Tap":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep(0.2)
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=10)
        for one in self._sockets:
            one.close()

    def _open(self) -> socket.socket:
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        one.bind(("cable", ETH_P_ALL))
        one.settimeout(0.1)
        return one

    def _read(self, one: socket.socket) -> None:
        while True:
            try:
                frame, address = one.recvfrom(65535)
            except TimeoutError:
                # Not before all that was captured has been read.
                if self._end.is_set():
                    return
                continue
            if address[2] != socket.PACKET_OUTGOING:
                continue
            self.leaks += MARKER in frame
            self.protocols[frame[23] if frame[12:14] == IPV4 else frame[20]] += 1
