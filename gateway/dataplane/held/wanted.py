"""The planes' wishes for the kernel's routing, as plain values."""

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.dataplane.netlink.rtnetlink import RTN_UNICAST

ALIAS_PREFIX = "qgw:"
"""Start of the alias (`ip link show`) of every interface we made."""

GUARD_METRIC = 0xFFFF_0000
"""Metric of the routes that refuse a prefix while its tunnel has no other: worse than
any an operator would choose for a real one."""

IPV6_METRIC = 1024
"""What the kernel makes of metric 0 for IPv6; named, so that a dump shows the same."""


@dataclass(frozen=True, slots=True)
class WantedLink:
    """An interface of ours. Its alias says whose it is, whatever its name.

    Attributes:
        alias: ``qgw:paris``.
        name: The name that it should have, at most 15 bytes.
        kind: ``xfrm``, ``dummy``, ``wireguard``, ``tun``.
        mtu: MTU in bytes, None to leave it.
        if_id: An xfrm interface's, else 0: the kernel has no second one with it.
        is_loose: Whether rp_filter accepts a source that any interface leads to.
        makable: Whether the keeper makes it when it is gone. Otherwise it holds what
            only its plane can bring back.
        needs: What to install if the kernel has no such kind.
        former_alias: What earlier releases called it; ours too, by that name.
    """

    alias: str
    name: str
    kind: str
    mtu: int | None = None
    if_id: int = 0
    is_loose: bool = False
    makable: bool = True
    needs: str = ""
    former_alias: str = ""


@dataclass(frozen=True, slots=True)
class WantedTunnel:
    """One tunnel's addresses and routes.

    Attributes:
        name: The tunnel.
        link: Alias of the interface to which its prefixes lead.
        holders: Aliases of the interfaces that have its addresses.
        addresses: ``10.9.0.1/30``.
        prefixes: What lies at the peer.
        local: What lies here: not led into the tunnel where it is the longer prefix.
        mtu: MTU of its routes in bytes, 0 for the interface's.
        is_guarded: Whether its prefixes are refused while the routes are missing.
    """

    name: str
    link: str
    holders: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    mtu: int = 0
    is_guarded: bool = True


class Route(NamedTuple):
    """One route of our table; a tuple, since a hub compares tens of thousands.

    Attributes:
        prefix: ``10.2.0.0/16``.
        kind: RTN_UNICAST, RTN_UNREACHABLE or RTN_THROW.
        device: Index of the interface, for RTN_UNICAST.
        source: Source address for packets of this host, empty for none.
        mtu: MTU in bytes, 0 for the interface's.
        metric: The lowest wins.
        is_ours: Whether it has our protocol number, and nothing that we never set.
    """

    prefix: str
    kind: int = RTN_UNICAST
    device: int = 0
    source: str = ""
    mtu: int = 0
    metric: int = 0
    is_ours: bool = True

    @property
    def key(self) -> tuple[str, int]:
        """What makes two routes the same one for the kernel."""
        return self[0], self[5]


@dataclass(slots=True)
class DesiredState:
    """All that is wanted.

    Attributes:
        links: By alias.
        tunnels: By name.
    """

    links: dict[str, WantedLink] = field(default_factory=dict)
    tunnels: dict[str, WantedTunnel] = field(default_factory=dict)

    def wants_address(self, alias: str, address: str) -> bool:
        """Whether any tunnel wants an address on an interface."""
        return any(
            alias in tunnel.holders and address in tunnel.addresses
            for tunnel in self.tunnels.values()
        )


def alias_of(owner: str) -> str:
    """Return the alias of an interface made for a tunnel or a part of the gateway."""
    return ALIAS_PREFIX + owner
