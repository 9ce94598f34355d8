"""Rules between keys, tunnels and files; each value alone is right by now."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from gateway.config.model import (
    Endpoint,
    LinkConfig,
    PlaneName,
    QKDPolicy,
    Role,
    TunnelConfig,
)

LIFETIME_MARGIN: Final = 2.0
"""Seconds `max_epoch_lifetime` must leave beyond one interval: a handshake on a bad
link takes most of them, and an epoch must outlive the making of the next."""

MIN_IPV6_MTU: Final = 1280
"""Bytes (RFC 8200, 5): Linux takes IPv6 off an interface with less."""

Refuse = Callable[[str, str, str], None]
"""Notes a problem: key of the tunnel, what was expected, what was found."""

Network = IPv4Network | IPv6Network

ONE_TUNNEL_A_PEER: Final = (PlaneName.WIREGUARD, PlaneName.WIREGUARD_GO)
"""Planes that know a gateway by its key, so that two tunnels would share one peer."""


def check_tunnel(
    tunnel: TunnelConfig, links: Mapping[str, LinkConfig] | None, refuse: Refuse
) -> None:
    """Check the keys of one tunnel against each other and against the links.

    Links are None when they are not known.
    """
    _check_link(tunnel, links, refuse)
    _check_endpoint(tunnel, refuse)
    _check_inside(tunnel, refuse)
    if tunnel.encap and tunnel.plane not in (PlaneName.AUTO, PlaneName.ESP):
        refuse("encap", "encap only with plane esp or auto", f"plane {tunnel.plane}")
    least = tunnel.rotation_interval + LIFETIME_MARGIN
    if tunnel.max_epoch_lifetime < least:
        refuse(
            "max_epoch_lifetime",
            f"at least rotation_interval + {LIFETIME_MARGIN:g} = {least:g} seconds",
            f"{tunnel.max_epoch_lifetime:g}",
        )


def _check_link(
    tunnel: TunnelConfig, links: Mapping[str, LinkConfig] | None, refuse: Refuse
) -> None:
    if tunnel.link is None:
        if tunnel.qkd is not QKDPolicy.OFF:
            refuse("link", f'a link, since qkd is "{tunnel.qkd}"', "nothing")
    elif links is not None and tunnel.link not in links:
        known = ", ".join(sorted(links)) or "none"
        refuse("link", f"a configured link ({known})", repr(tunnel.link))


def _check_endpoint(tunnel: TunnelConfig, refuse: Refuse) -> None:
    if tunnel.endpoint is None:
        if tunnel.role is not Role.RESPONDER:
            refuse(
                "endpoint",
                'an endpoint to call, or role = "responder"',
                f'nothing, and role "{tunnel.role}"',
            )
        return
    try:
        host = ip_address(tunnel.endpoint.host)
    except ValueError:
        return  # a name: nothing to compare until it is resolved
    if (
        tunnel.local_address
        and ip_address(tunnel.local_address).version != host.version
    ):
        refuse(
            "local_address",
            f"an IPv{host.version} address, as endpoint is",
            tunnel.local_address,
        )


def _check_inside(tunnel: TunnelConfig, refuse: Refuse) -> None:
    if not tunnel.remote_subnets and not tunnel.addresses:
        refuse("remote_subnets", "remote_subnets or addresses", "neither")
    inside = (*tunnel.addresses, *tunnel.local_subnets, *tunnel.remote_subnets)
    has_ipv6 = any(each.version == 6 for each in inside)  # noqa: PLR2004 - IPv6
    if tunnel.mtu is not None and has_ipv6 and tunnel.mtu < MIN_IPV6_MTU:
        refuse("mtu", f"at least {MIN_IPV6_MTU} for IPv6 inside", f"{tunnel.mtu}")
    ours = [(subnet, "local_subnets") for subnet in tunnel.local_subnets]
    theirs = [(subnet, "remote_subnets") for subnet in tunnel.remote_subnets]
    for (wide, key), (narrow, other) in overlaps([*ours, *theirs]):
        # Of two that differ the longer one wins, as in routing.
        if key != other and wide == narrow:
            refuse(
                "remote_subnets",
                "prefixes that are not local_subnets too",
                f"{wide} in {key} and {narrow} in {other}",
            )


def check_together(
    tunnels: Iterable[TunnelConfig], refuse: Callable[[str, str, str, str], None]
) -> None:
    """Check tunnels against each other; `refuse` takes the tunnel's name first."""
    by_interface: dict[str, str] = {}
    by_link: dict[str, TunnelConfig] = {}
    by_peer: dict[tuple[PlaneName, str], str] = {}
    by_prefix: dict[Network, TunnelConfig] = {}
    remote: list[tuple[Network, str]] = []
    for tunnel in tunnels:
        _check_link_shared(tunnel, by_link, refuse)
        _check_peer_shared(tunnel, by_peer, refuse)
        _check_inside_shared(tunnel, by_prefix, refuse)
        other = by_interface.setdefault(tunnel.interface, tunnel.name)
        if other != tunnel.name:
            refuse(
                tunnel.name,
                "interface",
                "an interface of its own",
                f"{tunnel.interface}, which tunnel {other} has too",
            )
        remote.extend((subnet, tunnel.name) for subnet in tunnel.remote_subnets)
    for (wide, first), (narrow, second) in overlaps(remote):
        if first != second and wide == narrow:
            refuse(
                second,
                "remote_subnets",
                "prefixes that lead through one tunnel",
                f"{narrow} of tunnel {second} and of tunnel {first}",
            )


def _check_link_shared(
    tunnel: TunnelConfig,
    by_link: dict[str, TunnelConfig],
    refuse: Callable[[str, str, str, str], None],
) -> None:
    """Refuse a link to two peers: one of them would use keys that the other has."""
    if tunnel.link is None or tunnel.qkd is QKDPolicy.OFF:
        return
    if tunnel.peer_identity == tunnel.source_file:
        return  # no peer was named, which has been said
    first = by_link.setdefault(tunnel.link, tunnel)
    # By name alone, since nothing is opened here; "a/../b" and "b" are the same name.
    if os.path.normpath(first.peer_identity) != os.path.normpath(tunnel.peer_identity):
        refuse(
            tunnel.name,
            "link",
            f"a link of its own, or the peer file of tunnel {first.name}: a QKD link "
            "has two ends",
            f"{tunnel.link} with peer {tunnel.peer_identity}, and in tunnel "
            f"{first.name} with peer {first.peer_identity}",
        )


def _check_peer_shared(
    tunnel: TunnelConfig,
    by_peer: dict[tuple[PlaneName, str], str],
    refuse: Callable[[str, str, str, str], None],
) -> None:
    """Refuse two tunnels to one peer where they would share a WireGuard peer.

    By the file's name alone, as for links; `qgw config check` compares fingerprints,
    and with ``auto`` the daemon finds out.
    """
    if tunnel.plane not in ONE_TUNNEL_A_PEER or not tunnel.enabled:
        return
    if tunnel.peer_identity == tunnel.source_file:
        return  # no peer was named, which has been said
    peer = os.path.normpath(tunnel.peer_identity)
    first = by_peer.setdefault((tunnel.plane, peer), tunnel.name)
    if first != tunnel.name:
        refuse(tunnel.name, "peer", *shared_peer(tunnel, first))


def shared_peer(tunnel: TunnelConfig, first: str) -> tuple[str, str]:
    """Say (expected, found) of a second tunnel to a gateway over WireGuard."""
    return (
        f'a peer of its own, since plane is "{tunnel.plane}", or plane = "esp"',
        f"the peer of tunnel {first}",
    )


def _check_inside_shared(
    tunnel: TunnelConfig,
    by_prefix: dict[Network, TunnelConfig],
    refuse: Callable[[str, str, str, str], None],
) -> None:
    """Refuse a network inside a tunnel that leads into another one too.

    Two remote_subnets are left to the check for overlaps.
    """
    inside = (each.network for each in tunnel.addresses)
    shared = [
        network
        for network in inside
        if network.num_addresses > 1 and network not in tunnel.local_subnets
    ]
    for network in dict.fromkeys([*shared, *tunnel.remote_subnets]):
        first = by_prefix.setdefault(network, tunnel)
        if first is tunnel:
            continue
        if network in shared or network not in first.remote_subnets:
            refuse(
                tunnel.name,
                "addresses" if network in shared else "remote_subnets",
                "networks that lead through one tunnel",
                f"{network}, which tunnel {first.name} has too",
            )


def check_listen(listen: Sequence[Endpoint]) -> Iterable[tuple[str, str]]:
    """Name addresses that two sockets would fight for, as (expected, found)."""
    wild = {
        (ip_address(each.host).version, each.port): each
        for each in listen
        if ip_address(each.host).is_unspecified
    }
    for endpoint in listen:
        rival = wild.get((ip_address(endpoint.host).version, endpoint.port), endpoint)
        if rival != endpoint:
            yield "all addresses, or some of them", f"{rival} and {endpoint}"


def check_local_address(
    tunnel: TunnelConfig, listen: Iterable[Endpoint], refuse: Refuse
) -> None:
    """Refuse an outer address that no control socket can send from."""
    if tunnel.local_address is None:
        return
    chosen = ip_address(tunnel.local_address)
    hosts = {ip_address(endpoint.host) for endpoint in listen}
    usable = {host for host in hosts if host.version == chosen.version}
    if chosen not in usable and not any(host.is_unspecified for host in usable):
        named = ", ".join(map(str, sorted(usable, key=str))) or "none of its family"
        refuse("local_address", f"one that listen names ({named})", f"{chosen}")


def check_ports(
    listen: Iterable[Endpoint], wireguard: tuple[int, int]
) -> Iterable[tuple[str, str]]:
    """Name ports that two sockets would fight for, as (expected, found)."""
    control = {endpoint.port for endpoint in listen}
    if wireguard[0] == wireguard[1]:
        yield "two different ports", f"{wireguard[0]} twice"
    for port in sorted(control & set(wireguard)):
        yield "ports that listen does not use", f"{port} in both"


def overlaps(
    owned: Iterable[tuple[Network, str]],
) -> Iterable[tuple[tuple[Network, str], tuple[Network, str]]]:
    """Pair each prefix with the narrowest one before it that contains it.

    Two prefixes either nest or are apart, so one pass over them in order, with the
    prefixes that are still open on a stack, finds every one that overlaps another:
    n log n, where comparing each with each takes minutes for a hub of thousands.
    """
    ordered = sorted(
        owned,
        key=lambda pair: (
            pair[0].version,
            int(pair[0].network_address),
            pair[0].prefixlen,
        ),
    )
    is_open: list[tuple[Network, str]] = []
    for network, owner in ordered:
        while is_open and not _contains(is_open[-1][0], network):
            is_open.pop()
        if is_open:
            yield is_open[-1], (network, owner)
        is_open.append((network, owner))


def _contains(wide: Network, narrow: Network) -> bool:
    if wide.version != narrow.version:
        return False
    return int(narrow.network_address) <= int(wide.broadcast_address)
