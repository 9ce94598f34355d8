"""Attempts alone: what is planned, hurried, held up and asked for."""

import itertools

import pytest

from gateway.handshake.limits import PEER_BURST, PEER_RATE
from gateway.rotation import limits
from gateway.rotation.actions import AskForRotation
from gateway.rotation.attempts import Attempts
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason

NOW = 1000.0
INTERVAL = 10.0
HURRIED = (RotateReason.PLANE_LOST, RotateReason.ADDRESS_CHANGED)


def make(*, initiator: bool = True, last_epoch: int = 0) -> Attempts:
    return Attempts(
        Schedule("paris", INTERVAL), initiator=initiator, last_epoch=last_epoch
    )


def begin(attempts: Attempts, now: float, hold_until: float | None = None) -> int:
    number = attempts.due(now=now, hold_until=hold_until)
    assert number is not None
    return number


def rotate(
    attempts: Attempts, reason: RotateReason, now: float, not_before: float = 0.0
) -> list[AskForRotation]:
    return list(attempts.rotate(reason, now=now, not_before=not_before))


def test_an_attempt_begins_when_it_is_planned_and_not_before() -> None:
    attempts = make(last_epoch=7)
    attempts.plan(NOW + 2)
    assert attempts.get_timer() == NOW + 2
    assert attempts.due(now=NOW + 1.9, hold_until=None) is None
    assert begin(attempts, NOW + 2) == 8
    assert attempts.under_way
    assert attempts.get_timer() is None


def test_nothing_is_planned_while_an_attempt_is_under_way() -> None:
    attempts = make()
    attempts.plan(NOW)
    begin(attempts, NOW)
    attempts.plan(NOW + 1)
    attempts.peer_silent(now=NOW, has_epoch=True)
    assert attempts.next_at is None


def test_a_responder_plans_nothing() -> None:
    attempts = make(initiator=False)
    attempts.plan(NOW)
    attempts.peer_silent(now=NOW, has_epoch=True)
    attempts.peer_closed(now=NOW, returning=False)
    attempts.failed(now=NOW, key_spent=False, again=True)
    assert attempts.next_at is None
    assert attempts.retries.total == 1


def test_epochs_that_are_used_are_not_proposed_again() -> None:
    attempts = make(last_epoch=3)
    attempts.reached(9)
    attempts.reached(5)
    attempts.plan(NOW)
    assert begin(attempts, NOW) == 10


def test_an_epoch_on_its_way_into_force_holds_the_next_up() -> None:
    attempts = make()
    attempts.plan(NOW)
    assert attempts.due(now=NOW, hold_until=NOW + 6) is None
    assert attempts.next_at == NOW + 6
    attempts.in_force(now=NOW + 1)
    assert begin(attempts, NOW + 1) == 1


@pytest.mark.parametrize("reason", HURRIED)
def test_what_is_urgent_is_not_held_up(reason: RotateReason) -> None:
    attempts = make()
    rotate(attempts, reason, NOW)
    assert begin(attempts, NOW, hold_until=NOW + 6) == 1


@pytest.mark.parametrize("reason", HURRIED)
def test_what_is_urgent_is_put_off_by_nothing_else(reason: RotateReason) -> None:
    attempts = make()
    rotate(attempts, reason, NOW)
    attempts.plan_unless_urgent(NOW + 9)
    assert attempts.next_at == NOW


def test_a_fight_over_the_plane_is_fought_at_growing_pauses() -> None:
    attempts = make()
    begun, now = [], NOW
    for _ in range(4):
        rotate(attempts, RotateReason.PLANE_LOST, now)
        assert attempts.next_at is not None
        now = attempts.next_at
        begin(attempts, now)
        begun.append(now)
        attempts.committed(now + INTERVAL, now=now)
    pauses = [b - a for a, b in itertools.pairwise(begun)]
    assert pauses == [limits.FIRST_PAUSE * limits.PAUSE_GROWTH**n for n in range(3)]


def test_a_wish_during_an_attempt_is_served_soon_after_its_failure() -> None:
    attempts = make()
    attempts.plan(NOW)
    begin(attempts, NOW)
    for _ in range(8):
        attempts.retries.failed(key_spent=True)
    rotate(attempts, RotateReason.OPERATOR, NOW)
    attempts.failed(now=NOW, key_spent=False, again=True)
    assert attempts.next_at == NOW + limits.FIRST_RETRY


def test_nothing_follows_a_failure_of_a_tunnel_that_is_down() -> None:
    attempts = make()
    attempts.plan(NOW)
    begin(attempts, NOW)
    attempts.failed(now=NOW, key_spent=False, again=False)
    assert not attempts.under_way
    assert attempts.get_timer() is None


def test_a_peer_that_is_ahead_is_followed_as_far_as_is_honest() -> None:
    attempts = make()
    attempts.plan(NOW)
    begin(attempts, NOW)
    assert not attempts.follow(2**64 - 1, now=NOW, again=True)
    assert attempts.under_way
    assert attempts.follow(5, now=NOW, again=True)
    assert begin(attempts, NOW) == 6


def test_a_peer_that_is_down_on_purpose_is_called_ever_less_often() -> None:
    attempts = make()
    attempts.plan(NOW)
    begin(attempts, NOW)
    attempts.committed(NOW + INTERVAL, now=NOW)
    attempts.peer_closed(now=NOW, returning=False)
    waits, now = [], NOW
    for _ in range(5):
        assert attempts.next_at is not None
        waits.append(attempts.next_at - now)
        now = attempts.next_at
        begin(attempts, now)
        attempts.failed(now=now, key_spent=False, again=True)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_peer_that_makes_the_tunnel_anew_is_called_at_once() -> None:
    attempts = make()
    attempts.peer_closed(now=NOW, returning=True)
    assert not attempts.closed
    assert attempts.next_at == NOW


def test_no_more_begin_than_a_peer_lets() -> None:
    attempts = make()
    begun = 0
    for step in range(1000):
        now = NOW + step * 0.01
        attempts.plan(now)
        begun += attempts.due(now=now, hold_until=None) is not None
        attempts.follow(attempts.highest, now=now, again=True)
    assert PEER_BURST <= begun <= PEER_BURST + 10 * PEER_RATE


def test_a_new_schedule_makes_nothing_later() -> None:
    attempts = make()
    attempts.committed(NOW + 1, now=NOW)
    attempts.reschedule(Schedule("paris", 600.0), last=NOW)
    assert attempts.next_at == NOW + 1
    attempts.reschedule(Schedule("paris", 0.5), last=NOW)
    assert attempts.next_at is not None
    assert attempts.next_at < NOW + 1


def test_a_responder_asks_at_once_and_then_at_pauses() -> None:
    attempts = make(initiator=False)
    reason = RotateReason.PLANE_LOST
    assert rotate(attempts, reason, NOW) == [AskForRotation(reason)]
    assert rotate(attempts, reason, NOW) == []
    assert attempts.get_timer() == NOW + limits.FIRST_PAUSE
    asked = list(attempts.requests.due(now=NOW + limits.FIRST_PAUSE))
    assert asked == [AskForRotation(reason)]


def test_a_responder_asks_when_it_comes_up_only_if_it_can() -> None:
    attempts = make(initiator=False)
    assert list(attempts.up(now=NOW, ask=False)) == []
    assert list(attempts.up(now=NOW, ask=True)) == [
        AskForRotation(RotateReason.OPERATOR)
    ]


@pytest.mark.parametrize("initiator", [True, False])
def test_nothing_is_planned_or_asked_after_the_end(initiator: bool) -> None:
    attempts = make(initiator=initiator)
    list(attempts.up(now=NOW, ask=True))
    attempts.committed(NOW + INTERVAL, now=NOW)
    assert attempts.get_timer() is not None
    attempts.stop()
    assert attempts.get_timer() is None
