import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RelayError, RelayFault
from gateway.relay.paths import Network, RelayLink, check_disjoint


def network(*links: tuple[str, str, int]) -> Network:
    both = [RelayLink(a, b, pads) for a, b, pads in links]
    return Network([*both, *(RelayLink(b, a, pads) for a, b, pads in links)])


RING = network(("a", "b", 100), ("b", "d", 100), ("a", "c", 50), ("c", "d", 50))


def test_the_path_that_takes_least_of_scarce_stock() -> None:
    assert RING.find_paths("a", "d", keys=10) == (("a", "b", "d"),)


def test_disjoint_paths_cheapest_first() -> None:
    found = RING.find_paths("a", "d", keys=10, count=2)
    assert found == (("a", "b", "d"), ("a", "c", "d"))


def test_a_failed_node_or_link_is_gone_round() -> None:
    other = (("a", "c", "d"),)
    assert RING.find_paths("a", "d", keys=10, failed_nodes=["b"]) == other
    assert RING.find_paths("a", "d", keys=10, failed_links=[("d", "b")]) == other


def test_the_cheapest_path_may_have_to_give_way() -> None:
    """The classic trap: the shortest path blocks both disjoint ones."""
    trap = network(
        ("s", "p", 1000),
        ("p", "q", 1000),
        ("q", "t", 1000),
        ("s", "q", 20),
        ("p", "t", 20),
    )
    assert trap.find_paths("s", "t", keys=8) == (("s", "p", "q", "t"),)
    found = trap.find_paths("s", "t", keys=8, count=2)
    assert set(found) == {("s", "p", "t"), ("s", "q", "t")}


def test_a_route_longer_than_any_message_carries_gives_way() -> None:
    names = "abcdefghi"
    links = [(a, b, 10**6) for a, b in itertools.pairwise(names)]
    found = network(*links, ("a", "i", 12)).find_paths("a", "i", keys=10)
    assert found == (("a", "i"),)


@pytest.mark.parametrize(
    ("origin", "destination", "keys", "count", "gone", "fault"),
    [
        ("a", "x", 1, 1, (), RelayFault.UNKNOWN_NODE),
        ("x", "a", 1, 1, (), RelayFault.UNKNOWN_NODE),
        ("a", "a", 1, 1, (), RelayFault.LOOP),
        ("a", "d", 99, 1, (), RelayFault.NO_PATH),
        ("a", "d", 49, 2, (), RelayFault.NO_PATH),
        ("a", "d", 1, 3, (), RelayFault.NO_PATH),
        ("a", "d", 1, 1, ("b", "c"), RelayFault.NO_PATH),
        ("a", "d", 1, 1, ("a",), RelayFault.NO_PATH),
        ("a", "d", 1, 1, ("d",), RelayFault.NO_PATH),
    ],
)
def test_no_route_has_a_name(
    origin: str,
    destination: str,
    keys: int,
    count: int,
    gone: tuple[str, ...],
    fault: RelayFault,
) -> None:
    with pytest.raises(RelayError) as caught:
        RING.find_paths(origin, destination, keys=keys, count=count, failed_nodes=gone)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        (("a", "b", "a"), RelayFault.LOOP),
        (("a", "x"), RelayFault.UNKNOWN_NODE),
        (("a", "d"), RelayFault.NO_PATH),
    ],
)
def test_a_written_route_is_checked(route: tuple[str, ...], fault: RelayFault) -> None:
    RING.check(("a", "b", "d"))
    with pytest.raises(RelayError) as caught:
        RING.check(route)
    assert caught.value.fault is fault


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefg"), st.sampled_from("abcdefg"), st.integers(3, 99)
        ).filter(lambda link: link[0] != link[1]),
        max_size=20,
        unique_by=lambda link: frozenset(link[:2]),
    ),
    st.integers(1, 3),
)
def test_agrees_with_trying_everything(
    links: list[tuple[str, str, int]], count: int
) -> None:
    graph = network(*links, ("a", "z", 1), ("g", "z", 1))
    pads = {frozenset(link[:2]): link[2] for link in links}
    simple = [
        ("a", *middle, "g")
        for size in range(6)
        for middle in itertools.permutations("bcdef", size)
        if all(frozenset(p) in pads for p in itertools.pairwise(("a", *middle, "g")))
    ]

    def cost(route: tuple[str, ...]) -> int:
        return sum(
            1 + 3_000_000 // pads[frozenset(p)] for p in itertools.pairwise(route)
        )

    best: int | None = None
    for routes in itertools.combinations(simple, count):
        middles = [node for route in routes for node in route[1:-1]]
        if len(set(middles)) == len(middles):
            total = sum(map(cost, routes))
            best = total if best is None else min(best, total)
    if best is None:
        with pytest.raises(RelayError) as caught:
            graph.find_paths("a", "g", keys=1, count=count)
        assert caught.value.fault is RelayFault.NO_PATH
    else:
        found = graph.find_paths("a", "g", keys=1, count=count)
        check_disjoint(found)
        assert len(found) == count
        assert sum(map(cost, found)) == best
