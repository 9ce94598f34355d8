"""Answers that come late, by halves, or to what was asked by another."""

import pytest

from gateway.config.model import LinkSource
from gateway.supply.machine import Lane
from gateway.supply.requests import Confirm, ReadStanding, Retire
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.test_stock_in_step import (
    LINK,
    TARGET,
    Ends,
    keys,
    start_both,
)
from tests.unit.supply.test_stock_suspected import suspect


@pytest.fixture
def ends(bench: SQLiteBench, peer: SQLiteBench) -> Ends:
    return Ends(bench, peer, LinkSource.ETSI014)


@pytest.fixture
def by_hand(bench: SQLiteBench, peer: SQLiteBench) -> Ends:
    return Ends(bench, peer, LinkSource.FILE)


def replace(ends: Ends, end: str) -> None:
    """Have another supply go on, as a reload that changes the link does."""
    former = ends.sites[end].machine.hand_over()
    ends.stop(end)
    ends.start(end).machine.take_over(former)


@pytest.mark.parametrize("delay", [0.4, 0.8, 5.0])
def test_a_peer_that_answers_late_is_heard(by_hand: Ends, delay: float) -> None:
    """Two such ways take longer than the pause between two greetings."""
    for end in "ab":
        by_hand.store(end).intake.add(LINK, keys(range(1, 11)), confirmed=False)
    by_hand.wire.delay = delay
    start_both(by_hand)
    by_hand.until(lambda: by_hand.confirmed("a") == 10, "trust", 60.0)


def test_what_the_store_could_not_note_is_compared_again(ends: Ends) -> None:
    first, _ = start_both(ends)

    def is_about_to_confirm() -> bool:
        return isinstance(first.asked(Lane.LEADING), Confirm)

    for _ in range(5):
        ends.until(is_about_to_confirm, "answer")
        first.store_fails = 1
        ends.until(lambda: not first.store_fails, "failure")
    ends.until(lambda: ends.in_step(TARGET), "full stock in step", 120.0)
    assert first.failed


def test_a_late_answer_is_not_taken_for_one_to_another_supply(ends: Ends) -> None:
    """The same serials would confirm keys that the peer was never told of."""
    first = ends.start("a")
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "keys drawn")
    ends.start("b")
    ends.wire.delay = 30.0
    first.machine.connected()
    ends.run(31.0)  # what was announced has arrived, and its answers are on their way
    held = ends.all_held("a")
    replace(ends, "a")
    ends.store("a").ledger.retire(LINK, sorted(held))
    ends.sites["a"].machine.taken()
    ends.run(1.0)
    fresh = ends.all_held("a")
    assert len(fresh) == TARGET
    assert not fresh & held
    ends.wire.up = False
    ends.run(40.0)
    assert ends.confirmed("a") == 0


def old_copy(ends: Ends, used: int) -> None:
    """Both hold 300 keys; ``b`` has used one that ``a`` knows nothing of."""
    for end in "ab":
        ends.store(end).intake.add(LINK, keys(range(1, 301)))
    ends.store("b").ledger.retire(LINK, [keys([used])[0].key_id])


def test_suspicion_outlives_a_reload(by_hand: Ends) -> None:
    old_copy(by_hand, used=150)
    by_hand.wire.up = False
    suspect(by_hand, by_hand.start("a"))
    replace(by_hand, "a")
    by_hand.wire.up = True
    by_hand.start("b")
    by_hand.until(lambda: not by_hand.all_held("a"), "end of the old stock")
    assert by_hand.confirmed("a") == 0


def test_suspicion_outlives_a_store_that_fails_at_its_end(by_hand: Ends) -> None:
    old_copy(by_hand, used=150)
    first = by_hand.start("a")
    suspect(by_hand, first)
    by_hand.start("b")
    seen = set()

    def ended() -> bool:
        seen.add(by_hand.confirmed("a"))
        retires = isinstance(first.asked(Lane.LEADING), Retire)
        first.store_fails = int(retires and len(first.failed) < 3)
        return not by_hand.all_held("a")

    by_hand.until(ended, "end of the old stock")
    assert seen == {0}
    assert len(first.failed) == 3


def test_a_change_by_hand_amid_the_last_answer_begins_anew(by_hand: Ends) -> None:
    """All of the stock is judged, and not what was heard of it since."""
    old_copy(by_hand, used=300)
    first = by_hand.start("a")
    suspect(by_hand, first)
    by_hand.start("b")

    def is_amid() -> bool:
        return isinstance(first.asked(Lane.LEADING), ReadStanding)

    by_hand.until(is_amid, "answer to the last page")
    first.changed_by_hand()
    by_hand.until(lambda: not by_hand.all_held("a"), "end of the old stock", 60.0)


def test_what_tells_of_an_old_copy_goes_last(by_hand: Ends) -> None:
    """A crash between leaves it, and the next run finds it again."""
    old_copy(by_hand, used=1)
    suspect(by_hand, by_hand.start("a"))
    by_hand.start("b")
    by_hand.until(lambda: len(by_hand.all_held("a")) < 300, "first retirement")
    assert by_hand.all_held("a") == {keys([1])[0].key_id}
