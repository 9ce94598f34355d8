"""The fence that follows from a configuration and the addresses of this host."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.dataplane.accepted import is_too_wide
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.connected import Connected
from gateway.dataplane.fence.homes import Homes
from gateway.dataplane.held.spans import Span, span_of

_PUBLIC_SHORTEST: Final = {32: 16, 128: 32}
"""Prefix lengths by bits of an address: no provider's segment is wider, so a public
network that is was hardly set by an operator."""


@dataclass(frozen=True, slots=True)
class Inside:
    """Networks of this host that a remote prefix covers, by what becomes of them.

    Attributes:
        leased: Refused: they are here for a time only.
        unasked: Refused: they came since an operator last accepted what is here.
        passed: Exempt, and no local prefix speaks of them; to be warned of.
        usual: The same in a full tunnel, which covers whatever is connected here, the
            network that leads to its peer above all.
    """

    leased: frozenset[str] = frozenset()
    unasked: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    usual: frozenset[str] = frozenset()

    @property
    def beside(self) -> frozenset[str]:
        """All that pass beside a tunnel without being named."""
        return self.passed | self.usual


def plan_of(
    config: GatewayConfig,
    connected: Connected,
    accepted: Iterable[str] = (),
    homes: Homes | None = None,
) -> FencePlan:
    """Return what a configuration's fence refuses: every tunnel, enabled or not.

    Args:
        config: The configuration.
        connected: What this host is connected to, judged.
        accepted: What may be connected here, to be remembered with the plan.
        homes: Follows what is connected, and remembers what went; None for what is
            there now.
    """
    tunnels = fenced_tunnels(config)
    homes = homes or Homes()
    homes.follow(connected.held, tunnels)
    ports = {endpoint.port for endpoint in config.listen} | set(config.wireguard_ports)
    return FencePlan(
        tunnels=tunnels,
        exempt=connected.permanent,
        ports=tuple(sorted(ports)),
        homes=homes.known,
        accepted=tuple(accepted),
    )


def fenced_tunnels(config: GatewayConfig) -> tuple[FencedTunnel, ...]:
    """Return all tunnels of a configuration, as the fence knows them."""
    return tuple(map(_fenced, config.tunnels.values()))


def exempt_too(plan: FencePlan, record: FencePlan) -> tuple[str, ...]:
    """Return what of a record's exempt networks is exempt from another plan, too.

    Those that the same prefixes of both cover: nobody accepted that they pass beside
    one that the record does not know. None that is too wide by now.
    """
    kept = lasting(record.tunnels, plan.tunnels, record.exempt)
    return tuple(sorted(acceptable(plan.tunnels, kept)))


def networks_inside(plan: FencePlan, connected: Connected) -> Inside:
    """Return what becomes of the networks that are connected inside remote prefixes."""
    remote, local = _prefixes(plan.tunnels)
    exempt = _Lengths(plan.exempt)

    def refused(networks: Iterable[str]) -> frozenset[str]:
        return frozenset(
            each
            for each in networks
            if remote.longest(each) > max(local.longest(each), exempt.longest(each))
        )

    beside = frozenset(
        each
        for each in connected.permanent
        if not _is_host(each)  # this host itself
        and local.longest(each) < remote.longest(each) < span_of(each)[2]
    )
    usual = frozenset(
        each for each in beside if not remote.longest(each) and not _is_odd(each)
    )
    return Inside(
        refused(connected.leased),
        refused(each for each in connected.unasked if not _is_host(each)),
        beside - usual,
        usual,
    )


def acceptable(
    tunnels: Iterable[FencedTunnel], networks: Iterable[str]
) -> frozenset[str]:
    """Return those that an operator may accept without naming them.

    Of a network that is too wide, and that a remote prefix covers, `local_subnets` must
    speak: half of the Internet is nobody's LAN.
    """
    remote, local = _prefixes(tunnels)
    return frozenset(
        each
        for each in networks
        if not is_too_wide(each) or remote.longest(each) <= local.longest(each)
    )


def lasting(
    before: Iterable[FencedTunnel],
    now: Iterable[FencedTunnel],
    networks: Iterable[str],
) -> frozenset[str]:
    """Return the networks that the same prefixes cover before and now."""
    old, new = _prefixes(before), _prefixes(now)
    return frozenset(
        each
        for each in networks
        if all(
            one.longest(each) == other.longest(each)
            for one, other in zip(old, new, strict=True)
        )
    )


def _is_odd(network: str) -> bool:
    """Whether a network is public and wider than any that a provider leads to."""
    bits, _, length = span_of(network)
    return length < _PUBLIC_SHORTEST[bits] and ip_network(network).is_global


def _prefixes(tunnels: Iterable[FencedTunnel]) -> tuple["_Lengths", "_Lengths"]:
    """Return the remote prefixes and the local ones."""
    tunnels = tuple(tunnels)
    return (
        _Lengths(prefix for each in tunnels for prefix in each.remote),
        _Lengths(prefix for each in tunnels for prefix in each.local),
    )


def _is_host(network: str) -> bool:
    bits, _, length = span_of(network)
    return bits == length


class _Lengths:
    """Prefixes by length: a hub's ten thousand are asked for each of its networks."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._starts: dict[tuple[int, int], set[int]] = {}
        for prefix in prefixes:
            bits, start, length = span_of(prefix)
            self._starts.setdefault((bits, length), set()).add(start)

    def longest(self, network: str) -> int:
        """Return the length of the longest prefix that covers a network, -1 if none."""
        span = span_of(network)
        return max(
            (
                length
                for (bits, length), starts in self._starts.items()
                if bits == span[0]
                and length <= span[2]
                and _cut(span, length) in starts
            ),
            default=-1,
        )


def _cut(span: Span, length: int) -> int:
    bits, start, _ = span
    return start >> (bits - length) << (bits - length)


def _fenced(tunnel: TunnelConfig) -> FencedTunnel:
    """Return a tunnel's prefixes, with the networks inside that it shares."""
    local = tuple(map(str, tunnel.local_subnets))
    inside = (address.network for address in tunnel.addresses)
    shared = (str(each) for each in inside if each.num_addresses > 1)
    remote = dict.fromkeys((*map(str, tunnel.remote_subnets), *shared))
    return FencedTunnel(
        tunnel.name, tuple(each for each in remote if each not in local), local
    )
