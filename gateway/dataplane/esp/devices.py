"""The interface, addresses, routes and MTU of ESP tunnels.

A kernel with xfrm interfaces gives each tunnel one. Elsewhere a dummy interface
holds its addresses and routes: policies catch packets on their way there, so that
source addresses are chosen right, and what no policy catches is dropped by it.
"""

import errno
import os

from pyroute2.netlink import NETLINK_ROUTE

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.esp.overhead import tunnel_mtu
from gateway.dataplane.esp.rules import remote_prefixes, reqid_of
from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.snapshot import read_links
from gateway.dataplane.held.wanted import WantedLink, WantedTunnel, alias_of
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import UNSUPPORTED, kernel_call
from gateway.dataplane.view import DeviceView

DEFAULT_MTU = 1280
"""Bytes, until the peer's address is known: fits any path with ESP around it."""

TRIAL_IF_ID = 0x5157FFFF
"""if_id of an xfrm interface made to see whether the kernel can; in no tunnel."""

NEEDS_DUMMY = "load the module dummy or xfrm_interface (Debian: linux-image-amd64)"


class Devices:
    """What ESP tunnels need beside SAs and policies."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.has_xfrm = self._try_xfrm()

    def settle(self, spec: TunnelSpec) -> None:
        """Make a tunnel's interface, addresses and routes, or bring them up to date.

        Raises:
            DataPlaneError: The kernel refused; what was before stands.
        """
        before = self.keeper.wanted.links.get(alias_of(spec.name))
        self.keeper.make_link(self._link(spec))
        try:
            self.keeper.hold(
                WantedTunnel(
                    name=spec.name,
                    link=alias_of(spec.name),
                    holders=(alias_of(spec.name),),
                    addresses=spec.addresses,
                    prefixes=remote_prefixes(spec),
                    local=spec.local_subnets,
                    # Without an interface, policies catch what has no route.
                    is_guarded=self.has_xfrm,
                )
            )
        except BaseException:
            if before is not None:
                self.keeper.make_link(before)
            raise

    def remove(self, spec: TunnelSpec) -> None:
        """Remove a tunnel's interface, and with it its addresses and routes."""
        self.keeper.release(spec.name)
        self.keeper.drop_link(alias_of(spec.name))

    def follow_path(self, spec: TunnelSpec, peer: str) -> None:
        """Set the MTU that the outer path to the peer leaves, unless configured."""
        if spec.mtu is not None:
            return
        mtu = tunnel_mtu(
            self.keeper.path_mtu(peer),
            outer_ipv6=":" in peer,
            encap=spec.encap,
            ipv6=any(":" in p for p in spec.addresses + spec.remote_subnets),
        )
        self.keeper.change_link(alias_of(spec.name), mtu=mtu)

    def describe(self, spec: TunnelSpec) -> DeviceView | None:
        """Return what an operator wants to see of the interface; None if it is gone."""
        return self.keeper.describe(alias_of(spec.name))

    def _link(self, spec: TunnelSpec) -> WantedLink:
        link = WantedLink(
            alias=alias_of(spec.name),
            name=spec.interface,
            kind="xfrm" if self.has_xfrm else "dummy",
            mtu=spec.mtu or DEFAULT_MTU,
            if_id=reqid_of(spec) if self.has_xfrm else 0,
            needs="" if self.has_xfrm else NEEDS_DUMMY,
        )
        return link if spec.mtu is not None else self.keeper.keep_mtu(link)

    def _try_xfrm(self) -> bool:
        """Whether the kernel has xfrm interfaces; one that is tried is removed again.

        A second one with an if_id is refused as there already, which only a kernel
        that has them does: a trial left behind by a process that was killed proves it.
        """
        name = f"qgw{os.urandom(4).hex()}"
        with kernel_call("try an xfrm interface"):
            connection = NetlinkConnection(NETLINK_ROUTE)
            try:
                errors = connection.send(
                    [rt.link_creation(name, "xfrm", None, TRIAL_IF_ID)]
                )
                if errors and errors[0].errno in UNSUPPORTED:
                    return False
                if errors and errors[0].errno != errno.EEXIST:
                    raise errors[0]
                tried = [
                    rt.link_deletion(link.index)
                    for link in read_links(connection).values()
                    if link.kind == "xfrm" and link.if_id == TRIAL_IF_ID
                ]
                for error in connection.send(tried):
                    if error.errno != errno.ENODEV:
                        raise error
            finally:
                connection.close()
        return True
