"""The interface, addresses, routes and MTU of ESP tunnels.

A kernel with xfrm interfaces gives each tunnel one. Elsewhere a dummy interface
holds its addresses and routes: policies catch packets on their way there, so that
source addresses are chosen right, and what no policy catches is dropped by it.
"""

import os
from collections.abc import Iterable
from ipaddress import ip_interface, ip_network

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.esp.overhead import tunnel_mtu
from gateway.dataplane.esp.rules import reqid_of
from gateway.dataplane.links import Links
from gateway.errors import PlaneUnsupportedError

DEFAULT_MTU = 1280
"""Bytes, until the peer's address is known: fits any path with ESP around it."""

TRIAL_IF_ID = 0x5157FFFF
"""if_id of an xfrm interface made to see whether the kernel can; in no tunnel."""

NEEDS_DUMMY = "load the module dummy or xfrm_interface (Debian: linux-image-amd64)"


class Devices:
    """What ESP tunnels need beside SAs and policies."""

    def __init__(self) -> None:
        self.links = Links()
        try:
            self.has_xfrm = self._try_xfrm()
        except BaseException:
            self.links.close()
            raise

    def close(self) -> None:
        """Close the socket; leave everything as it is."""
        self.links.close()

    def settle(self, spec: TunnelSpec) -> None:
        """Make a tunnel's interface, addresses and routes, or bring them up to date."""
        mtu = spec.mtu or DEFAULT_MTU
        self.links.lead_to_table()
        if self.has_xfrm:
            self.links.ensure_interface(
                spec.interface, "xfrm", spec.name, mtu=mtu, xfrm_if_id=reqid_of(spec)
            )
        else:
            self.links.ensure_interface(
                spec.interface, "dummy", spec.name, needs=NEEDS_DUMMY, mtu=mtu
            )
        if spec.mtu is not None:
            self.links.set_mtu(spec.interface, spec.mtu)
        self.links.set_addresses(spec.interface, spec.addresses)
        self.links.routes.set(
            spec.interface, spec.remote_subnets, sources=self._sources(spec)
        )
        if self.has_xfrm:
            # No policy would catch what is not routed to the interface.
            for prefix in spec.remote_subnets:
                self.links.routes.guard(prefix)

    def remove(self, spec: TunnelSpec) -> None:
        """Remove a tunnel's interface, and with it its addresses and routes."""
        self.links.remove_interface(spec.interface, spec.name)
        self.unguard(spec.remote_subnets)

    def unguard(self, prefixes: Iterable[str]) -> None:
        """Stop refusing prefixes that no tunnel leads to any more."""
        if self.has_xfrm:
            for prefix in prefixes:
                self.links.routes.remove_guard(prefix)

    def follow_path(self, spec: TunnelSpec, peer: str) -> None:
        """Set the MTU that the outer path to the peer leaves, unless configured."""
        if spec.mtu is not None:
            return
        mtu = tunnel_mtu(
            self.links.routes.path_mtu(peer),
            outer_ipv6=":" in peer,
            encap=spec.encap,
            ipv6=any(":" in p for p in spec.addresses + spec.remote_subnets),
        )
        self.links.set_mtu(spec.interface, mtu)

    def _sources(self, spec: TunnelSpec) -> tuple[str, ...]:
        """Return addresses that packets of the gateway itself should come from.

        An inside address, or else one of this host's in the local prefixes: others
        the peer would not take for ours.
        """
        local = [ip_network(prefix) for prefix in spec.local_subnets]
        hosts = [
            address
            for address in self.links.all_addresses()
            if any(ip_interface(address).ip in network for network in local)
        ]
        return spec.addresses + tuple(hosts)

    def _try_xfrm(self) -> bool:
        name = f"qgw{os.urandom(4).hex()}"
        try:
            self.links.ensure_interface(name, "xfrm", name, xfrm_if_id=TRIAL_IF_ID)
        except PlaneUnsupportedError:
            return False
        self.links.remove_interface(name, name)
        return True
