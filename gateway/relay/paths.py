"""Routes through the network of links: cheapest in stock, disjoint when asked.

A relayed key costs each link of its route one pad. What is scarce should be spared, so
the cost of a link is the share of its stock that a batch would take; links with too few
pads, and failed links and nodes, are not there at all.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import RelayError, RelayFault
from gateway.relay.disjoint import Arcs, disjoint_routes
from gateway.relay.hop import PADS_OF_MESSAGE
from gateway.relay.messages import MAX_NODES, MAX_PATHS, check_route

_SCALE: Final = 1_000_000
"""Costs are millionths of a stock, in whole numbers: sums and ties are exact."""

_Weigh = Callable[[str, str, dict[str, int]], int | None]


@dataclass(frozen=True, slots=True)
class RelayLink:
    """One direction of a link.

    Attributes:
        sender: Node at this end.
        receiver: Node at the other.
        pads: Pads in stock in this direction.
    """

    sender: str
    receiver: str
    pads: int


class Network:
    """Nodes and links as they are now; make another when stocks have changed."""

    def __init__(self, links: Iterable[RelayLink]) -> None:
        # Here: loading it takes a sixth of a daemon's start, and few are in a network.
        import networkx as nx  # noqa: PLC0415

        self._graph: nx.DiGraph[str] = nx.DiGraph()
        for link in links:
            if link.sender == link.receiver:
                raise RelayError(
                    f"a link joins {link.sender} to itself",
                    "a link has two ends",
                    fault=RelayFault.LOOP,
                )
            self._graph.add_edge(link.sender, link.receiver, pads=link.pads)

    def find_paths(
        self,
        origin: str,
        destination: str,
        *,
        keys: int,
        count: int = 1,
        failed_nodes: Collection[str] = (),
        failed_links: Collection[tuple[str, str]] = (),
    ) -> tuple[tuple[str, ...], ...]:
        """Return `count` routes that share no node but their ends, cheapest together.

        Args:
            origin: First node.
            destination: Last node.
            keys: How many keys one batch carries.
            count: How many routes.
            failed_nodes: Nodes to keep away from.
            failed_links: Pairs of nodes, in either order, to keep away from.

        Returns:
            The routes, cheapest first.

        Raises:
            RelayError: ``unknown-node``; ``loop`` when both ends are the same;
                ``no-path``.
        """
        self._check_ends(origin, destination)
        if not 1 <= count <= MAX_PATHS:
            raise ValueError(f"1 to {MAX_PATHS} paths")
        gone = set(failed_nodes)
        down = {frozenset(pair) for pair in failed_links}
        # A chain of rich links may be cheapest and yet longer than a route can be:
        # then the shortest routes are taken.
        for by_stock in (True, False):
            weigh = _weigher(keys, gone, down, by_stock=by_stock)
            if count == 1:
                routes = self._cheapest(weigh, origin, destination)
            else:
                routes = self._disjoint(weigh, origin, destination, count)
            if routes and all(len(route) <= MAX_NODES for route in routes):
                return tuple(
                    sorted(routes, key=lambda way: (self._cost(way, keys), way))
                )
        raise RelayError(
            f"no {count} disjoint path(s) of at most {MAX_NODES} nodes from"
            f" {origin} to {destination} with pads for {keys} keys",
            "wait for stock, bring links back, or ask for fewer keys or paths",
            fault=RelayFault.NO_PATH,
        )

    def check(self, route: Sequence[str]) -> None:
        """Refuse a route that an operator wrote and this network does not have.

        Raises:
            RelayError: ``malformed``, ``loop``, ``unknown-node`` or ``no-path``.
        """
        check_route(route)
        for node in route:
            self._check_known(node)
        for sender, receiver in itertools.pairwise(route):
            if not self._graph.has_edge(sender, receiver):
                raise RelayError(
                    f"{sender} has no link to {receiver}",
                    "correct the route",
                    fault=RelayFault.NO_PATH,
                )

    def _check_ends(self, origin: str, destination: str) -> None:
        self._check_known(origin)
        self._check_known(destination)
        if origin == destination:
            raise RelayError(
                f"{origin} would relay to itself",
                "name two nodes",
                fault=RelayFault.LOOP,
            )

    def _check_known(self, node: str) -> None:
        if node not in self._graph:
            raise RelayError(
                f"the network has no node {node!r}",
                "look at the names in the configuration's links",
                fault=RelayFault.UNKNOWN_NODE,
                node=node,
            )

    def _cheapest(
        self, weigh: _Weigh, origin: str, destination: str
    ) -> list[tuple[str, ...]] | None:
        """Find one route: no node needs to be split for that."""
        import networkx as nx  # noqa: PLC0415  # as above

        try:
            steps = nx.dijkstra_path(self._graph, origin, destination, weight=weigh)
        except nx.NetworkXNoPath:
            return None
        return [tuple(steps)]

    def _disjoint(
        self, weigh: _Weigh, origin: str, destination: str, count: int
    ) -> list[tuple[str, ...]] | None:
        """Find several."""
        names = list(self._graph)
        numbers = {name: number for number, name in enumerate(names)}
        arcs: Arcs = []
        for number, heads in enumerate(self._graph.adj.values()):
            costs = {}
            for receiver, data in heads.items():
                cost = weigh(names[number], receiver, data)
                if cost is not None:
                    costs[2 * numbers[receiver]] = cost
            arcs += ({2 * number + 1: 0}, costs)
        found = disjoint_routes(arcs, numbers[origin], numbers[destination], count)
        if found is None:
            return None
        return [tuple(names[number] for number in route) for route in found]

    def _cost(self, route: Sequence[str], keys: int) -> int:
        pairs = itertools.pairwise(route)
        return sum(_link_cost(keys, self._graph.edges[pair]["pads"]) for pair in pairs)


def _weigher(
    keys: int,
    gone: Collection[str],
    down: Collection[frozenset[str]],
    *,
    by_stock: bool,
) -> _Weigh:
    """Say what a link costs a batch, or None if it cannot carry it."""

    def weigh(sender: str, receiver: str, data: dict[str, int]) -> int | None:
        pads = data["pads"]
        if pads < keys + PADS_OF_MESSAGE or sender in gone or receiver in gone:
            return None
        if down and frozenset((sender, receiver)) in down:
            return None
        return _link_cost(keys, pads) if by_stock else 1

    return weigh


def _link_cost(keys: int, pads: int) -> int:
    # At least 1, so that of two routes equally scarce the shorter is taken.
    return 1 + (keys + PADS_OF_MESSAGE) * _SCALE // pads


def check_disjoint(routes: Sequence[Sequence[str]]) -> None:
    """Refuse routes that do not join the same ends, or share a node between them.

    Raises:
        RelayError: ``malformed``, ``loop`` or ``no-path``.
    """
    for route in routes:
        check_route(route)
    between = [node for route in routes for node in route[1:-1]]
    ends = {(route[0], route[-1]) for route in routes}
    distinct = {tuple(route) for route in routes}
    if (
        len(ends) != 1
        or len(set(between)) != len(between)
        or len(distinct) != len(routes)
    ):
        raise RelayError(
            "the routes do not join the same ends by disjoint paths",
            "take those that `qgw network` shows",
            fault=RelayFault.NO_PATH,
        )
