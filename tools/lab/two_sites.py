"""Two sites with a host behind each gateway, a router between them, and a meddler.

::

    PC a --lan-- gateway a --wan-- router --wan-- gateway b --lan-- PC b
                                     |
                                  meddler

The router forwards whatever it gets and knows the way to both sites' own networks: what
a gateway leaks in clear arrives at the other side, and so does what the meddler forges.
All links have IPv4 and IPv6.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lab.netns import Namespace, run

WAN: Final = "wan0"
LAN: Final = "lan0"

OUTER: Final = {"a": "192.0.2.1", "b": "198.51.100.1", "m": "203.0.113.9"}
OUTER6: Final = {"a": "2001:db8:a::1", "b": "2001:db8:b::1", "m": "2001:db8:c::9"}
SECOND: Final = {"a": "192.0.2.2", "b": "198.51.100.2"}
"""A further outer address of each gateway."""

ROUTER: Final = {"a": "192.0.2.254", "b": "198.51.100.254", "m": "203.0.113.254"}
ROUTER_TOO: Final = {"a": "192.0.2.253", "b": "198.51.100.253"}
"""A second address of the router, for a default route that changes."""

ROUTER6: Final = {
    "a": "2001:db8:a::fe",
    "b": "2001:db8:b::fe",
    "m": "2001:db8:c::fe",
}

NET: Final = {"a": "10.71.0.0/24", "b": "10.72.0.0/24"}
NET6: Final = {"a": "fd71::/64", "b": "fd72::/64"}
GATE: Final = {"a": "10.71.0.1", "b": "10.72.0.1"}
"""Each gateway's address in its own network."""

GATE6: Final = {"a": "fd71::1", "b": "fd72::1"}
LINK_LOCAL: Final = "fe80::1"
"""Each gateway's on its LAN, beside what the kernel gives it: flushing the addresses of
an interface takes that away for good, and without one it finds no neighbour to forward
to (RFC 4861, 7.2.2)."""

PC: Final = {"a": "10.71.0.10", "b": "10.72.0.10"}
PC6: Final = {"a": "fd71::10", "b": "fd72::10"}
INSIDE: Final = {"a": "10.255.1.1", "b": "10.255.1.2"}
"""Each gateway's address inside the tunnel."""

INSIDE6: Final = {"a": "fd55::1", "b": "fd55::2"}

_ROUTER_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
)


def other(letter: str) -> str:
    """Return the letter of the other side."""
    return "b" if letter == "a" else "a"


@dataclass(frozen=True, slots=True)
class Side:
    """One site.

    Attributes:
        letter: ``a`` or ``b``.
        gateway: Its gateway; the device is its link to the router.
        pc: The host behind it.
    """

    letter: str
    gateway: Namespace
    pc: Namespace

    @property
    def peer(self) -> str:
        """The letter of the other side."""
        return other(self.letter)

    def restore_wan(self) -> None:
        """Put the link to the router back as it was at the start."""
        letter, name = self.letter, self.gateway.name
        run("ip", "-n", name, "link", "set", WAN, "mtu", "1500", "up")
        for address in (f"{OUTER[letter]}/24", f"{SECOND[letter]}/24"):
            run("ip", "-n", name, "addr", "replace", address, "dev", WAN)
        run("ip", "-n", name, "addr", "replace", f"{OUTER6[letter]}/64",
            "dev", WAN, "nodad")  # fmt: skip
        run("ip", "-n", name, "route", "replace", "default", "via", ROUTER[letter],
            "dev", WAN)  # fmt: skip
        run("ip", "-n", name, "-6", "route", "replace", "default",
            "via", ROUTER6[letter], "dev", WAN)  # fmt: skip

    def restore_lan(self) -> None:
        """Put the link to the PC back as it was at the start."""
        letter, name = self.letter, self.gateway.name
        run("ip", "-n", name, "link", "set", LAN, "up")
        run("ip", "-n", name, "addr", "replace", f"{GATE[letter]}/24", "dev", LAN)
        for address in (GATE6[letter], LINK_LOCAL):
            run("ip", "-n", name, "addr", "replace", f"{address}/64",
                "dev", LAN, "nodad")  # fmt: skip


@dataclass(frozen=True, slots=True)
class TwoSites:
    """All hosts.

    Attributes:
        a: The initiator's site.
        b: The responder's site.
        router: Name of the router's namespace; its devices are ``leg-a``, ``leg-b``
            and ``leg-m``.
        meddler: A third host.
    """

    a: Side
    b: Side
    router: str
    meddler: Namespace

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.a, self.b

    def side(self, letter: str) -> Side:
        """Return one of them."""
        return self.a if letter == "a" else self.b


@contextlib.contextmanager
def two_sites(tag: str = "", *, ipv6: bool = False) -> Iterator[TwoSites]:
    """Make all hosts and links; remove them at the end.

    Args:
        tag: Tells several of one process apart.
        ipv6: Whether the gateways call each other over IPv6.
    """
    base = f"qgw{os.getpid()}{tag}"
    outer = OUTER6 if ipv6 else OUTER
    router = f"{base}r"

    def host(suffix: str, address: str, device: str, leg: str) -> Namespace:
        return Namespace(f"{base}{suffix}", address, device, router, leg)

    gateways = {
        letter: host(letter, outer[letter], WAN, f"leg-{letter}") for letter in "ab"
    }
    pcs = {
        letter: Namespace(f"{base}p{letter}", PC[letter], "eth0", gate.name, LAN)
        for letter, gate in gateways.items()
    }
    meddler = host("m", outer["m"], WAN, "leg-m")
    hosts = [router, meddler.name]
    hosts += [one.name for one in (*gateways.values(), *pcs.values())]
    try:
        for name in hosts:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for name in (router, *(gate.name for gate in gateways.values())):
            run("ip", "netns", "exec", name, "sysctl", "-qw", *_ROUTER_SETTINGS)
        _connect_meddler(router, meddler)
        sides = []
        for letter in "ab":
            side = Side(letter, gateways[letter], pcs[letter])
            _connect(router, side)
            sides.append(side)
        yield TwoSites(sides[0], sides[1], router, meddler)
    finally:
        for name in hosts:
            run("ip", "netns", "del", name, check=False)


def _cable(near: str, device: str, far: str, far_device: str) -> None:
    """Lay a link between two hosts."""
    run("ip", "-n", near, "link", "add", device, "type", "veth",
        "peer", "name", far_device, "netns", far)  # fmt: skip
    run("ip", "-n", near, "link", "set", device, "up")
    run("ip", "-n", far, "link", "set", far_device, "up")


def _address(name: str, device: str, *addresses: str) -> None:
    for address in addresses:
        options = ("nodad",) if ":" in address else ()
        run("ip", "-n", name, "addr", "add", address, "dev", device, *options)


def _connect_meddler(router: str, meddler: Namespace) -> None:
    _cable(router, "leg-m", meddler.name, WAN)
    _address(router, "leg-m", f"{ROUTER['m']}/24", f"{ROUTER6['m']}/64")
    _address(meddler.name, WAN, f"{OUTER['m']}/24", f"{OUTER6['m']}/64")
    run("ip", "-n", meddler.name, "route", "add", "default", "via", ROUTER["m"])
    run("ip", "-n", meddler.name, "-6", "route", "add", "default",
        "via", ROUTER6["m"])  # fmt: skip


def _connect(router: str, side: Side) -> None:
    letter, leg = side.letter, f"leg-{side.letter}"
    _cable(router, leg, side.gateway.name, WAN)
    _address(router, leg, f"{ROUTER[letter]}/24", f"{ROUTER_TOO[letter]}/24",
             f"{ROUTER6[letter]}/64")  # fmt: skip
    side.restore_wan()
    _cable(side.gateway.name, LAN, side.pc.name, "eth0")
    side.restore_lan()
    _address(side.pc.name, "eth0", f"{PC[letter]}/24", f"{PC6[letter]}/64")
    for via, family in ((GATE[letter], "-4"), (GATE6[letter], "-6")):
        run("ip", "-n", side.pc.name, family, "route", "add", "default", "via", via)
    for network in (NET[letter], f"{INSIDE[letter]}/32"):
        run("ip", "-n", router, "route", "add", network, "via", OUTER[letter])
    for network in (NET6[letter], f"{INSIDE6[letter]}/128"):
        run("ip", "-n", router, "-6", "route", "add", network, "via", OUTER6[letter])
