"""The fence that follows from a configuration and the addresses of this host."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.connected import Connected
from gateway.dataplane.fence.homes import Homes

Network = IPv4Network | IPv6Network


def plan_of(
    config: GatewayConfig, connected: Connected, homes: Homes | None = None
) -> FencePlan:
    """Return what a configuration's fence refuses: every tunnel, enabled or not.

    Args:
        config: The configuration.
        connected: What this host is connected to.
        homes: Follows that, and remembers what went; None for what is there now.
    """
    tunnels = tuple(map(_fenced, config.tunnels.values()))
    homes = homes or Homes()
    homes.follow(connected.held, tunnels)
    ports = {endpoint.port for endpoint in config.listen} | set(config.wireguard_ports)
    return FencePlan(
        tunnels=tunnels,
        exempt=connected.permanent,
        ports=tuple(sorted(ports)),
        homes=homes.known,
    )


def leased_inside(plan: FencePlan, connected: Connected) -> frozenset[str]:
    """Return leased networks that a remote prefix covers and nobody exempts."""
    found: set[str] = set()
    for lease in connected.leased:
        network = ip_network(lease)
        remote = _longest(network, (p for t in plan.tunnels for p in t.remote))
        own = (p for t in plan.tunnels for p in t.local)
        exempt = _longest(network, (*own, *plan.exempt))
        if remote > exempt:
            found.add(lease)
    return frozenset(found)


def passed_inside(plan: FencePlan, connected: Connected) -> frozenset[str]:
    """Return networks that a remote prefix covers and that are exempt unasked.

    An address for good wins against a shorter remote prefix; but a lease that never
    ends looks the same, and takes its network out of the tunnel. So it is told where no
    local prefix speaks of it. A full tunnel covers whatever is connected.
    """
    found: set[str] = set()
    for held in connected.permanent:
        network = ip_network(held)
        if network.prefixlen == network.max_prefixlen:
            continue  # this host itself
        remote = _longest(network, (p for t in plan.tunnels for p in t.remote))
        local = _longest(network, (p for t in plan.tunnels for p in t.local))
        if max(local, 0) < remote < network.prefixlen:
            found.add(held)
    return frozenset(found)


def _longest(network: Network, prefixes: Iterable[str]) -> int:
    """Return the length of the longest prefix that covers a network, -1 if none."""
    lengths = [-1]
    for prefix in prefixes:
        wide = ip_network(prefix)
        is_wide = wide.version == network.version and (
            wide.prefixlen <= network.prefixlen
        )
        if is_wide and network.network_address in wide:
            lengths.append(wide.prefixlen)
    return max(lengths)


def _fenced(tunnel: TunnelConfig) -> FencedTunnel:
    """Return a tunnel's prefixes, with the networks inside that it shares."""
    local = tuple(map(str, tunnel.local_subnets))
    inside = (address.network for address in tunnel.addresses)
    shared = (str(each) for each in inside if each.num_addresses > 1)
    remote = dict.fromkeys((*map(str, tunnel.remote_subnets), *shared))
    return FencedTunnel(
        tunnel.name, tuple(each for each in remote if each not in local), local
    )
