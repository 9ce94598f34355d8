"""The watch over QKD keys alone: what is lacking, and when that is said."""

from uuid import UUID

import pytest

from gateway.rotation.epochs import Epoch
from gateway.rotation.events import QKDMissing, QKDRestored, TunnelEvent
from gateway.rotation.qkd import QKDWatch

NAME = "paris"


def epoch(number: int, age: int | None) -> Epoch:
    key_id = UUID(int=number) if age == 0 else None
    return Epoch(number, key_id=key_id, qkd_age=age)


def note(watch: QKDWatch, what: Epoch, reason: str = "none") -> list[TunnelEvent]:
    return list(watch.note(NAME, what, reason))


@pytest.mark.parametrize(
    ("age", "every", "lacks"),
    [(0, 1, False), (1, 1, True), (None, 1, True), (1, 2, False), (2, 2, True)],
)
def test_a_key_is_fresh_for_so_many_epochs(
    age: int | None, every: int, lacks: bool
) -> None:
    assert QKDWatch(wanted=True, every=every).lacks(epoch(1, age)) is lacks


def test_nothing_is_lacking_that_is_not_wanted_or_not_known() -> None:
    assert not QKDWatch(wanted=False, every=1).lacks(epoch(1, None))
    assert not QKDWatch(wanted=True, every=1).lacks(Epoch(1, adopted=True))


def test_a_lack_is_said_when_it_begins_changes_and_ends() -> None:
    watch = QKDWatch(wanted=True, every=1)
    assert note(watch, epoch(1, 0)) == []
    assert note(watch, epoch(2, 1)) == [QKDMissing(NAME, 2, "none")]
    assert note(watch, epoch(3, 2)) == []
    assert note(watch, epoch(4, 3), "used") == [QKDMissing(NAME, 4, "used")]
    assert watch.missing == "used"
    assert note(watch, epoch(5, 0)) == [QKDRestored(NAME, 5)]
    assert watch.missing is None


def test_what_is_wanted_can_change() -> None:
    watch = QKDWatch(wanted=True, every=1)
    note(watch, epoch(1, None))
    watch.reconfigure(wanted=False, every=1)
    assert note(watch, epoch(2, None)) == []
    assert watch.missing is None
