"""Two gateways with ESP planes, joined by a cable, and hosts behind them."""

import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyroute2 import netns

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.esp import EspPlane, enable_udp_encap
from gateway.errors import DataPlaneError
from tests.dataplane_contract import End
from tests.kernel import gateways
from tests.kernel.cable import joined, run
from tests.kernel.gateways import CONTROL_PORT, Site
from tests.kernel.pace import IN_VM
from tests.kernel.traffic import packet_arrives

IN_FORCE_LIMIT = 5.0 if IN_VM else 2.0
"""Seconds; ESP needs one packet each way and no handshake."""


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
class Pair(gateways.Pair[EspPlane]):
    """Two gateways with ESP."""

    in_force_limit: float = IN_FORCE_LIMIT

    @property
    def has_interface(self) -> bool:
        """Whether xfrm interfaces carry the tunnel, and not policies alone.

        Packets that an interface has no SA for vanish in it; the sender of those
        that a policy blocks is told.
        """
        return self.near.plane._devices.has_xfrm

    def expect_closed(self, target: str = "", source: str = "") -> None:
        """Send packets from the near site that must not come through.

        Raises:
            AssertionError: One did, or its sender was not told where it should be.
        """
        target = target or self.far.inner
        if target == self.far.inner:
            assert not packet_arrives(self.near, self.far, source)
        assert self.near.send_once(target, source) == self.has_interface

    def reaches(self, sender: End, receiver: End) -> bool:
        assert isinstance(sender, Site)
        assert isinstance(receiver, Site)
        return packet_arrives(sender, receiver)


def missing_esp() -> str:
    """Return why this kernel cannot run the ESP plane, or nothing."""
    plane = EspPlane()
    try:
        plane.open()
    except DataPlaneError as error:
        return f"{error}; {error.hint}. Run: scripts/in-uml .venv/bin/pytest"
    plane.close()
    return ""


def has_xfrm_interfaces() -> bool:
    """Say whether ESP tunnels get an xfrm interface on this kernel."""
    plane = EspPlane()
    try:
        plane.open()
    except DataPlaneError:
        return False
    try:
        return plane._devices.has_xfrm
    finally:
        plane.close()


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
    names = [f"qgwe{tag}{side}" for side in "ab"]
    outer = [layout.outer(side) for side in (0, 1)]
    inner = [layout.inner(side) for side in (0, 1)]
    with ExitStack() as stack:
        stack.enter_context(joined(names, outer, inner, layout.mtu))
        sites = []
        for side, name in enumerate(names):
            thread = ThreadPoolExecutor(1, initializer=netns.setns, initargs=(name,))
            stack.callback(thread.shutdown)
            site = Site(
                name,
                outer[side],
                inner[side],
                spec_of(layout, side),
                side == 0,
                EspPlane,
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
