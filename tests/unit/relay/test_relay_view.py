"""What a node makes of what it is told of the network."""

import pytest

from gateway.relay.view import (
    AVOIDED,
    MAX_GAPS,
    MAX_SERIAL,
    MAX_SERIAL_LEAP,
    STATE_LIFETIME,
    NetworkView,
)
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


def test_a_neighbours_own_word_counts_whatever_a_member_says_of_it(
    view: NetworkView,
) -> None:
    """A state with a huge number was believed for a minute, the node itself not."""
    assert view.receive(state(serial=5, sin=9), now=0.0, first_hand=True)
    for serial in (6, 2**35, 2**64 - 1):
        assert not view.receive(state(serial=serial, sin=0), now=1.0)
    assert view.receive(state(serial=6, sin=8), now=10.0, first_hand=True)
    assert view.pads("lux", "sin", now=10.0) == 8


def test_a_neighbours_own_word_ends_what_was_said_before_it(view: NetworkView) -> None:
    assert view.receive(state(serial=2**40, sin=0), now=0.0)
    assert view.receive(state(serial=5, sin=9), now=1.0, first_hand=True)
    assert not view.receive(state(serial=2**40 + 1, sin=0), now=2.0)
    assert view.pads("lux", "sin", now=2.0) == 9
    # Not heard any more, it is what others say that counts.
    later = 1.0 + STATE_LIFETIME
    assert view.receive(state(serial=2**40 + 1, sin=0), now=later)


def test_what_is_told_of_others_leaps_so_far_and_no_further(view: NetworkView) -> None:
    assert view.receive(state("sin", 10**12, lux=9), now=0.0)
    for serial in (10**12 + MAX_SERIAL_LEAP + 1, MAX_SERIAL, 2**64 - 1):
        assert not view.receive(state("sin", serial, lux=0), now=1.0)
    assert view.receive(state("sin", 10**12 + 1, lux=8), now=10.0)
    assert view.receive(state("sin", 10**12 + MAX_SERIAL_LEAP, lux=7), now=11.0)


def test_a_number_that_no_clock_gives_is_never_taken(view: NetworkView) -> None:
    for first_hand in (True, False):
        assert not view.receive(
            state(serial=MAX_SERIAL + 1, sin=0), now=0.0, first_hand=first_hand
        )
    assert view.pads("lux", "sin", now=0.0) is None


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
