"""Nameservers that only a tunnel leads to.

The daemon reaches peers outside all tunnels; the system's resolver does not.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final

from gateway.config.model import TunnelConfig
from gateway.dataplane.route_file import read_lines, read_routes

RESOLVERS: Final = (
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/etc/resolv.conf"),
)
"""Where nameservers stand (resolv.conf(5)); the first that is there counts. What
systemd-resolved asks is in its own file, and the usual one names but itself."""


def covered_nameservers(
    tunnels: Iterable[TunnelConfig], routes: Path, resolvers: tuple[Path, ...]
) -> list[str]:
    """Return the nameservers, if all of them are inside remote prefixes.

    Args:
        tunnels: Those that are enabled.
        routes: Where the main table is read: what is on a link is not inside.
        resolvers: Where nameservers are read: the first file that is there.
    """
    tunnels = tuple(tunnels)
    remote = [prefix for t in tunnels for prefix in t.remote_subnets]
    own = [prefix for t in tunnels for prefix in t.local_subnets]
    servers = _nameservers(resolvers)
    covered = [
        str(server)
        for server in servers
        if _longest(server, remote)
        > max(_longest(server, own), _connected_length(server, routes))
    ]
    return covered if len(covered) == len(servers) else []


def is_name(host: str) -> bool:
    """Whether a host has to be resolved."""
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def _nameservers(resolvers: tuple[Path, ...]) -> list[IPv4Address | IPv6Address]:
    """Return the nameservers that are not this host itself."""
    lines = next((found for path in resolvers if (found := read_lines(path))), [])
    words = (line.split() for line in lines)
    hosts = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    servers = (ip_address(host) for host in hosts if not is_name(host))
    return [server for server in servers if not server.is_loopback]


def _longest(
    address: IPv4Address | IPv6Address, prefixes: Iterable[IPv4Network | IPv6Network]
) -> int:
    """Return the length of the longest prefix with an address, -1 for none."""
    lengths = (prefix.prefixlen for prefix in prefixes if address in prefix)
    return max(lengths, default=-1)


def _connected_length(address: IPv4Address | IPv6Address, routes: Path) -> int:
    """Return the length of the network on a link that an IPv4 address is in, or -1."""
    networks = (
        network
        for _, network, is_direct in read_routes(routes)
        # A line that is a link of its own has a default route without a router.
        if is_direct and network.prefixlen and address in network
    )
    return max((network.prefixlen for network in networks), default=-1)
