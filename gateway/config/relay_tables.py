"""The table ``[relay]``, and the keys of a link whose keys are relayed."""

import itertools
from collections.abc import Callable, Mapping
from typing import Final

from gateway.config.addresses import (
    parse_listen,
    parse_peer,
)
from gateway.config.model import (
    DEFAULT_RELAY_PORT,
    Endpoint,
    LinkConfig,
    LinkSource,
    NeighbourConfig,
    RelayConfig,
    RouteConfig,
    TunnelConfig,
)
from gateway.config.problems import Problems, Source, show
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    parse_boolean,
    parse_text,
    whole,
)
from gateway.wire.network import MAX_NEIGHBOURS, NODE_NAME

MAX_PATHS: Final = 8
"""Paths of one key; networks with more disjoint ones are not built."""

MAX_BETWEEN: Final = 6
"""Nodes between two ends: seven hops, more than crosses a continent."""

MAX_NETWORK: Final = 2_000
"""Links of one network: what routes are found in within 50 ms."""

MAX_BATCH: Final = 128
"""Keys of one relay message."""

MAX_REQUESTS: Final = 60_000.0
"""Batches a minute, a thousand a second: more than a network carries."""

LEAST_PADS, MOST_PADS = 16, 1_000_000
"""Pads in stock for one direction; the least carry a batch of 14."""

DEFAULT_LISTEN: Final = (
    Endpoint("0.0.0.0", DEFAULT_RELAY_PORT),  # noqa: S104 - neighbours are outside
    Endpoint("::", DEFAULT_RELAY_PORT),
)

DEFAULT_PADS: Final = 1_000
"""Seven batches of the usual size."""

_ROUTE_KEYS: Final = ("to", "via", "paths")

Links = Mapping[str, LinkConfig]
Tunnels = Mapping[str, TunnelConfig]


def parse_node(value: object) -> str:
    """Take the name of a node."""
    if not isinstance(value, str) or not NODE_NAME.fullmatch(value):
        raise BadValueError("a node's name: 1 to 31 of a-z, 0-9 and -")
    return value


def read_route(section: Section, source: LinkSource | None) -> RouteConfig | None:
    """Read the keys of a link whose keys are relayed; refuse them on any other."""
    to = section.optional("to", parse_node, "")
    via = section.optional("via", _parse_via, ())
    paths = section.optional("paths", whole(1, MAX_PATHS), max(1, len(via)))
    if source is not LinkSource.RELAY:
        for key in _ROUTE_KEYS:
            if source is not None and key in section:
                section.refuse(key, 'no such key unless source is "relay"', "one")
        return None
    if not to:
        section.refuse("to", 'a node\'s name, since source is "relay"', "nothing")
        return None
    if via and paths != len(via):
        section.refuse("paths", f"as many as via has: {len(via)}", f"{paths}")
    return RouteConfig(
        to=to,
        via=via,
        paths=paths,
        batch=section.optional("batch", whole(1, MAX_BATCH), MAX_BATCH),
        requests_per_minute=section.optional(
            "requests_per_minute", number(1, MAX_REQUESTS, "batches a minute"), 120.0
        ),
    )


def read_relay(source: Source, problems: Problems) -> RelayConfig | None:
    """Read ``[relay]`` and its ``[relay.neighbours.NAME]``; None without the table."""
    section = Section(source, ("relay",), problems)
    if "relay" not in source.data:
        return None
    node = section.required("node", parse_node, '"luxembourg"')
    listen = section.optional("listen", many(_with_port(parse_listen)), None)
    forward = section.optional("forward", parse_boolean, default=False)
    links = section.required("links", _parse_pairs, '[["redu", "luxembourg"]]')
    neighbours: dict[str, NeighbourConfig] = {}
    section.optional("neighbours", lambda value: value, None)
    tables = Section(source, ("relay", "neighbours"), problems)
    for name in tables.names():
        if not NODE_NAME.fullmatch(name):
            tables.refuse(name, "a node's name", repr(name))
        elif len(neighbours) >= MAX_NEIGHBOURS:
            tables.refuse(name, f"at most {MAX_NEIGHBOURS} neighbours", "one more")
        else:
            path = ("relay", "neighbours", name)
            neighbour = _read_neighbour(name, Section(source, path, problems))
            if neighbour is not None:
                neighbours[name] = neighbour
    section.close()
    if node is None or links is None:
        return None
    return RelayConfig(node, listen or DEFAULT_LISTEN, forward, links, neighbours)


def check_relay(
    relay: RelayConfig,
    links: Links,
    tunnels: Tunnels,
    source: Source,
    problems: Problems,
) -> None:
    """Check ``[relay]`` against itself, the links and the tunnels."""
    section = Section(source, ("relay",), problems)
    own = {a if b == relay.node else b for a, b in relay.links if relay.node in (a, b)}
    for name in sorted(own - relay.neighbours.keys()):
        section.refuse("links", f"[relay.neighbours.{name}]", "no such table")
    used: dict[tuple[str, str], str] = {}
    for name, neighbour in relay.neighbours.items():
        place = Section(source, ("relay", "neighbours", name), problems)
        if name not in own:
            pair = f'["{relay.node}", "{name}"]'
            section.refuse("links", f"{pair}, since {name} is a neighbour", "none")
        link = links.get(neighbour.link)
        if link is None or link.source is LinkSource.RELAY:
            known = [one for one in links if links[one].source is not LinkSource.RELAY]
            expected = f"a link that is not relayed ({', '.join(sorted(known))})"
            place.refuse("link", expected, repr(neighbour.link))
        tunnel = tunnels.get(neighbour.tunnel)
        if tunnel is None:
            expected = f"a configured tunnel ({', '.join(sorted(tunnels))})"
            place.refuse("tunnel", expected, repr(neighbour.tunnel))
        for key, value in (("link", neighbour.link), ("tunnel", neighbour.tunnel)):
            # One leads to one gateway: the pads would be another neighbour's.
            earlier = used.setdefault((key, value), name)
            if earlier != name:
                place.refuse(key, f"a {key} of its own", f"that of {earlier}")


def check_route(
    link: LinkConfig, relay: RelayConfig | None, refuse: Callable[..., None]
) -> None:
    """Check a relayed link against the network."""
    route = link.route
    if route is None:
        return
    if relay is None:
        refuse("source", "a table [relay], since keys are relayed", "none")
        return
    nodes = {name for pair in relay.links for name in pair}
    edges = {frozenset(pair) for pair in relay.links}
    if route.to not in nodes or route.to == relay.node:
        known = ", ".join(sorted(nodes - {relay.node}))
        refuse("to", f"another node of the network ({known})", repr(route.to))
        return
    between = [name for path in route.via for name in path]
    if len(set(between)) != len(between) or {relay.node, route.to} & set(between):
        refuse("via", "paths that visit no node twice", show(list(route.via)))
        return
    for path in route.via:
        whole_path = (relay.node, *path, route.to)
        for a, b in itertools.pairwise(whole_path):
            if frozenset((a, b)) not in edges:
                refuse("via", "nodes with a link from each to the next", f"{a}, {b}")


def check_routes_apart(
    links: Links, refuse: Callable[[str, str, str, str], None]
) -> None:
    """Refuse two relayed links to one node: which one its keys go to is not told."""
    first: dict[str, str] = {}
    for name, link in links.items():
        if link.route is None:
            continue
        earlier = first.setdefault(link.route.to, name)
        if earlier != name:
            refuse(name, "to", "a node of its own", f"{earlier} leads there too")


def _read_neighbour(name: str, section: Section) -> NeighbourConfig | None:
    link = section.required("link", parse_text, '"fibre"')
    tunnel = section.required("tunnel", parse_text, f'"{name}"')
    endpoint = section.required(
        "endpoint", _with_port(parse_peer), f'"192.0.2.1:{DEFAULT_RELAY_PORT}"'
    )
    pads = section.optional("pads", whole(LEAST_PADS, MOST_PADS), DEFAULT_PADS)
    section.close()
    if link is None or tunnel is None or endpoint is None:
        return None
    return NeighbourConfig(name, link, tunnel, endpoint, pads)


def _with_port(parse: Callable[[object], Endpoint]) -> Callable[[object], Endpoint]:
    """Insist on a port: the one that is left out elsewhere is another one's."""

    def parse_both(value: object) -> Endpoint:
        endpoint = parse(value)
        if isinstance(value, str) and not value.endswith(f":{endpoint.port}"):
            raise BadValueError(f"ADDRESS:PORT, such as 192.0.2.1:{DEFAULT_RELAY_PORT}")
        return endpoint

    return parse_both


def _parse_via(value: object) -> tuple[tuple[str, ...], ...]:
    """Take one path as a list of nodes, or several as a list of lists."""
    expected = f"a list of 1 to {MAX_BETWEEN} nodes, or a list of such lists"
    if not isinstance(value, list) or not value:
        raise BadValueError(expected)
    if all(isinstance(each, str) for each in value):
        return (_parse_path(value, expected),)
    if len(value) > MAX_PATHS:
        raise BadValueError(f"at most {MAX_PATHS} paths")
    return tuple(_parse_path(each, expected) for each in value)


def _parse_path(value: object, expected: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_BETWEEN:
        raise BadValueError(expected)
    return many(parse_node)(value)


def _parse_pairs(value: object) -> tuple[tuple[str, str], ...]:
    expected = 'a list of pairs, such as [["redu", "luxembourg"]]'
    if not isinstance(value, list) or not value:
        raise BadValueError(expected)
    if len(value) > MAX_NETWORK:
        raise BadValueError(f"at most {MAX_NETWORK} links")
    pairs: list[tuple[str, str]] = []
    seen = set()
    for index, each in enumerate(value):
        if not isinstance(each, list) or len(each) != 2:  # noqa: PLR2004 -- a pair
            raise BadValueError(expected, show(each), index)
        first, second = (parse_node(name) for name in each)
        if first == second or frozenset((first, second)) in seen:
            found = f"{first}, {second}"
            raise BadValueError("two nodes, each pair once", found, index)
        seen.add(frozenset((first, second)))
        pairs.append((first, second))
    return tuple(pairs)
