"""Disjoint routes: Suurballe's algorithm, over nodes split in two."""

import itertools
from collections.abc import Sequence
from typing import Any, cast

import networkx as nx


def disjoint_routes(
    split: "nx.DiGraph[Any]", origin: str, destination: str, count: int
) -> list[tuple[str, ...]] | None:
    """Find the routes that share no node and are cheapest together, or None.

    J. W. Suurballe, "Disjoint paths in a network", Networks 4 (1974): each round finds
    a shortest path in what is left, where arcs in use may be walked back at what they
    cost. Potentials keep all costs non-negative, so that Dijkstra's search serves.
    """
    source, target = (origin, 1), (destination, 0)
    taken: set[tuple[Any, Any]] = set()
    for _ in range(count - 1):
        distance, path = cast(
            "tuple[dict[Any, int], dict[Any, list[Any]]]",
            nx.single_source_dijkstra(split, source, weight="cost"),
        )
        if target not in distance:
            return None
        # What this search cannot reach, no later one can: only arcs among what it
        # reached are added.
        split.remove_nodes_from([node for node in split if node not in distance])
        for tail, head, data in split.edges(data=True):
            data["cost"] += distance[tail] - distance[head]
        _take(split, path[target], taken)
    try:
        _take(split, nx.dijkstra_path(split, source, target, weight="cost"), taken)
    except nx.NetworkXNoPath:
        return None
    return _routes(taken, source, target)


def _take(
    split: "nx.DiGraph[Any]", path: Sequence[Any], taken: set[tuple[Any, Any]]
) -> None:
    """Use a path's arcs; where it walks back an arc in use, neither is used."""
    for tail, head in itertools.pairwise(path):
        split.remove_edge(tail, head)
        if (head, tail) in taken:
            taken.remove((head, tail))
        else:
            taken.add((tail, head))
        split.add_edge(head, tail, cost=0)


def _routes(
    taken: set[tuple[Any, Any]], source: tuple[str, int], target: tuple[str, int]
) -> list[tuple[str, ...]]:
    firsts = [head for tail, head in taken if tail == source]
    following = {tail: head for tail, head in taken if tail != source}
    routes = []
    for first in firsts:
        route, at = [source[0]], first
        while at != target:
            if at[1] == 1:
                route.append(at[0])
            at = following[at]
        routes.append((*route, target[0]))
    return routes
