"""Four hosts in namespaces, and where a packet between them arrives.

::

    lan -- gateway -- far      the tunnel's device, and behind it 10.2.0.10
              |
             wan               pretends to be 10.2.0.10 as well

A packet for 10.2.0.10 that arrives at the wan left in clear.
"""

import contextlib
import os
import re
import secrets
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from lab.inside import made_inside
from lab.netns import COMMAND_TIMEOUT, run

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Home, Passage
from gateway.dataplane.fence.nft.fence import NftFence
from tests.kernel.batch import run_ip

NAME: Final = "a-b"
REMOTE: Final = {4: "10.2.0.10", 6: "fd00:2::10"}
LAN: Final = {4: "10.1.0.2", 6: "fd00:1::2"}
OWN: Final = {4: "10.1.0.1", 6: "fd00:1::1"}
WAN: Final = {4: "203.0.113.2", 6: "2001:db8::2"}
TUNNEL: Final = FencedTunnel(
    NAME, ("10.2.0.0/16", "fd00:2::/48"), ("10.1.0.0/24", "fd00:1::/64")
)
HOMES: Final = (Home("10.1.0.0/24", ("lan0",)), Home("fd00:1::/64", ("lan0",)))
PLAN: Final = FencePlan((TUNNEL,), ports=(51810, 51811, 51812), homes=HOMES)
DEVICE: Final = Passage(devices=("tun0",))
PORT: Final = 4000
PATIENCE: Final = 0.15
"""Seconds to wait for a packet that crosses two virtual cables."""

SO_MARK: Final = 36
SO_RCVBUFFORCE: Final = 33
FREEBIND: Final = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass
class Place:
    """The four hosts.

    Attributes:
        tag: Start of their names.
        sockets: Listening sockets by host and IP version.
    """

    tag: str
    sockets: dict[tuple[str, int], socket.socket] = field(default_factory=dict)

    def name(self, host: str) -> str:
        """Name of a host's namespace."""
        return f"{self.tag}-{host}"

    def run(
        self,
        host: str,
        *command: str,
        check: bool = True,
        timeout: float = COMMAND_TIMEOUT,
    ) -> str:
        """Run a command on a host."""
        inside = ("ip", "netns", "exec", self.name(host), *command)
        return run(*inside, check=check, timeout=timeout)

    def ip(self, host: str, *lines: str) -> None:
        """Run ip commands on a host."""
        run_ip(*lines, namespace=self.name(host))

    def nft(self, rules: str) -> None:
        """Load rules at the gateway as an administrator does."""
        self.run("gateway", "nft", rules)

    def listing(self) -> str:
        """What an administrator sees of the fence."""
        return self.run("gateway", "nft", "list", "table", "inet", "qgw")

    def handle(self) -> str:
        """The kernel's number of the table, another one once it is made anew."""
        listed = self.run("gateway", "nft", "-a", "list", "table", "inet", "qgw")
        (found,) = re.findall(r"table inet qgw \{ # handle (\d+)", listed)
        return str(found)

    def fence(self, *, owned: bool = True) -> NftFence:
        """Open the gateway's fence."""
        return made_inside(self.name("gateway"), lambda: NftFence(owned=owned))

    def arrivals(
        self,
        host: str,
        to: str,
        *,
        source: str = "",
        mark: int = 0,
        port: int = PORT,
        wait: float = PATIENCE,
        source_port: int = 0,
    ) -> set[str]:
        """Send one packet; return the hosts where it arrives, ``"refused"`` if none."""
        version = 6 if ":" in to else 4
        text = secrets.token_bytes(16)
        with self.sender(
            host, version, source=source, mark=mark, port=source_port
        ) as sender:
            try:
                sender.sendto(text, (to, port))
            except PermissionError:
                return {"refused"}
            except OSError:
                return {"unreachable"}
            return self.received(text, version, wait)

    @contextlib.contextmanager
    def sender(
        self,
        host: str,
        version: int,
        *,
        source: str = "",
        mark: int = 0,
        port: int = 0,
    ) -> Iterator[socket.socket]:
        """Open a sending socket on a host."""

        def make() -> socket.socket:
            return socket.socket(FAMILIES[version], socket.SOCK_DGRAM)

        with made_inside(self.name(host), make) as sock:
            if mark:
                sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            if source:
                sock.setsockopt(*FREEBIND[version], 1)
            if source or port:
                sock.bind((source, port))
            yield sock

    def received(self, text: bytes, version: int, wait: float = PATIENCE) -> set[str]:
        """Wait for a packet; return where it arrived."""
        listeners = {
            sock: host for (host, each), sock in self.sockets.items() if each == version
        }
        found: set[str] = set()
        while ready := select.select(list(listeners), [], [], wait)[0]:
            for sock in ready:
                if sock.recv(2048) == text:
                    found.add(listeners[sock])
            if found:
                wait = 0.0
        return found

    def outward(self, version: int) -> dict[str, set[str]]:
        """Where packets for the far site arrive: a LAN host's, and our own."""
        return {
            host: self.arrivals(host, REMOTE[version]) for host in ("lan", "gateway")
        }

    def inward(self, version: int, host: str) -> dict[str, set[str]]:
        """Where packets that a host sends as the far site's arrive."""
        source = REMOTE[version]
        return {
            "lan": self.arrivals(host, LAN[version], source=source),
            "gateway": self.arrivals(host, OWN[version], source=source),
        }

    def divert(self) -> None:
        """Make a foreign route that wins over the tunnel's."""
        self.ip("gateway", f"route add 10.2.0.10/32 via {WAN[4]}")
        self.ip("gateway", f"route add fd00:2::10/128 via {WAN[6]}")


@contextlib.contextmanager
def make_place() -> Iterator[Place]:
    """Make the hosts and remove them in the end."""
    place = Place(f"qf{os.getpid()}{secrets.token_hex(2)}")
    hosts = ("gateway", "lan", "far", "wan")
    try:
        for host in hosts:
            run("ip", "netns", "add", place.name(host))
        _connect(place)
        for host in ("gateway", "lan", "far", "wan"):
            for version in (4, 6):
                place.sockets[host, version] = made_inside(
                    place.name(host), partial(_listener, version)
                )
        yield place
    finally:
        for sock in place.sockets.values():
            sock.close()
        for host in hosts:
            run("ip", "netns", "delete", place.name(host), check=False)


def turnless(listed: str) -> str:
    """Leave out of a listing which of its two names each set of ranges has just now."""
    return re.sub(r"\b((?:out|in)[46])-b\b", r"\1", listed)


def _listener(version: int) -> socket.socket:
    sock = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
    if version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # Room for all that arrives while a busy machine does not look.
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    sock.bind(("", PORT))
    return sock


def _connect(place: Place) -> None:
    gateway = place.name("gateway")
    for host in ("gateway", "lan", "far", "wan"):
        place.run(
            host,
            "sysctl",
            "-qw",
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
        )
    cables = (("lan0", "lan"), ("wan0", "wan"), ("tun0", "far"))
    for device, host in cables:
        run_ip(
            f"link add {device} netns {gateway} type veth "
            f"peer name eth0 netns {place.name(host)}"
        )
    place.ip(
        "gateway",
        "link set lo up",
        "link set lan0 up",
        "link set wan0 up",
        "link set tun0 up",
        "addr add 10.1.0.1/24 dev lan0",
        "addr add fd00:1::1/64 dev lan0 nodad",
        "addr add 203.0.113.1/24 dev wan0",
        "addr add 2001:db8::1/64 dev wan0 nodad",
        "addr add 10.9.0.1/30 dev tun0",
        "addr add fd00:9::1/64 dev tun0 nodad",
        "route add 10.2.0.0/16 via 10.9.0.2",
        "route add fd00:2::/48 via fd00:9::2",
    )
    for host, own, via in (
        ("lan", ("10.1.0.2/24", "fd00:1::2/64"), ("10.1.0.1", "fd00:1::1")),
        ("far", ("10.9.0.2/30", "fd00:9::2/64"), ("10.9.0.1", "fd00:9::1")),
        ("wan", ("203.0.113.2/24", "2001:db8::2/64"), ("203.0.113.1", "2001:db8::1")),
    ):
        place.ip(
            host,
            "link set lo up",
            "link set eth0 up",
            f"addr add {own[0]} dev eth0",
            f"addr add {own[1]} dev eth0 nodad",
            f"route add default via {via[0]}",
            f"route add default via {via[1]}",
        )
    for host in ("far", "wan"):
        place.ip(host, "addr add 10.2.0.10/32 dev lo", "addr add fd00:2::10/128 dev lo")
