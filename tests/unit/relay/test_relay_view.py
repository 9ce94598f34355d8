"""What a node makes of what it is told of the network."""

import pytest

from gateway.relay.view import AVOIDED, MAX_GAPS, STATE_LIFETIME, NetworkView
from gateway.wire.network import NodeState

LINE = (("redu", "lux"), ("lux", "sin"))


def state(node: str = "lux", serial: int = 1, **pads: int) -> NodeState:
    return NodeState(node, serial, tuple(sorted(pads.items())))


@pytest.fixture
def view() -> NetworkView:
    return NetworkView("redu", LINE, 7)


def test_only_news_of_nodes_of_the_network_is_passed_on(view: NetworkView) -> None:
    assert view.receive(state(serial=5, sin=9), now=0.0)
    assert not view.receive(state(serial=5, sin=8), now=1.0)
    assert not view.receive(state(serial=4, sin=8), now=1.0)
    assert not view.receive(state("redu", 99, lux=0), now=1.0)
    assert not view.receive(state("berlin", 99, lux=0), now=1.0)
    assert view.pads("lux", "sin", now=1.0) == 9


def test_a_node_that_begins_to_count_anew_is_heard_after_a_lifetime(
    view: NetworkView,
) -> None:
    assert view.receive(state(serial=500, sin=9), now=0.0)
    assert not view.receive(state(serial=1, sin=8), now=STATE_LIFETIME - 1.0)
    assert view.pads("lux", "sin", now=STATE_LIFETIME) is None
    assert view.receive(state(serial=1, sin=8), now=STATE_LIFETIME)
    assert view.pads("lux", "sin", now=STATE_LIFETIME) == 8


def test_links_that_are_not_configured_do_not_come_by_being_told(
    view: NetworkView,
) -> None:
    assert view.receive(state("sin", 1, redu=9999, lux=3), now=0.0)
    assert view.pads("sin", "redu", now=0.0) == 0
    assert view.pads("sin", "lux", now=0.0) == 3


def test_states_of_its_own_are_numbered(view: NetworkView) -> None:
    view.set_own({"lux": 3})
    first, second = view.own_state(), view.own_state()
    assert (first.serial, second.serial, view.serial) == (8, 9, 9)
    assert first.pads == (("lux", 3),)


def test_a_failed_node_is_avoided_for_a_while_and_the_own_never(
    view: NetworkView,
) -> None:
    for node in ("lux", "redu", "berlin"):
        view.note_failure(node, now=0.0)

    def avoided(now: float) -> list[str]:
        return [one.name for one in view.nodes(now=now) if one.avoided]

    assert avoided(AVOIDED - 0.1) == ["lux"]
    assert avoided(AVOIDED) == []


def test_the_only_way_is_taken_though_its_node_failed(view: NetworkView) -> None:
    view.set_own({"lux": 500})
    view.receive(state(sin=500), now=0.0)
    view.note_failure("lux", now=0.0)
    assert view.find("sin", keys=1, paths=1, now=0.0) == (("redu", "lux", "sin"),)


def test_what_is_missing_is_named(view: NetworkView) -> None:
    view.set_own({"lux": 0})
    view.receive(state("sin", 1, lux=4), now=0.0)
    assert view.gaps(now=0.0) == "nothing can be sent to lux, lux is not heard"
    view.set_own({"lux": 1})
    view.receive(state(sin=1), now=0.0)
    assert view.gaps(now=0.0) == ""


def test_no_more_than_a_few_gaps_are_named() -> None:
    star = [("redu", f"n{number}") for number in range(MAX_GAPS + 3)]
    said = NetworkView("redu", star, 0).gaps(now=0.0)
    assert said.count("is not heard") == MAX_GAPS
    assert said.endswith(", 3 more")
