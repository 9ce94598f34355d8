"""This host's own addresses and interfaces, beside those that a configuration names."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    ip_address,
    ip_interface,
)
from typing import Final

from pyroute2.netlink import NETLINK_ROUTE

from gateway.acceptance.findings import Notes
from gateway.acceptance.host import Options, plane_of
from gateway.config.checks import ONE_TUNNEL_A_PEER
from gateway.config.model import PlaneName, TunnelConfig
from gateway.config.tables import default_interface
from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.fence.connected import read_connected
from gateway.dataplane.fence.plan import (
    acceptable,
    fenced_tunnels,
    networks_inside,
    plan_of,
)
from gateway.dataplane.held.snapshot import read_addresses, read_links
from gateway.dataplane.held.wanted import ALIAS_PREFIX
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.wireguard import DEFAULT_DEVICES

Address = IPv4Address | IPv6Address

_MAYBE_OURS: Final = frozenset({"xfrm", "dummy", "wireguard", "tun"})
"""Kinds of interface that are ours even where somebody took the alias away."""


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """What this host has beside what the gateway made.

    Attributes:
        holders: Interface by address.
        broadcasts: Interface by the broadcast address of a network there.
        interfaces: Names of interfaces that cannot be the gateway's.
    """

    holders: Mapping[Address, str]
    broadcasts: Mapping[Address, str]
    interfaces: frozenset[str]


def read_own() -> OwnAddresses:
    """Ask the kernel.

    Raises:
        DataPlaneError: It does not tell.
    """
    with (
        kernel_call("read this host's interfaces and addresses"),
        closing(NetlinkConnection(NETLINK_ROUTE)) as connection,
    ):
        links = {
            index: link
            for index, link in read_links(connection).items()
            if not link.alias.startswith(ALIAS_PREFIX)
        }
        found = [
            (links[each.index].name, ip_interface(each.address))
            for each in read_addresses(connection)
            if each.index in links
        ]
    return OwnAddresses(
        holders={each.ip: name for name, each in found},
        broadcasts={
            each.network.broadcast_address: name
            for name, each in found
            if isinstance(each.network, IPv4Network) and each.network.num_addresses > 2  # noqa: PLR2004  # a /31 has none
        },
        interfaces=frozenset(
            link.name for link in links.values() if link.kind not in _MAYBE_OURS
        ),
    )


def check_own_addresses(notes: Notes, own: OwnAddresses) -> None:
    """Note addresses of this host where another's belong."""
    for tunnel in notes.config.tunnels.values():
        _check_outer(notes, tunnel, own)
        for inside in tunnel.addresses:
            holder = own.holders.get(inside.ip)
            if holder in own.interfaces:
                notes.refuse(
                    ("tunnels", tunnel.name, "addresses"),
                    "addresses that no other interface has",
                    f"{inside.ip}, which is on {holder}",
                )
        for prefix in tunnel.remote_subnets:
            holder = own.holders.get(prefix.network_address)
            if holder and prefix.num_addresses == 1:
                notes.warn(
                    ("tunnels", tunnel.name, "remote_subnets"),
                    "what lies at the peer",
                    f"{prefix}, which is this host's own, on {holder}",
                )


def _check_outer(notes: Notes, tunnel: TunnelConfig, own: OwnAddresses) -> None:
    peer = _address_of(tunnel.endpoint.host) if tunnel.endpoint else None
    if peer is None:
        return
    if holder := own.holders.get(peer):
        notes.warn(
            ("tunnels", tunnel.name, "endpoint"),
            "an address of the peer's",
            f"{peer}, which is this host's own, on {holder}",
        )
    elif holder := own.broadcasts.get(peer):
        notes.warn(
            ("tunnels", tunnel.name, "endpoint"),
            "an address of the peer's",
            f"{peer}, which is the broadcast address of a network on {holder}",
        )
    here = _address_of(tunnel.local_address or "")
    if here is not None and here.is_loopback and not peer.is_loopback:
        notes.warn(
            ("tunnels", tunnel.name, "local_address"),
            "an address that the peer can answer to",
            f"{here}, which no other host reaches",
        )


def check_interfaces(notes: Notes, options: Options, own: OwnAddresses) -> None:
    """Note keys that the plane of a tunnel does nothing for, and names that are taken.

    Args:
        notes: Names the tunnels.
        options: What ``auto`` stands for.
        own: What this host has.
    """
    for tunnel in notes.config.tunnels.values():
        key = ("tunnels", tunnel.name, "interface")
        plane = plane_of(tunnel.plane, options)
        if plane in ONE_TUNNEL_A_PEER:
            if tunnel.interface != default_interface(tunnel.name):
                notes.warn(
                    key,
                    f"no such key: plane {plane} has {' and '.join(DEFAULT_DEVICES)} "
                    "for all tunnels",
                    f"{tunnel.interface}, which changes nothing",
                )
            if tunnel.encap and tunnel.plane is PlaneName.AUTO:
                notes.warn(
                    ("tunnels", tunnel.name, "encap"),
                    "encap only with plane esp",
                    f"auto, which is {plane} on this host: encap changes nothing",
                )
        elif tunnel.interface in own.interfaces:
            notes.refuse(
                key,
                "a name that no other interface has",
                f"{tunnel.interface}, which is there and not the gateway's",
            )


def check_networks(notes: Notes) -> None:
    """Warn of networks of this host that pass beside tunnels, or that tunnels claim.

    Raises:
        DataPlaneError: The kernel does not tell this host's addresses.
    """
    config = notes.config
    own = (str(one) for each in config.tunnels.values() for one in each.addresses)
    accepted = AcceptedNetworks()
    found = read_connected(own)
    accepted.accept(acceptable(fenced_tunnels(config), found.permanent))
    connected = found.judged(accepted)
    inside = networks_inside(plan_of(config, connected), connected)
    for network in sorted(inside.passed):
        notes.warn(
            ("tunnels",),
            "networks of this host in local_subnets, or outside remote prefixes (what "
            "is connected here at a reload passes beside the tunnel, in clear)",
            network,
        )
    for network in sorted(inside.unasked):
        notes.warn(
            ("tunnels",),
            "networks as wide in local_subnets (without, packets for them go into the "
            "tunnel or nowhere)",
            network,
        )
    if inside.usual:
        notes.remarks.append(
            "connected here, so beside the full tunnel, in clear: "
            + ", ".join(sorted(inside.usual))
        )
    remote = {
        str(prefix): tunnel.name
        for tunnel in config.tunnels.values()
        for prefix in tunnel.remote_subnets
        if prefix.num_addresses > 1
    }
    for network in sorted({each.network for each in connected.held} & remote.keys()):
        notes.warn(
            ("tunnels", remote[network], "remote_subnets"),
            "networks of the peer's (of two equal ones the peer's is reached)",
            f"{network}, which this host is connected to: its hosts here are not",
        )


def _address_of(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None  # a name, or nothing
