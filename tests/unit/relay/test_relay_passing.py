"""How often states of other nodes are passed on, whatever a neighbour says."""

import pytest

from gateway.relay.states import BURST, PASS_INTERVAL, Passing
from gateway.wire.network import NodeState

INTERVAL = 10.0
NODES = 20


@pytest.fixture
def passing() -> Passing:
    return Passing(NODES, INTERVAL)


def state(node: str, serial: int = 1) -> NodeState:
    return NodeState(node, serial, ())


def test_what_is_news_goes_on_at_once_and_once(passing: Passing) -> None:
    passing.offer(state("a"), "b")
    assert passing.due(now=0.0) == [(state("a"), "b")]
    assert passing.due(now=100.0) == []


def test_a_flood_about_one_node_goes_on_once_an_interval(passing: Passing) -> None:
    passed = []
    for step in range(10_000):
        passing.offer(state("a", step), "b")
        passed += passing.due(now=step / 1000)
    assert len(passed) == 10 / PASS_INTERVAL
    assert passing.due(now=10.0 + PASS_INTERVAL) == [(state("a", 9_999), "b")]


def test_a_flood_about_all_nodes_goes_on_at_twice_the_honest_rate(
    passing: Passing,
) -> None:
    seconds = 100
    passed = []
    for step in range(seconds * 100):
        for node in range(NODES):
            passing.offer(state(f"n{node}", step), "b")
        passed += passing.due(now=step / 100)
    honest = NODES * seconds / INTERVAL
    assert honest < len(passed) <= 2 * honest + NODES + BURST
    assert len(passing._waiting) <= NODES
    by_node = {one.node: 0 for one, _ in passed}
    for one, _ in passed:
        by_node[one.node] += 1
    assert max(by_node.values()) - min(by_node.values()) <= 2  # nobody is kept back


def test_who_repeats_himself_keeps_nobody_back(passing: Passing) -> None:
    for step in range(1_000):
        for node in range(NODES):
            passing.offer(state(f"n{node}", step), "b")
        passing.due(now=step / 100)
    passing.offer(state("quiet"), "c")
    waited = 0
    while all(one.node != "quiet" for one, _ in passing.due(now=10.0 + waited)):
        waited += 1
        for node in range(NODES):
            passing.offer(state(f"n{node}", 2_000 + waited), "b")
    assert waited <= INTERVAL


def test_an_honest_network_is_never_held_up(passing: Passing) -> None:
    for turn in range(50):
        for node in range(NODES):
            now = turn * INTERVAL + node * INTERVAL / NODES
            passing.offer(state(f"n{node}", turn), "b")
            assert len(passing.due(now=now)) == 1
