"""The networks that this host is connected to, by how long they are to stay."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface

from pyroute2 import IPRoute

from gateway.dataplane.refusals import kernel_call

_IFA_F_PERMANENT = 0x80


@dataclass(frozen=True, slots=True)
class Connected:
    """Networks of this host's addresses.

    Attributes:
        permanent: Those that an operator gave it.
        leased: Those that came from a network (DHCP, router advertisements) and
            may be anything that a stranger on it likes.
    """

    permanent: tuple[str, ...] = ()
    leased: tuple[str, ...] = ()


def read_connected(own: Iterable[str]) -> Connected:
    """Read the networks of all addresses but the tunnels' own.

    Args:
        own: Addresses inside tunnels, ``"10.9.0.1/30"``.
    """
    inside = {ip_interface(address) for address in own}
    permanent: dict[str, None] = {}
    leased: dict[str, None] = {}
    with kernel_call("read this host's addresses"), IPRoute() as route:
        for entry in route.get_addr():
            found = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
            address = ip_interface(f"{found}/{entry['prefixlen']}")
            if address in inside or address.is_link_local or address.is_loopback:
                continue
            flags = entry.get_attr("IFA_FLAGS") or entry["flags"]
            kind = permanent if flags & _IFA_F_PERMANENT else leased
            kind[str(address.network)] = None
    return Connected(
        tuple(permanent),
        tuple(each for each in leased if each not in permanent),
    )
