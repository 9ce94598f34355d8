"""Devices of local networks, the only way out for what was decrypted for them.

Packets that came out of a tunnel and are for a network here could be led anywhere by
somebody's rule, or by the default route while the network is away. Pure.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Home
from gateway.dataplane.fence.connected import Held
from gateway.dataplane.fence.partition import Prefix, passing_prefixes

Network = IPv4Network | IPv6Network

_SEPARATOR: Final = "/"
"""Between devices of one network: no device's name has one."""


class Homes:
    """What is connected here, and what was since the daemon started."""

    def __init__(self) -> None:
        self._known: dict[Network, tuple[str, ...]] = {}

    def follow(self, held: Iterable[Held], tunnels: Iterable[FencedTunnel]) -> None:
        """Take down what is connected now.

        A network that went stays known with its devices, until one that holds it all
        comes, or no tunnel has it any more as its own.

        Args:
            held: All networks of this host's interfaces.
            tunnels: Whose local prefixes count; of a tunnel without any, all do.
        """
        local = [tuple(map(ip_network, each.local)) for each in tunnels]
        is_any = not all(local)
        prefixes = {prefix for each in local for prefix in each}
        now = _chosen(held, prefixes, is_any=is_any)
        gone = {
            network: devices
            for network, devices in self._known.items()
            if (is_any or any(_holds(prefix, network) for prefix in prefixes))
            and not any(_holds(other, network) for other in now)
        }
        self._known = {**gone, **now}

    @property
    def known(self) -> tuple[Home, ...]:
        """All of them, in a fixed order."""
        found = (Home(str(each), devices) for each, devices in self._known.items())
        return tuple(sorted(found))


def home_prefixes(
    homes: Iterable[Home], before: Iterable[Home] = ()
) -> dict[Prefix, tuple[str, ...]]:
    """Return prefixes that are apart, each with its devices; the longest network wins.

    Args:
        homes: What counts.
        before: What counts too where `homes` says nothing.
    """
    prefixes = passing_prefixes(_as_plan(homes), _as_plan(before))
    return {
        prefix: tuple(devices.split(_SEPARATOR))
        for devices, every in prefixes.items()
        for prefix in every
    }


def _as_plan(homes: Iterable[Home]) -> FencePlan:
    """Return homes as tunnels, each to its devices: they are cut up by one rule."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for home in homes:
        groups.setdefault(home.devices, []).append(home.network)
    return FencePlan(
        tuple(
            FencedTunnel(_SEPARATOR.join(devices), tuple(networks))
            for devices, networks in groups.items()
        )
    )


def _chosen(
    held: Iterable[Held], prefixes: set[Network], *, is_any: bool
) -> Mapping[Network, tuple[str, ...]]:
    """Return the networks that count, and by which devices they are reached.

    A lease does not count where an operator's network is: whoever answers DHCP on the
    outer link could else have a part of it.
    """
    found: dict[Network, set[str]] = {}
    lasting: list[Network] = []
    for one in sorted(held, key=lambda each: not each.is_permanent):
        network = ip_network(one.network)
        parts = (
            [network]
            if is_any or any(_holds(prefix, network) for prefix in prefixes)
            else [prefix for prefix in prefixes if _holds(network, prefix)]
        )
        for part in parts:
            if one.is_permanent:
                lasting.append(part)
            elif any(_overlap(part, other) for other in lasting):
                continue
            found.setdefault(part, set()).add(one.device)
    return {network: tuple(sorted(devices)) for network, devices in found.items()}


def _holds(wide: Network, network: Network) -> bool:
    return (
        wide.version == network.version
        and wide.prefixlen <= network.prefixlen
        and network.network_address in wide
    )


def _overlap(one: Network, other: Network) -> bool:
    return _holds(one, other) or _holds(other, one)
