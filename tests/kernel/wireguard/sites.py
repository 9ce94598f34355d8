"""Two gateways with WireGuard planes, joined by a cable."""

import functools
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyroute2 import netns

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.wireguard import kernel_wireguard, userspace_wireguard
from gateway.dataplane.wireguard.plane import WireGuardPlane
from tests.dataplane_contract import End
from tests.kernel import gateways
from tests.kernel.cable import joined
from tests.kernel.gateways import Site
from tests.kernel.traffic import packet_arrives


@dataclass
class Pair(gateways.Pair[WireGuardPlane]):
    """Two gateways with WireGuard."""

    def reaches(self, sender: End, receiver: End) -> bool:
        """Send one packet from one inside address to the other."""
        assert isinstance(sender, Site)
        assert isinstance(receiver, Site)
        return packet_arrives(sender, receiver, sender.inner)


def make_plane(kind: str, tag: str) -> WireGuardPlane:
    """Return a plane with device names of its own: their sockets share a folder."""
    make = {"wireguard": kernel_wireguard, "wireguard-go": userspace_wireguard}[kind]
    return make((f"{tag}-0", f"{tag}-1"), (51811, 51812))


@contextmanager
def make_pair(kind: str, *, v6: bool = False, mtu: int = 1500) -> Iterator[Pair]:
    """Make two joined sites, their planes open and one tunnel added."""
    tag = secrets.token_hex(3)
    outer = ("fd00:77::1", "fd00:77::2") if v6 else ("192.0.2.1", "192.0.2.2")
    inner = ("fd00:1::1", "fd00:2::1") if v6 else ("10.1.0.1", "10.2.0.1")
    nets = ("fd00:1::/64", "fd00:2::/64") if v6 else ("10.1.0.0/24", "10.2.0.0/24")
    joint = ("fd00:9::1/126", "fd00:9::2/126") if v6 else ("10.9.0.1/30", "10.9.0.2/30")
    names = [f"qgwt{tag}{side}" for side in "ab"]
    with ExitStack() as stack:
        stack.enter_context(joined(names, outer, inner, mtu))
        sites = []
        for i, name in enumerate(names):
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
            new_plane = functools.partial(make_plane, kind, f"t{tag}{'ab'[i]}")
            site = Site(name, outer[i], inner[i], spec, i == 0, new_plane, thread)
            site.call(site.plane.open)
            stack.callback(site.call, dispose, site)
            site.call(site.plane.add_tunnel, spec)
            sites.append(site)
        yield Pair(sites[0], sites[1])


def dispose(site: Site[WireGuardPlane]) -> None:
    """Remove devices, and with them processes, then close sockets."""
    site.plane.remove_devices()
    site.plane.close()
