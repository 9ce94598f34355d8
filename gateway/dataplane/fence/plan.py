"""The fence that follows from a configuration and the addresses of this host."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.connected import Connected
from gateway.dataplane.fence.homes import Homes
from gateway.dataplane.held.spans import Span, span_of


@dataclass(frozen=True, slots=True)
class Inside:
    """Networks of this host that a remote prefix covers, by what becomes of them.

    Attributes:
        leased: Refused: they are here for a time only.
        unasked: Refused: they came since an operator last accepted what is here.
        passed: Exempt, and no local prefix speaks of them.
    """

    leased: frozenset[str] = frozenset()
    unasked: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()


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

    Those that lie in the same remote prefix of both: nobody accepted that they pass
    beside one that the record does not know.
    """
    wanted = _Lengths(prefix for each in plan.tunnels for prefix in each.remote)
    known = _Lengths(prefix for each in record.tunnels for prefix in each.remote)
    return tuple(
        each for each in record.exempt if wanted.longest(each) == known.longest(each)
    )


def networks_inside(plan: FencePlan, connected: Connected) -> Inside:
    """Return what becomes of the networks that are connected inside remote prefixes.

    Of those that pass, a full tunnel's are left out: it covers whatever is connected,
    and the network that leads to its peer above all.
    """
    remote = _Lengths(prefix for each in plan.tunnels for prefix in each.remote)
    local = _Lengths(prefix for each in plan.tunnels for prefix in each.local)
    exempt = _Lengths(plan.exempt)

    def refused(networks: Iterable[str]) -> frozenset[str]:
        return frozenset(
            each
            for each in networks
            if remote.longest(each) > max(local.longest(each), exempt.longest(each))
        )

    return Inside(
        refused(connected.leased),
        refused(each for each in connected.unasked if not _is_host(each)),
        frozenset(
            each
            for each in connected.permanent
            if not _is_host(each)  # this host itself
            and max(local.longest(each), 0) < remote.longest(each) < span_of(each)[2]
        ),
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
