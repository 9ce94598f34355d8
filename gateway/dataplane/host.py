"""Settings of this host that keep a site's packets out of its tunnels.

A gateway forwards for the networks behind it, and the kernel does so only when told.
The daemon does not change these settings: they concern all that this host does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Network,
    ip_address,
)
from pathlib import Path
from typing import Final

from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.dataplane.nameservers import RESOLVERS, covered_nameservers, is_name
from gateway.dataplane.route_file import read_lines, read_routes

SETTINGS: Final = Path("/proc/sys/net")
"""The kernel's settings, of the network namespace of the one who reads."""

ROUTES: Final = Path("/proc/net/route")
"""The main table's IPv4 routes, likewise."""

SYSCTL_FILE: Final = "/etc/sysctl.d/90-qgw.conf"
"""Where the hints and the README put what must survive a reboot."""

_IPV4: Final = 4
_SHARED_DEVICE: Final = "qgw-wg"
"""Start of the names of the WireGuard planes' devices."""

STRICT: Final = 1
"""rp_filter: only from where the route back leads to (RFC 3704)."""

_NO_HOSTS: Final = ("lo", "all", "default")
"""Names under ``conf`` that are no interface with hosts behind it."""


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One setting that stands in the way.

    Attributes:
        kind: One word, for scripts: ``forwarding-off``, ``reverse-path-strict``,
            ``nameserver-covered``.
        text: What is set, and what does not work for it.
        hint: What to do about it.
    """

    kind: str
    text: str
    hint: str


def check_host(
    config: GatewayConfig,
    settings: Path = SETTINGS,
    routes: Path = ROUTES,
    resolvers: tuple[Path, ...] = RESOLVERS,
) -> tuple[HostFinding, ...]:
    """Return what this host's settings keep the configured tunnels from doing.

    Args:
        config: The configuration, checked.
        settings: Where the kernel's network settings are read.
        routes: Where the main table is read.
        resolvers: Where nameservers are read: the first file that is there.
    """
    tunnels = [t for t in config.tunnels.values() if t.enabled]
    return (
        *_check_forwarding(tunnels, settings),
        *_check_interfaces(tunnels, settings, routes),
        *_check_reverse_path(tunnels, settings, routes),
        *_check_nameservers(tunnels, routes, resolvers),
    )


def _check_forwarding(
    tunnels: list[TunnelConfig], settings: Path
) -> Iterator[HostFinding]:
    for version, key, is_on in (
        (4, "net.ipv4.ip_forward", _forwards_ipv4(settings)),
        (6, "net.ipv6.conf.all.forwarding", _forwards_ipv6(settings)),
    ):
        users = [t.name for t in tunnels if _forwards_for_hosts(t, version)]
        if users and is_on is False:
            yield HostFinding(
                "forwarding-off",
                f"{key} = 0: this host forwards no IPv{version} packet between its "
                f"networks and {_list(users)}",
                _set(f"{key}=1"),
            )


def _check_interfaces(
    tunnels: list[TunnelConfig], settings: Path, routes: Path
) -> Iterator[HostFinding]:
    """Find interfaces whose own switch stops what comes in by them.

    Of IPv4 alone: IPv6 asks the switch for all, and the one of an interface only says
    whether this host heeds router advertisements there. What `ip_forward` stops as
    well has been said.
    """
    off = {
        folder.name
        for folder in _interfaces(settings / "ipv4" / "conf")
        if _read(folder / "forwarding") == 0
    }
    users = [t for t in tunnels if _forwards_for_hosts(t, _IPV4)]
    if not off or not users or not _forwards_ipv4(settings):
        return
    site = {
        prefix
        for tunnel in users
        for prefix in tunnel.local_subnets
        if isinstance(prefix, IPv4Network)
    }
    # Read for those that are off alone: a main table may have a million routes.
    behind = {
        name
        for name, network, _ in read_routes(routes)
        if name in off and network.prefixlen and any(map(network.overlaps, site))
    }
    devices = {tunnel.interface for tunnel in users}
    ours = {name for name in off if name in devices or name.startswith(_SHARED_DEVICE)}
    for name in sorted(behind | ours):
        way = "out of" if name in ours else "into"
        yield HostFinding(
            "forwarding-off",
            f"net.ipv4.conf.{name}.forwarding = 0: this host forwards no IPv4 packet "
            f"that comes in by {name} {way} {_list(t.name for t in users)}",
            _set(f"net/ipv4/conf/{name}/forwarding=1"),
        )


def _forwards_for_hosts(tunnel: TunnelConfig, version: int) -> bool:
    """Whether a tunnel joins networks, rather than the two gateways themselves."""
    inside = [one.network for one in tunnel.addresses if one.version == version]
    beyond = [
        prefix
        for prefix in tunnel.remote_subnets
        if prefix.version == version
        and not any(prefix.subnet_of(one) for one in inside)  # type: ignore[arg-type]
    ]
    behind = [one for one in tunnel.local_subnets if one.version == version]
    only_us = bool(behind) and all(one.num_addresses == 1 for one in behind)
    return bool(beyond) and not only_us


def _forwards_ipv4(settings: Path) -> bool | None:
    """Whether IPv4 is forwarded from any interface; None if that cannot be read.

    Each interface has a switch of its own, and ``ip_forward`` only sets them all.
    """
    everywhere = _read(settings / "ipv4" / "ip_forward")
    if everywhere != 0:
        return None if everywhere is None else True
    return any(
        _read(folder / "forwarding") == 1
        for folder in _interfaces(settings / "ipv4" / "conf")
    )


def _forwards_ipv6(settings: Path) -> bool | None:
    """Whether IPv6 is forwarded: here the kernel asks the switch for all as well."""
    value = _read(settings / "ipv6" / "conf" / "all" / "forwarding")
    return None if value is None else value != 0


def _check_reverse_path(
    tunnels: list[TunnelConfig], settings: Path, routes: Path
) -> Iterator[HostFinding]:
    """Find peers whose answers a strict filter drops.

    A peer inside a remote prefix (a full tunnel) is reached by the outer interface,
    and the way back to it, as the filter looks it up, leads into the tunnel.
    """
    remote = _Prefixes(prefix for t in tunnels for prefix in t.remote_subnets)
    strict: dict[str, list[str]] = {}
    for tunnel in tunnels:
        peer = _ipv4(tunnel.endpoint.host) if tunnel.endpoint else None
        if peer is None or not remote.cover(peer):
            continue
        interface = _interface_to(peer, routes)
        if interface and _reverse_path(settings, interface) == STRICT:
            strict.setdefault(interface, []).append(tunnel.name)
    for interface, users in sorted(strict.items()):
        yield HostFinding(
            "reverse-path-strict",
            f"rp_filter is strict on {interface}: the kernel drops what the peer of "
            f"{_list(users)} sends, for the peer's address is inside a remote prefix",
            # With slashes: an interface's name may have a dot in it.
            _set(f"net/ipv4/conf/{interface}/rp_filter=2"),
        )


class _Prefixes:
    """IPv4 prefixes by length: a hub's thousands are asked once for each peer."""

    def __init__(self, prefixes: Iterable[IPv4Network | IPv6Network]) -> None:
        self._by_shift: dict[int, set[int]] = {}
        for prefix in prefixes:
            if isinstance(prefix, IPv4Network):
                shift = prefix.max_prefixlen - prefix.prefixlen
                start = int(prefix.network_address) >> shift
                self._by_shift.setdefault(shift, set()).add(start)

    def cover(self, address: IPv4Address) -> bool:
        """Whether one of them has the address in it."""
        number = int(address)
        return any(
            number >> shift in starts for shift, starts in self._by_shift.items()
        )


def _check_nameservers(
    tunnels: list[TunnelConfig], routes: Path, resolvers: tuple[Path, ...]
) -> Iterator[HostFinding]:
    """Find names of peers that are asked for through a tunnel that needs the answer."""
    named = {t.name: t.endpoint.host for t in tunnels if t.endpoint}
    named = {tunnel: host for tunnel, host in named.items() if is_name(host)}
    covered = covered_nameservers(tunnels, routes, resolvers) if named else []
    if covered:
        yield HostFinding(
            "nameserver-covered",
            f"nameserver {', '.join(covered)} is inside a remote prefix: "
            f"{', '.join(sorted(set(named.values())))} cannot be resolved before "
            f"{_list(named)} is up",
            "give endpoint as an address, or write the name into /etc/hosts",
        )


def _ipv4(host: str) -> IPv4Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None  # a name; nobody is asked for it here
    return address if isinstance(address, IPv4Address) else None


def _interface_to(peer: IPv4Address, routes: Path) -> str:
    """Return the interface by which the main table reaches an address, or nothing."""
    found, longest = "", -1
    for name, network, _ in read_routes(routes):
        if network.prefixlen > longest and peer in network:
            found, longest = name, network.prefixlen
    return found


def _reverse_path(settings: Path, interface: str) -> int:
    """Return rp_filter as the kernel reads it: the larger of the two values."""
    folder = settings / "ipv4" / "conf"
    values = (_read(folder / name / "rp_filter") for name in ("all", interface))
    return max(value or 0 for value in values)


def _interfaces(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in names if path.name not in _NO_HOSTS)


def _read(path: Path) -> int | None:
    lines = read_lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else None


def _set(setting: str) -> str:
    """Return how to make a setting, now and for every boot."""
    return f"echo {setting} >> {SYSCTL_FILE} && systemctl restart systemd-sysctl"


def _list(names: Iterable[str]) -> str:
    """Name a few tunnels; a hub has thousands."""
    found = sorted(names)
    shown = ", ".join(found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""  # noqa: PLR2004  # as shown
    return f"tunnel{'s' if len(found) > 1 else ''} {shown}{more}"
