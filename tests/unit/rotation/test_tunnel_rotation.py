"""What a tunnel's rotation decides, case by case."""

import itertools

import pytest

from gateway.handshake.limits import (
    MAX_EPOCH,
    MAX_EPOCH_LEAP,
    PEER_BURST,
    PEER_RATE,
)
from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    GrantPassing,
    PollPlane,
    ReadPlane,
    RetireEpoch,
    SendInForce,
    StartHandshake,
)
from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    EpochRetired,
    QKDMissing,
    QKDRestored,
    RotationFailed,
    TunnelBlocked,
    TunnelUp,
)
from gateway.rotation.phases import TunnelPhase
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason
from tests.unit.rotation.rotations import INTERVAL, KEY_ID, LIFETIME, Stepped, started


def test_initiator_starts_at_once_and_responder_waits() -> None:
    assert Stepped(initiator=True).up() == [StartHandshake(1)]
    responder = Stepped(initiator=False)
    assert responder.up() == []
    assert responder.rotation.get_timer() is None


def test_numbers_continue_after_a_restart() -> None:
    assert Stepped(initiator=True, last_epoch=41).up() == [StartHandshake(42)]


def test_a_whole_life_of_an_epoch() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    assert phase(end) is TunnelPhase.CONNECTING
    assert end.step(limits.FIRST_POLL) == [PollPlane()]
    assert _proof_here(end, 1) == [SendInForce(1, echo=False)]
    end.rotation.trial.peer_in_force(1, echo=False, now=end.now)
    assert end.collect() == [
        SendInForce(1, echo=True),
        GrantPassing(1000.0 + LIFETIME),
    ]
    assert end.events == [
        EpochCommittedHere("paris", 1, ("x25519",), KEY_ID, 0),
        EpochInForce("paris", 1, end.now - 1000.0),
        TunnelUp("paris", 1),
    ]
    assert phase(end) is TunnelPhase.UP
    # The next epoch, on schedule; the old one goes only once it is in force.
    actions = end.step(1.5 * INTERVAL)
    assert started(actions) == [2]
    end.commit(2)
    assert not _retired(end.step(1.0))
    end.prove(2)
    delay = min(limits.RETIRE_DELAY, limits.RETIRE_SHARE * INTERVAL)
    assert _retired(end.step(delay - 0.01)) == []
    assert _retired(end.step(0.02)) == [1]
    assert EpochRetired("paris", 1) in end.events
    assert set(end.rotation.epochs) == {2}


def _proof_here(end: Stepped, number: int) -> list[Action]:
    end.rotation.trial.plane_polled(frozenset({number}), now=end.now)
    end.rotation.handle_timer(now=end.now)
    return end.collect()


def _retired(actions: list[Action]) -> list[int]:
    return [action.epoch for action in actions if isinstance(action, RetireEpoch)]


def _qkd_events(end: Stepped) -> list[object]:
    return [one for one in end.events if isinstance(one, QKDMissing | QKDRestored)]


def test_lack_of_qkd_keys_is_said_when_it_changes() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    assert not _qkd_events(end)
    end.commit(2, key_id=None, without_qkd="no key in stock")
    end.commit(3, key_id=None, without_qkd="no key in stock")
    end.commit(4, key_id=None, without_qkd="the peer offered none")
    assert end.rotation.without_qkd == "the peer offered none"
    end.commit(5)
    end.commit(6)
    assert _qkd_events(end) == [
        QKDMissing("paris", 2, "no key in stock"),
        QKDMissing("paris", 4, "the peer offered none"),
        QKDRestored("paris", 5),
    ]
    assert end.rotation.without_qkd is None


def test_a_chained_epoch_lacks_nothing_until_a_fresh_key_is_due() -> None:
    end = Stepped(initiator=True, qkd_every=3)
    end.up()
    end.commit(1)
    end.commit(2, key_id=None, qkd_age=1)
    end.commit(3, key_id=None, qkd_age=2)
    assert not _qkd_events(end)
    end.commit(4, key_id=None, qkd_age=3, without_qkd="no key in stock")
    end.commit(5, key_id=None, qkd_age=4, without_qkd="no key in stock")
    end.commit(6)
    end.commit(7, key_id=None, qkd_age=1)
    end.commit(8, key_id=None, qkd_age=None, without_qkd="the peer offered none")
    assert _qkd_events(end) == [
        QKDMissing("paris", 4, "no key in stock"),
        QKDRestored("paris", 6),
        QKDMissing("paris", 8, "the peer offered none"),
    ]


def test_more_patience_ends_the_lack_without_a_fresh_key() -> None:
    end = Stepped(initiator=True, qkd_every=2)
    end.up()
    end.commit(1, key_id=None, qkd_age=2, without_qkd="no key in stock")
    current = end.rotation.current
    assert current is not None
    assert end.rotation.lacks_qkd(current)
    end.rotation.reconfigure(
        Schedule("paris", INTERVAL),
        max_epoch_lifetime=LIFETIME,
        qkd_wanted=True,
        qkd_every=9,
    )
    assert not end.rotation.lacks_qkd(current)
    end.commit(2, key_id=None, qkd_age=3)
    assert _qkd_events(end) == [QKDMissing("paris", 1, "no key in stock")]


def phase(end: Stepped) -> TunnelPhase:
    return end.rotation.phase


def test_blocked_at_its_lifetime_and_not_before() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    assert BlockTunnel() not in end.step(LIFETIME - 0.001)
    assert phase(end) is TunnelPhase.UP
    assert BlockTunnel() in end.step(0.001)
    assert phase(end) is TunnelPhase.BLOCKED
    assert "max_epoch_lifetime" in end.rotation.reason
    assert isinstance(end.events[-1], TunnelBlocked)
    assert end.rotation.epochs == {}


def test_lifetime_counts_although_an_attempt_is_under_way() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    assert started(end.step(LIFETIME)) == [2]  # and never reported on
    assert phase(end) is TunnelPhase.BLOCKED


def test_comes_back_from_blocked() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.step(LIFETIME)
    end.fail()
    assert started(end.step(limits.MAX_RETRY)) == [3]
    end.commit(3)
    end.prove(3)
    assert phase(end) is TunnelPhase.UP
    assert end.rotation.reason == ""
    assert end.events[-1] == TunnelUp("paris", 3)


def test_retries_back_off_within_bounds() -> None:
    end = Stepped(initiator=True)
    end.up()
    waits = []
    for _ in range(30):
        end.fail()
        assert end.rotation.next_attempt is not None
        waits.append(round(end.rotation.next_attempt - end.now, 6))
        assert len(started(end.step(waits[-1] + 1e-6))) == 1
    assert waits[0] == pytest.approx(limits.FIRST_RETRY)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(limits.MAX_RETRY)
    assert end.rotation.failures_in_row == 30
    assert isinstance(end.events[-1], RotationFailed)


def test_a_retry_never_waits_longer_than_the_interval() -> None:
    end = Stepped(initiator=True)
    end.rotation.reconfigure(
        Schedule("paris", 2.0), max_epoch_lifetime=6.0, qkd_wanted=False
    )
    end.up()
    for _ in range(20):
        end.fail()
        assert end.rotation.next_attempt is not None
        assert end.rotation.next_attempt - end.now <= 2.0
        end.step(2.0)


def test_a_failure_that_taught_something_is_followed_soon() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.rotation.learned(now=end.now)
    assert end.rotation.next_attempt is None  # an attempt is under way
    for _ in range(7):
        end.fail()
        end.rotation.learned(now=end.now)
        assert len(started(end.step(limits.FIRST_RETRY + 1e-6))) == 1


def test_a_commit_resets_the_back_off() -> None:
    end = Stepped(initiator=True)
    end.up()
    for _ in range(5):
        end.fail()
        end.step(limits.MAX_RETRY)
    end.commit(6)
    assert end.rotation.failures_in_row == 0
    assert end.rotation.failures == 5


def test_the_reason_is_shown_while_not_up_and_only_then() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.fail()
    assert end.rotation.reason == "no answer"
    end.step(1.0)
    end.commit(2)
    end.prove(2)
    end.fail()
    assert end.rotation.reason == ""


def test_behind_leaps_above_the_peer() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.rotation.behind(57, now=end.now)
    assert started(end.step(0.0)) == [58]


def test_a_peer_that_is_not_ahead_causes_no_storm() -> None:
    end = Stepped(initiator=True, last_epoch=9)
    end.up()
    for _ in range(20):
        end.rotation.behind(3, now=end.now)
        assert len(started(end.step(limits.MAX_RETRY))) == 1
    assert end.rotation.failures_in_row == 20


@pytest.mark.parametrize("epoch", [2**64 - 1, 2**63, MAX_EPOCH, MAX_EPOCH_LEAP + 2])
def test_a_peer_at_the_end_of_all_numbers_is_not_followed(epoch: int) -> None:
    end = Stepped(initiator=True)
    end.up()
    end.rotation.behind(epoch, now=end.now)
    assert started(end.step(limits.MAX_RETRY)) == [2]
    assert isinstance(end.events[-1], RotationFailed)
    assert str(epoch) in end.events[-1].detail


def test_a_peer_that_is_always_ahead_sets_no_pace() -> None:
    """Each of its refusals is answered at once, up to what an honest one needs."""
    end = Stepped(initiator=True)
    end.up()
    begun = len(started(end.collect()))
    for _ in range(1000):
        end.rotation.behind(end.rotation.attempts.highest + 1, now=end.now)
        begun += len(started(end.step(0.01)))
    assert PEER_BURST <= begun <= PEER_BURST + 10 * PEER_RATE


def test_down_removes_all_and_stays_down() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    end.rotation.down()
    assert end.collect() == [BlockTunnel()]
    assert end.rotation.get_timer() is None
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    end.rotation.peer_silent(now=end.now)
    end.rotation.failed("aborted", "taken down", now=end.now)
    assert end.step(1000.0) == []
    assert end.up() == [StartHandshake(2)]


def test_up_twice_is_once() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    assert end.up() == []
    end.prove(1)
    assert end.up() == []
    assert phase(end) is TunnelPhase.UP


def test_rotate_now() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(0.0)) == [2]
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(1.0)) == []  # one is under way
    responder = Stepped(initiator=False)
    responder.up()
    responder.commit(1)
    responder.rotation.rotate(RotateReason.OPERATOR, now=responder.now)
    assert responder.collect() == [AskForRotation(RotateReason.OPERATOR)]


def test_the_peer_took_it_down() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.rotation.peer_closed(now=end.now)
    assert BlockTunnel() in end.collect()
    assert phase(end) is TunnelPhase.BLOCKED
    assert end.rotation.reason == "the peer took the tunnel down"
    assert started(end.step(1.5 * INTERVAL)) == [2]


def test_an_epoch_not_yet_in_force_is_not_overtaken() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(limits.PROOF_TIMEOUT - 0.1)) == []
    end.prove(1)
    assert started(end.step(0.0)) == [2]  # no later than that


def test_an_epoch_that_never_is_in_force_is_overtaken_in_time() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(limits.PROOF_TIMEOUT + 0.1)) == [2]


def test_waiting_leaves_an_interval_before_the_lifetime_ends() -> None:
    end = Stepped(initiator=True)
    end.rotation.reconfigure(
        Schedule("paris", 2.0), max_epoch_lifetime=6.0, qkd_wanted=False
    )
    end.up()
    end.commit(1)
    assert started(end.step(3.9)) == []
    assert started(end.step(0.2)) == [2]


@pytest.mark.parametrize(
    "reason", [RotateReason.PLANE_LOST, RotateReason.ADDRESS_CHANGED]
)
def test_what_waiting_cannot_mend_does_not_wait(reason: RotateReason) -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.rotation.rotate(reason, now=end.now)
    assert started(end.step(0.0)) == [2]


def test_silence_starts_one_attempt_and_only_while_up() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    end.rotation.peer_silent(now=end.now)
    assert started(end.step(0.0)) == [2]
    end.rotation.peer_silent(now=end.now)
    assert started(end.step(0.0)) == []


def test_a_responder_asks_when_it_is_late() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.prove(1)
    late = limits.LATE_FACTOR * INTERVAL
    assert not _asked(end.step(late - 0.01))
    assert len(_asked(end.step(0.02))) == 1
    assert len(_asked(end.step(2 * limits.LATE_REPEAT))) == 2
    assert phase(end) is TunnelPhase.UP
    end.commit(2)
    assert not _asked(end.step(late - 0.01))


def test_a_blocked_responder_asks_nothing() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.step(LIFETIME)
    assert phase(end) is TunnelPhase.BLOCKED
    assert end.step(1000.0) == []


def test_a_longer_schedule_does_not_make_a_responder_ask_too_late() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.rotation.reconfigure(
        Schedule("paris", 600.0), max_epoch_lifetime=1800.0, qkd_wanted=False
    )
    asked = end.step(limits.LATE_FACTOR * INTERVAL + 0.1)
    assert _asked(asked)
    assert BlockTunnel() not in asked


def test_a_shorter_schedule_makes_a_responder_ask_sooner() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.rotation.reconfigure(
        Schedule("paris", 2.0), max_epoch_lifetime=6.0, qkd_wanted=False
    )
    assert _asked(end.step(limits.LATE_FACTOR * 2.0 + 0.1))


def _asked(actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, AskForRotation)]


def test_adoption_is_up_and_rotates_at_once() -> None:
    end = Stepped(initiator=True, last_epoch=9)
    end.rotation.adopt((0,), active=0, expires_at=end.now + 12.0, now=end.now)
    assert phase(end) is TunnelPhase.UP
    end.rotation.handle_timer(now=end.now)
    assert started(end.collect()) == [10]
    end.commit(10)
    end.prove(10)
    assert _retired(end.step(limits.RETIRE_DELAY)) == [0]


def test_adopted_epochs_with_numbers_are_all_retired_and_counted_from() -> None:
    end = Stepped(initiator=True)
    end.rotation.adopt((7, 8), active=8, expires_at=end.now + 12.0, now=end.now)
    end.rotation.handle_timer(now=end.now)
    assert started(end.collect()) == [9]
    end.commit(9)
    end.prove(9)
    assert _retired(end.step(limits.RETIRE_DELAY)) == [7, 8]


def test_adoption_keeps_the_old_expiry() -> None:
    end = Stepped(initiator=False, last_epoch=9)
    end.rotation.adopt((0,), active=0, expires_at=end.now + 12.0, now=end.now)
    assert BlockTunnel() not in end.step(11.9)
    assert BlockTunnel() in end.step(0.2)


def test_new_schedule_keeps_the_present_expiry() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    before = end.rotation.expires_at
    end.rotation.reconfigure(
        Schedule("paris", 60.0), max_epoch_lifetime=180.0, qkd_wanted=False
    )
    assert end.rotation.expires_at == before


def test_a_longer_schedule_begins_within_the_present_lifetime() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    end.rotation.reconfigure(
        Schedule("paris", 60.0), max_epoch_lifetime=180.0, qkd_wanted=False
    )
    assert started(end.step(LIFETIME - 0.1)) == [2]
    end.commit(2)
    end.prove(2)
    assert end.rotation.expires_at == end.now + 180.0
    assert end.rotation.next_attempt == Schedule("paris", 60.0).next_after(end.now)


def test_a_shorter_schedule_that_is_due_already_is_one_rotation() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.prove(1)
    end.step(4.0)
    end.rotation.reconfigure(
        Schedule("paris", 2.0), max_epoch_lifetime=6.0, qkd_wanted=False
    )
    assert started(end.step(1.9)) == [2]


def test_proof_is_polled_for_with_back_off_then_rarely() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    times = []
    for _ in range(12):
        when = end.rotation.get_timer()
        assert when is not None
        end.step(when - end.now)
        times.append(end.now)
        end.rotation.trial.plane_polled(frozenset(), now=end.now)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) <= limits.MAX_POLL + 1e-9
    assert gaps[0] == pytest.approx(limits.FIRST_POLL * limits.POLL_GROWTH)
    end.rotation.trial.plane_polled(frozenset({1}), now=end.now)
    actions = end.step(limits.MAX_POLL + 0.01)
    # With our own proof polls go on: the peer may need help to its.
    assert PollPlane() in actions
    end.prove(1)
    before = end.now
    while ReadPlane() not in end.step(0.5):
        pass
    assert end.now - before == pytest.approx(limits.COUNTER_SHARE * INTERVAL, abs=0.6)


def test_notices_stop_when_nobody_echoes() -> None:
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.rotation.trial.plane_polled(frozenset({1}), now=end.now)
    actions = end.step(14.0)
    notices = [action for action in actions if isinstance(action, SendInForce)]
    assert len(notices) == limits.MAX_FORCE_NOTICES


def _exchange(ends: tuple[Stepped, Stepped], seconds: float) -> list[SendInForce]:
    """Let time pass, and deliver at once what each end says; return all of it."""
    sent = []
    until = ends[0].now + seconds
    while ends[0].now < until:
        for sender, receiver in (ends, ends[::-1]):
            for action in (*sender.collect(), *sender.step(0.05)):
                if isinstance(action, SendInForce):
                    sent.append(action)
                    receiver.rotation.trial.peer_in_force(
                        1, echo=action.echo, now=receiver.now
                    )
    return sent


def _committed_pair() -> tuple[Stepped, Stepped]:
    ends = (Stepped(initiator=True), Stepped(initiator=False))
    for end in ends:
        end.up()
        end.commit(1)
    return ends


def _in_force(end: Stepped) -> bool:
    return any(isinstance(event, EpochInForce) for event in end.events)


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_both_ends_fall_silent_once_each_has_heard_the_other(delay: float) -> None:
    ends = _committed_pair()
    for end in ends:
        end.step(delay if end is ends[1] else 0.0)
        end.rotation.trial.plane_polled(frozenset({1}), now=end.now)
    assert len(_exchange(ends, 3.0)) == 4
    for end in ends:
        assert _in_force(end)
        assert end.rotation.current is not None
        assert end.rotation.current.peer_knows


def test_where_nothing_is_lost_one_notice_and_its_echo_are_enough() -> None:
    first, second = ends = (Stepped(initiator=True), Stepped(initiator=False))
    for end in ends:
        end.up()
    assert second.commit(1) == []
    # The responder has sent under the epoch before it said that it has committed.
    assert first.commit(1) == [PollPlane()]
    assert _proof_here(first, 1) == [SendInForce(1, echo=False)]
    # The initiator has sent under it before its notice.
    second.rotation.trial.peer_in_force(1, echo=False, now=second.now)
    assert second.collect() == [PollPlane()]
    passing = GrantPassing(second.now + LIFETIME)
    assert _proof_here(second, 1) == [SendInForce(1, echo=True), passing]
    first.rotation.trial.peer_in_force(1, echo=True, now=first.now)
    assert _exchange(ends, 3.0) == []
    assert _in_force(first)
    assert _in_force(second)


def test_an_echo_that_is_lost_is_asked_for_again() -> None:
    first, second = ends = _committed_pair()
    _proof_here(first, 1)
    second.rotation.trial.peer_in_force(1, echo=False, now=second.now)
    assert _proof_here(second, 1) == [
        PollPlane(),
        SendInForce(1, echo=True),
        GrantPassing(second.now + LIFETIME),
    ]
    assert _exchange(ends, limits.FORCE_REPEAT + 0.1) == [
        SendInForce(1, echo=False),
        SendInForce(1, echo=True),
    ]
    assert _in_force(first)
    assert _in_force(second)


def test_proof_long_after_the_peers_notice_has_a_notice_of_its_own() -> None:
    """The peer may have stopped repeating its own."""
    end = Stepped(initiator=False)
    end.up()
    end.commit(1)
    end.rotation.trial.peer_in_force(1, echo=False, now=end.now)
    end.step(limits.FORCE_REPEAT)
    assert SendInForce(1, echo=False) in _proof_here(end, 1)


def test_a_poll_out_of_turn_puts_off_none() -> None:
    end = Stepped(initiator=True)
    end.up()
    assert end.commit(1) == [PollPlane()]
    end.rotation.trial.plane_polled(frozenset(), now=end.now)
    assert end.step(limits.FIRST_POLL) == [PollPlane()]


def test_proof_of_other_epochs_counts_for_nothing() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.commit(1)
    end.rotation.trial.peer_in_force(99, echo=False, now=end.now)
    end.rotation.trial.plane_polled(frozenset({99}), now=end.now)
    assert end.rotation.current is not None
    assert not end.rotation.current.local_proof
    assert not end.rotation.current.peer_proof


def test_attempts_that_cost_a_key_are_made_ever_more_rarely() -> None:
    """Whoever drops M3 burns a QKD key an attempt: at most two an interval."""
    end = Stepped(initiator=True)
    end.up()
    end.step(0.0)
    waits = []
    for _ in range(12):
        end.rotation.failed("unconfirmed", "no M4", now=end.now, key_spent=True)
        when = end.rotation.next_attempt
        assert when is not None
        waits.append(when - end.now)
        end.step(when - end.now)
    assert waits == sorted(waits)
    assert waits[0] <= 2 * limits.FIRST_RETRY
    interval = end.rotation.attempts.schedule.interval
    assert waits[-1] == pytest.approx(limits.SPENT_SHARE * interval)


def test_a_wish_during_an_attempt_is_served_after_its_failure() -> None:
    """The peer got a secret that this end has had for long: no back-off tells that."""
    end = Stepped(initiator=True)
    end.up()
    for _ in range(5):
        end.rotation.failed("symmetric", "PSK", now=end.now, key_spent=True)
        end.step(INTERVAL)
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(1.0)) == []
    end.rotation.failed("symmetric", "PSK", now=end.now, key_spent=True)
    assert len(started(end.step(limits.FIRST_RETRY))) == 1
    # It is one wish, and that a responder is late is none.
    end.rotation.rotate(RotateReason.LIFETIME, now=end.now)
    end.rotation.failed("symmetric", "PSK", now=end.now, key_spent=True)
    assert started(end.step(2 * limits.FIRST_RETRY)) == []


def test_a_wish_during_an_attempt_is_served_by_its_success() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    end.commit(1)
    end.prove(1)
    assert started(end.step(0.4 * INTERVAL)) == []


def test_a_success_forgives_the_keys_spent() -> None:
    end = Stepped(initiator=True)
    end.up()
    end.step(0.0)
    for _ in range(6):
        end.rotation.failed("unconfirmed", "no M4", now=end.now, key_spent=True)
    end.commit(1)
    end.rotation.failed("timeout", "no answer", now=end.now)
    assert end.rotation.next_attempt == pytest.approx(end.now + limits.FIRST_RETRY)
