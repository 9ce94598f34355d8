"""Devices of local networks, the only way out for what was decrypted for them.

Packets that came out of a tunnel and are for a network here could be led anywhere by
somebody's rule, or by the default route while the network is away. One that is away for
good is forgotten, for it may lie behind a router here by now (docs/adr/0254).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf, isfinite
from typing import Final

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Home
from gateway.dataplane.fence.connected import Held
from gateway.dataplane.fence.partition import Prefix, passing_prefixes

Network = IPv4Network | IPv6Network

ToReturn = Callable[[str, tuple[str, ...]], bool]

_SEPARATOR: Final = "/"
"""Between devices of one network: no device's name has one."""


LEASE_KEPT: Final = 130.0
"""Seconds for which a network that came by lease, or that nobody accepted, stays known
after it went: a DHCP client asks again after 4, 8, 16, 32 and 64 s (RFC 2131, 4.1)."""

RELOAD_KEPT: Final = 10.0
"""The same for any network once an operator has the configuration taken in without it:
an interface that has just come up may get its addresses seconds later."""


@dataclass(frozen=True, slots=True)
class _Known:
    """One network.

    Attributes:
        devices: Names of the interfaces that hold it, or did.
        kept: Seconds for which it is known after it went.
        since: When it went, or its interface was last seen down; None while it is here.
    """

    devices: tuple[str, ...]
    kept: float
    since: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether it is to be forgotten."""
        return self.since is not None and now - self.since >= self.kept


class Homes:
    """What is connected here, and what was and may come back."""

    def __init__(
        self,
        is_to_return: ToReturn = lambda _network, _devices: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is known.

        Args:
            is_to_return: Whether a network that these interfaces held is away only
                because one of them is down.
            clock: Seconds.
        """
        self._known: dict[Network, _Known] = {}
        self._is_to_return = is_to_return
        self._clock = clock

    def follow(self, held: Iterable[Held], tunnels: Iterable[FencedTunnel]) -> None:
        """Take down what is connected now.

        A network that went stays known with its devices, until one that holds it all
        comes, or no tunnel has it any more as its own, or its time is over: that of an
        operator's network begins with `forget`.

        Args:
            held: All networks of this host's interfaces.
            tunnels: Whose local prefixes count; of a tunnel without any, all do.
        """
        local = [tuple(map(ip_network, each.local)) for each in tunnels]
        is_any = not all(local)
        prefixes = {prefix for each in local for prefix in each}
        now = _chosen(held, prefixes, is_any=is_any)
        time_now = self._clock()
        gone = {
            network: each if each.since is not None else replace(each, since=time_now)
            for network, each in self._known.items()
            if (is_any or any(_holds(prefix, network) for prefix in prefixes))
            and not any(_holds(other, network) for other in now)
            and not each.is_over(time_now)
        }
        self._known = {**gone, **now}

    def forget(self) -> None:
        """Let the time of what went begin: an operator says that all is as it should.

        What is to return with its interface is left as it is.
        """
        for network, each in self._known.items():
            if each.since is not None and not self._returns(network, each):
                kept = min(each.kept, RELOAD_KEPT)
                self._known[network] = replace(each, kept=kept)

    def watch(self) -> bool:
        """Look at what went; return whether `follow` is to forget some of it.

        No time runs while an interface is down.
        """
        for network, each in self._known.items():
            is_running = each.since is not None and isfinite(each.kept)
            if is_running and self._returns(network, each):
                self._known[network] = replace(each, since=self._clock())
        now = self._clock()
        return any(each.is_over(now) for each in self._known.values())

    def _returns(self, network: Network, each: _Known) -> bool:
        return self._is_to_return(str(network), each.devices)

    @property
    def known(self) -> tuple[Home, ...]:
        """All of them, in a fixed order."""
        found = (
            Home(str(network), each.devices) for network, each in self._known.items()
        )
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
) -> Mapping[Network, _Known]:
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
    return {
        network: _Known(
            tuple(sorted(devices)), inf if network in lasting else LEASE_KEPT
        )
        for network, devices in found.items()
    }


def _holds(wide: Network, network: Network) -> bool:
    return (
        wide.version == network.version
        and wide.prefixlen <= network.prefixlen
        and network.network_address in wide
    )


def _overlap(one: Network, other: Network) -> bool:
    return _holds(one, other) or _holds(other, one)
