"""Disjoint routes: Suurballe's algorithm, over nodes split in two.

Node number n of a network is here an entry 2n and an exit 2n + 1, with an arc from one
to the other: a second route that comes to a node of the first finds that arc taken.
"""

import heapq
import itertools
from collections.abc import Sequence

Arcs = list[dict[int, int]]
"""For each entry and exit what can be reached from it, and at what cost."""


def disjoint_routes(
    arcs: Arcs, origin: int, destination: int, count: int
) -> list[list[int]] | None:
    """Find the routes that share no node and are cheapest together, or None.

    J. W. Suurballe, "Disjoint paths in a network", Networks 4 (1974): each round finds
    a shortest path in what is left, where arcs in use may be walked back at what they
    cost. Potentials keep all costs non-negative, so that Dijkstra's search serves.

    Args:
        arcs: Changed on the way.
        origin: Number of the first node.
        destination: Number of the last.
        count: How many routes.

    Returns:
        Numbers of nodes, for each route.
    """
    source, target = 2 * origin + 1, 2 * destination
    taken: set[tuple[int, int]] = set()
    for _ in range(count):
        distance, before = _search(arcs, source, target)
        if target not in before:
            return None
        _reduce(arcs, distance, distance[target])
        _take(arcs, _walk_back(before, source, target), taken)
    return _routes(taken, source, target)


def _search(
    arcs: Arcs, source: int, target: int
) -> tuple[dict[int, int], dict[int, int]]:
    """Dijkstra's search, up to the target; return distances, and where from."""
    distance: dict[int, int] = {}
    before: dict[int, int] = {}
    best = {source: 0}
    queue = [(0, source)]
    while queue:
        so_far, node = heapq.heappop(queue)
        if node in distance:
            continue
        distance[node] = so_far
        if node == target:
            break
        for head, cost in arcs[node].items():
            length = so_far + cost
            if head not in distance and length < best.get(head, length + 1):
                best[head], before[head] = length, node
                heapq.heappush(queue, (length, head))
    return distance, before


def _reduce(arcs: Arcs, distance: dict[int, int], most: int) -> None:
    """Make the shortest path cost nothing, and no arc less than nothing.

    What was not reached before the target is at least as far as it: taking it to be
    just as far keeps every cost from falling below zero.
    """
    potential = [distance.get(node, most) for node in range(len(arcs))]
    for tail, heads in enumerate(arcs):
        here = potential[tail]
        for head in heads:
            heads[head] += here - potential[head]


def _walk_back(before: dict[int, int], source: int, target: int) -> list[int]:
    path = [target]
    while path[-1] != source:
        path.append(before[path[-1]])
    return path[::-1]


def _take(arcs: Arcs, path: Sequence[int], taken: set[tuple[int, int]]) -> None:
    """Use a path's arcs; where it walks back an arc in use, neither is used."""
    for tail, head in itertools.pairwise(path):
        del arcs[tail][head]
        if (head, tail) in taken:
            taken.remove((head, tail))
        else:
            taken.add((tail, head))
        arcs[head][tail] = 0


def _routes(taken: set[tuple[int, int]], source: int, target: int) -> list[list[int]]:
    firsts = [head for tail, head in taken if tail == source]
    following = {tail: head for tail, head in taken if tail != source}
    routes = []
    for first in firsts:
        route, at = [source // 2], first
        while at != target:
            if at % 2:
                route.append(at // 2)
            at = following[at]
        routes.append([*route, target // 2])
    return routes
