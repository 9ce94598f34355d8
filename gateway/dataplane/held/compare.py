"""Differences between what is wanted and what is there. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from itertools import chain

from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.held.snapshot import FoundAddress, FoundLink, Snapshot
from gateway.dataplane.held.spans import Span, contains, covers, span_of, text_of
from gateway.dataplane.held.wanted import (
    GUARD_METRIC,
    IPV6_METRIC,
    DesiredState,
    Route,
    WantedLink,
    WantedTunnel,
)
from gateway.dataplane.netlink import rtnetlink as rt

NOBODY = ""
"""Owner of what serves all tunnels."""


@dataclass(frozen=True, slots=True)
class MissingLink:
    """An interface that is gone."""

    link: WantedLink


@dataclass(frozen=True, slots=True)
class ChangedLink:
    """An interface that is not as it should be.

    Attributes:
        link: What it should be.
        found: What it is.
    """

    link: WantedLink
    found: FoundLink


@dataclass(frozen=True, slots=True)
class MissingAddress:
    """An address that is gone."""

    tunnel: str
    index: int
    address: str


@dataclass(frozen=True, slots=True)
class MissingRoute:
    """A route that is gone, or not as it should be."""

    tunnel: str
    route: Route


@dataclass(frozen=True, slots=True)
class SurplusRoute:
    """A route in our table that nobody wants."""

    route: Route


@dataclass(frozen=True, slots=True)
class MissingRule:
    """The rule of a family that is gone."""

    family: int


Difference = (
    MissingLink
    | ChangedLink
    | MissingAddress
    | MissingRoute
    | SurplusRoute
    | MissingRule
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of this host decides how tunnels' routes look.

    Attributes:
        hosts: Addresses of this host outside tunnels that can be a source.
        connected: Networks to which it is connected for good, and which are accepted.
        networks: Networks to which it is connected, also for a time.
    """

    hosts: tuple[tuple[str, Span], ...] = ()
    connected: tuple[Span, ...] = ()
    networks: tuple[Span, ...] = ()


def surroundings(
    addresses: Iterable[FoundAddress],
    own: frozenset[int],
    accepted: AcceptedNetworks,
) -> Surroundings:
    """Return what matters of this host's addresses.

    Args:
        addresses: All of them.
        own: Indexes of our own interfaces.
        accepted: Networks that may pass beside a tunnel.
    """
    hosts, connected, networks = [], [], []
    for found in addresses:
        if found.index in own:
            continue
        parsed = ip_interface(found.address)
        if parsed.is_loopback or parsed.is_link_local:
            continue
        if not found.flags & rt.IFA_F_TENTATIVE:
            hosts.append((str(parsed.ip), span_of(str(parsed.ip))))
        network = span_of(found.address)
        if found.flags & rt.IFA_F_PERMANENT and text_of(network) in accepted:
            connected.append(network)
        if network[2] < network[0]:  # a host's own address may move to another host
            networks.append(network)
    return Surroundings(
        tuple(sorted(hosts)),
        tuple(dict.fromkeys(connected)),
        tuple(dict.fromkeys(networks)),
    )


def identify(
    wanted: Mapping[str, WantedLink],
    links: Mapping[int, FoundLink],
    known: Mapping[str, int],
) -> dict[str, FoundLink]:
    """Return which interface is which of ours, by alias.

    One that we knew keeps its place whatever it is called now; else the alias says
    it, or the if_id, which only one interface can have.
    """
    found: dict[str, FoundLink] = {}
    for alias, index in known.items():
        link = links.get(index)
        if link is not None and alias in wanted and link.kind == wanted[alias].kind:
            found[alias] = link
    if len(found) == len(wanted):
        return found
    by_if_id = {w.if_id: a for a, w in wanted.items() if w.if_id and a not in found}
    for link in links.values():
        alias = link.alias
        if alias not in wanted or alias in found or link.kind != wanted[alias].kind:
            alias = by_if_id.get(link.if_id, "") if link.if_id else ""
        if alias and alias not in found:
            found[alias] = link
    return found


def compare(
    wanted: DesiredState,
    snapshot: Snapshot,
    known: Mapping[str, int],
    accepted: AcceptedNetworks,
    *,
    is_settled: bool = True,
) -> list[Difference]:
    """Return what has to be done, in the order in which to do it.

    What hangs on an interface that is gone is not named: it follows once that is
    there again.

    Args:
        wanted: What should be.
        snapshot: What is.
        known: Indexes of our interfaces by alias, as last seen.
        accepted: Networks of this host that may pass beside a tunnel.
        is_settled: Whether all tunnels have said what they want, so that a route of
            ours that nobody wants is one too many.
    """
    links = identify(wanted.links, snapshot.links, known)
    differences: list[Difference] = [
        MissingRule(family) for family in rt.FAMILIES if family not in snapshot.rules
    ]
    for alias, link in wanted.links.items():
        found = links.get(alias)
        if found is None:
            differences.append(MissingLink(link))
        elif not is_right(link, found):
            differences.append(ChangedLink(link, found))
    indexes = {alias: link.index for alias, link in links.items() if link.is_up}
    differences += _missing_addresses(wanted, snapshot, indexes)
    around = surroundings(
        snapshot.addresses,
        frozenset(link.index for link in links.values()),
        accepted,
    )
    differences += _compare_routes(wanted, snapshot, indexes, around, is_settled)
    return differences


def is_right(link: WantedLink, found: FoundLink) -> bool:
    """Whether an interface is as it should be."""
    return (
        found.is_up
        and found.name == link.name
        and found.alias == link.alias
        and link.mtu in {None, found.mtu}
    )


def _missing_addresses(
    wanted: DesiredState, snapshot: Snapshot, indexes: Mapping[str, int]
) -> Iterator[MissingAddress]:
    there = {(found.index, found.address) for found in snapshot.addresses}
    for tunnel in wanted.tunnels.values():
        for alias in tunnel.holders:
            index = indexes.get(alias)
            if index is None:
                continue
            for address in tunnel.addresses:
                if (index, address) not in there:
                    yield MissingAddress(tunnel.name, index, address)


def _compare_routes(
    wanted: DesiredState,
    snapshot: Snapshot,
    indexes: Mapping[str, int],
    around: Surroundings,
    is_settled: bool,  # noqa: FBT001  # passed on
) -> Iterator[Difference]:
    there = set(snapshot.routes)
    right: set[tuple[str, int]] = set()
    for tunnel in wanted.tunnels.values():
        routes = routes_of(tunnel, indexes.get(tunnel.link), around)
        for route in chain(own_guards(tunnel), routes):
            right.add((route[0], route[5]))
            if route not in there:
                yield MissingRoute(tunnel.name, route)
    for route in thrown(wanted.tunnels.values(), around):
        if route.key not in right:
            right.add(route.key)
            if route not in there:
                yield MissingRoute(NOBODY, route)
    for route in snapshot.routes:
        if (route[0], route[5]) not in right and (is_settled or not route.is_ours):
            yield SurplusRoute(route)


def routes_of(
    tunnel: WantedTunnel, index: int | None, around: Surroundings
) -> Iterator[Route]:
    """Yield a tunnel's guards and routes; without an interface, guards alone."""
    for prefix in tunnel.prefixes:
        if tunnel.is_guarded:
            yield Route(prefix, rt.RTN_UNREACHABLE, metric=GUARD_METRIC)
        if index is not None:
            yield Route(
                prefix,
                device=index,
                source=source_of(tunnel, prefix, around),
                mtu=tunnel.mtu,
                metric=IPV6_METRIC if ":" in prefix else 0,
            )


def own_guards(tunnel: WantedTunnel) -> Iterator[Route]:
    """Yield what holds back packets for a tunnel's own addresses while those are gone.

    They lie in networks at the peer. What was decrypted for such an address would go
    round by the tunnel again, or leave by the default route: table local, which comes
    first, does not have it then.
    """
    for address in tunnel.addresses:
        host = text_of(span_of(address.partition("/")[0]))
        yield Route(host, rt.RTN_UNREACHABLE, metric=GUARD_METRIC)


def source_of(tunnel: WantedTunnel, prefix: str, around: Surroundings) -> str:
    """Return the address that packets of the gateway itself should come from.

    An inside address, or else one of this host's in the local prefixes: others the
    peer would not take for ours. Empty if there is none.
    """
    is_v6 = ":" in prefix
    for address in tunnel.addresses:
        if (":" in address) == is_v6:
            return address.partition("/")[0]
    if around.hosts:
        for local in tunnel.local:
            if (":" in local) == is_v6:
                network = span_of(local)
                for text, host in around.hosts:
                    if contains(network, host):
                        return text
    return ""


def thrown(tunnels: Iterable[WantedTunnel], around: Surroundings) -> Iterator[Route]:
    """Yield the routes that send our own networks on to table main.

    Those inside a remote prefix that is shorter: local prefixes, and networks that
    this host is connected to for good.
    """
    given: set[Span] = set()
    for tunnel in tunnels:
        if not (tunnel.local or around.connected):
            continue
        remote = [span_of(prefix) for prefix in tunnel.prefixes]
        for own in (*map(span_of, tunnel.local), *around.connected):
            if own not in given and any(covers(prefix, own) for prefix in remote):
                given.add(own)
                text = text_of(own)
                metric = IPV6_METRIC if ":" in text else 0
                yield Route(text, rt.RTN_THROW, metric=metric)
