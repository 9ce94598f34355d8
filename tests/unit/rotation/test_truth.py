"""What a tunnel is called, and what it costs, when packets do not pass."""

import pytest

from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    GrantPassing,
    PollPlane,
    ReadPlane,
    RetireEpoch,
    RevokePassing,
    SendInForce,
    SendObstacle,
)
from gateway.rotation.events import (
    RotationFailed,
    TunnelBlocked,
    TunnelUnproven,
    TunnelUp,
)
from gateway.rotation.obstacles import AT_PEER
from gateway.rotation.phases import TunnelPhase
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason
from tests.unit.rotation.rotations import LIFETIME, Stepped, started

LONG = 120.0
"""An interval at which nothing is scheduled in these tests."""


def a_tunnel(*, initiator: bool = True, in_force: bool = True) -> Stepped:
    """Return a tunnel of the default interval whose epoch 1 is committed."""
    end = Stepped(initiator=initiator)
    end.rotation.reconfigure(
        Schedule("paris", LONG), max_epoch_lifetime=3 * LONG, qkd_wanted=True
    )
    end.up()
    end.commit(1)
    if in_force:
        end.prove(1)
    return end


def phase(end: Stepped) -> TunnelPhase:
    return end.rotation.phase


def poll(
    end: Stepped, *proven: int, sending: int | None = None, heard: bool = False
) -> list[Action]:
    """Answer a poll."""
    end.rotation.trial.plane_polled(
        frozenset(proven),
        now=end.now,
        sending=sending,
        heard_at=end.now if heard else None,
    )
    return end.collect()


def live(
    end: Stepped,
    seconds: float,
    *,
    sending: int | None = None,
    heard: bool = False,
    said: int | None = None,
) -> list[Action]:
    """Let time pass while no poll proves anything; return what was asked for.

    Args:
        end: Whose time.
        seconds: How much.
        sending: The epoch that the kernel sends under.
        heard: Whether packets come.
        said: The epoch under which the peer says that they come there, all the time.
    """
    until, asked = end.now + seconds, []
    while end.now < until:
        new = end.step(min(0.25, until - end.now))
        asked += new
        if any(isinstance(one, PollPlane | ReadPlane) for one in new):
            asked += poll(end, sending=sending, heard=heard)
        if said is not None:
            end.rotation.trial.peer_in_force(said, echo=False, now=end.now)
    return asked


def not_in_force(end: Stepped) -> list[RotationFailed]:
    return [
        event
        for event in end.events
        if isinstance(event, RotationFailed) and event.reason == "not-in-force"
    ]


def test_a_first_epoch_that_nothing_proves_is_not_up() -> None:
    end = a_tunnel(in_force=False)
    assert phase(end) is TunnelPhase.CONNECTING
    live(end, limits.PROOF_TIMEOUT - 0.1)
    assert phase(end) is TunnelPhase.CONNECTING
    assert not not_in_force(end)
    live(end, 0.2)
    assert phase(end) is TunnelPhase.UNPROVEN
    assert end.rotation.reason == "no packet has proven epoch 1"
    assert not_in_force(end) == [
        RotationFailed("paris", "not-in-force", "no packet has proven epoch 1", 1)
    ]
    assert end.rotation.failures == 1
    assert not any(isinstance(event, TunnelUp) for event in end.events)


def test_one_handshake_follows_at_once_and_no_other_for_a_lifetime() -> None:
    end = a_tunnel(in_force=False)
    begun = end.now
    assert started(live(end, limits.PROOF_TIMEOUT + 0.1)) == [2]
    end.commit(2)
    second = end.now
    assert started(live(end, begun + 3 * LONG - end.now - 1.0)) == []
    assert len(not_in_force(end)) == 2
    # The first epoch's lifetime ends the passing, the second's ends its keys.
    assert phase(end) is TunnelPhase.UNPROVEN
    actions = live(end, second + 3 * LONG - end.now - 1.0)
    assert RevokePassing() in actions
    assert BlockTunnel() not in actions
    assert phase(end) is TunnelPhase.BLOCKED
    actions = live(end, 2.0)
    assert BlockTunnel() in actions
    assert started(actions) == [3]


def test_down_and_up_gives_one_handshake_at_once_again() -> None:
    end = a_tunnel(in_force=False)
    assert started(live(end, limits.PROOF_TIMEOUT + 0.1)) == [2]
    end.rotation.down()
    end.collect()
    assert started(end.up()) == [3]
    end.commit(3)
    assert started(live(end, limits.PROOF_TIMEOUT + 0.1)) == [4]
    assert [event.attempts for event in not_in_force(end)] == [1, 1]


def test_long_without_a_path_one_epoch_a_lifetime_is_all_it_costs() -> None:
    end = a_tunnel(in_force=False)
    asked = 0
    for _ in range(10):
        for number in started(live(end, 3 * LONG)):
            asked += 1
            end.commit(number)
    assert asked <= 12


def test_an_unproven_epoch_is_polled_and_comes_up_without_a_handshake() -> None:
    end = a_tunnel(in_force=False)
    live(end, limits.PROOF_TIMEOUT + 0.1)
    end.commit(2)
    live(end, 60.0)
    polls = [action for action in live(end, 10.0) if isinstance(action, PollPlane)]
    assert len(polls) == pytest.approx(10.0 / limits.UNPROVEN_POLL, abs=8)
    end.prove(2)
    assert phase(end) is TunnelPhase.UP
    assert end.rotation.reason == ""
    assert end.events[-1] == TunnelUp("paris", 2)
    # Its lifetime counts from its commit, and so does the schedule.
    current = end.rotation.current
    assert current is not None
    assert current.committed_at is not None
    assert end.rotation.expires_at == current.committed_at + 3 * LONG
    due = Schedule("paris", LONG).next_after(current.committed_at)
    assert end.rotation.next_attempt == due


def test_up_while_the_next_epoch_is_being_proven_and_no_longer() -> None:
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    live(end, limits.PROOF_TIMEOUT - 0.1, sending=2)
    assert phase(end) is TunnelPhase.UP
    live(end, 0.2, sending=2)
    assert phase(end) is TunnelPhase.UNPROVEN
    assert any(isinstance(event, TunnelUnproven) for event in end.events)
    assert end.rotation.expires_at == 1000.0 + 3 * LONG


def test_up_for_as_long_as_the_predecessor_carries() -> None:
    """As on WireGuard, which moves sending after its own handshake only."""
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    live(end, 100.0, sending=1, heard=True, said=1)
    assert phase(end) is TunnelPhase.UP
    assert len(not_in_force(end)) == 1
    left = 1000.0 + 3 * LONG - end.now
    actions = live(end, left, sending=1, heard=True, said=1)
    assert phase(end) is TunnelPhase.BLOCKED
    assert RevokePassing() in actions
    assert RetireEpoch(1) in actions
    assert BlockTunnel() not in actions
    assert isinstance(end.events[-1], TunnelBlocked)
    assert end.rotation.expires_at is None
    # Proven after all: up, with no handshake between.
    actions = end.prove(2)
    assert phase(end) is TunnelPhase.UP
    assert GrantPassing(1000.0 + LONG + 3 * LONG) in actions
    assert started(actions) == []


def test_what_carries_here_proves_nothing_once_the_peer_has_left_it() -> None:
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    end.rotation.trial.peer_in_force(2, echo=False, now=end.now)
    live(end, limits.PROOF_TIMEOUT + 0.1, sending=1, heard=True)
    assert phase(end) is TunnelPhase.UNPROVEN


def test_a_predecessor_carries_while_packets_come_and_the_peer_says_so() -> None:
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    live(end, 20.0, sending=1, heard=True, said=1)
    assert phase(end) is TunnelPhase.UP
    live(end, limits.WORD_SILENCE + 1.0, sending=1, heard=True)
    assert phase(end) is TunnelPhase.UNPROVEN
    live(end, 1.0, sending=1, heard=True, said=1)
    assert phase(end) is TunnelPhase.UP
    live(end, limits.CARRIER_SILENCE + 1.0, sending=1, said=1)
    assert phase(end) is TunnelPhase.UNPROVEN
    live(end, 1.0, sending=1, heard=True, said=1)
    assert phase(end) is TunnelPhase.UP


def test_the_peer_is_told_of_the_epoch_that_carries() -> None:
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    asked = live(end, 60.0, sending=1, heard=True, said=1)
    words = [one for one in asked if one == SendInForce(1, echo=False)]
    assert len(words) == pytest.approx(54 / limits.SLOW_REPEAT, abs=2)
    asked = live(end, 60.0, sending=1, said=1)
    words = [one for one in asked if one == SendInForce(1, echo=False)]
    assert len(words) <= limits.CARRIER_SILENCE / limits.SLOW_REPEAT + 1


def test_an_epoch_under_which_nothing_comes_any_more_is_doubted_and_replaced() -> None:
    end = a_tunnel()
    live(end, 20.0, sending=1, heard=True)
    assert not started(live(end, limits.PROBED_SILENCE - 1.0, sending=1))
    assert phase(end) is TunnelPhase.UP
    assert started(live(end, limits.COUNTER_POLL + 1.0, sending=1)) == [2]
    assert phase(end) is TunnelPhase.UNPROVEN
    assert end.rotation.reason == "no packet has come for 25 s"
    end.commit(2)
    end.prove(2)
    assert phase(end) is TunnelPhase.UP


def test_an_epoch_that_was_doubted_is_up_again_when_packets_come_again() -> None:
    end = a_tunnel(initiator=False)
    live(end, 20.0, sending=1, heard=True)
    asked = live(end, 60.0, sending=1)
    assert phase(end) is TunnelPhase.UNPROVEN
    wanted = AskForRotation(RotateReason.PLANE_LOST)
    assert 2 <= asked.count(wanted) <= 5
    live(end, limits.COUNTER_POLL + 1.0, sending=1, heard=True)
    assert phase(end) is TunnelPhase.UP
    assert end.rotation.reason == ""


def test_what_the_kernel_lacks_is_not_up_and_costs_no_keys() -> None:
    end = a_tunnel()
    end.rotation.trial.obstructed("route 10.2.0.0/16 is missing", now=end.now)
    assert phase(end) is TunnelPhase.UNPROVEN
    assert end.rotation.reason == "route 10.2.0.0/16 is missing"
    assert started(live(end, 2 * LONG - 1.0, sending=1, heard=True)) == []
    end.rotation.rotate(RotateReason.LIFETIME, now=end.now)
    # One before the lifetime ends, so that it goes on when the route is back.
    assert started(live(end, 2.0, sending=1, heard=True)) == [2]
    end.commit(2)
    end.prove(2)
    assert phase(end) is TunnelPhase.UNPROVEN
    assert started(live(end, LONG, sending=2, heard=True)) == []
    end.rotation.trial.obstructed("", now=end.now)
    end.collect()
    assert phase(end) is TunnelPhase.UP
    assert end.events[-1] == TunnelUp("paris", 2)
    assert started(live(end, LONG, sending=2, heard=True)) == [3]


def test_what_only_the_responder_lacks_costs_no_keys_either() -> None:
    near, far = a_tunnel(), a_tunnel(initiator=False)
    far.rotation.trial.obstructed("interface qgw1 is missing", now=far.now)
    assert far.collect() == [SendObstacle(is_there=True)]
    near.rotation.trial.peer_obstructed(is_there=True, now=near.now)
    near.collect()
    assert phase(near) is TunnelPhase.UNPROVEN
    assert near.rotation.reason == AT_PEER
    near.rotation.rotate(RotateReason.LIFETIME, now=near.now)
    begun: list[int] = []
    for _ in range(2 * int(LONG) - 2):
        begun += started(live(near, 1.0, sending=1, heard=True))
        for action in live(far, 1.0, sending=1, heard=True):
            if isinstance(action, SendObstacle):
                near.rotation.trial.peer_obstructed(
                    is_there=action.is_there, now=near.now
                )
    assert begun == []
    assert phase(near) is TunnelPhase.UNPROVEN
    far.rotation.trial.obstructed("", now=far.now)
    assert far.collect() == [SendObstacle(is_there=False)]
    near.rotation.trial.peer_obstructed(is_there=False, now=near.now)
    assert phase(near) is TunnelPhase.UP
    assert started(live(near, 1.0, sending=1, heard=True)) == [2]


def test_a_peers_obstacle_that_is_not_repeated_is_gone() -> None:
    near = a_tunnel()
    near.rotation.trial.peer_obstructed(is_there=True, now=near.now)
    live(near, limits.WORD_SILENCE - 1.0, sending=1, heard=True)
    assert phase(near) is TunnelPhase.UNPROVEN
    live(near, 2.0, sending=1, heard=True)
    assert phase(near) is TunnelPhase.UP


def test_a_first_epoch_that_an_obstacle_keeps_unproven_is_not_made_again() -> None:
    near = Stepped(initiator=True)
    near.up()
    near.commit(1)
    near.rotation.trial.peer_obstructed(is_there=True, now=near.now)
    near.collect()
    assert started(near.step(limits.PROOF_TIMEOUT + 3.0)) == []
    assert TunnelUnproven("paris", AT_PEER) in near.events


def test_a_peer_that_never_speaks_of_itself_is_not_missed() -> None:
    end = a_tunnel()
    assert not started(live(end, 55.0, sending=1))
    assert phase(end) is TunnelPhase.UP


def test_an_epoch_in_force_is_probed_now_and_then() -> None:
    end = a_tunnel()
    actions = live(end, 55.0, sending=1, heard=True)
    probes = [one for one in actions if isinstance(one, PollPlane)]
    assert len(probes) == pytest.approx(55.0 / limits.LIVE_PROBE, abs=1)


def test_doubt_is_not_ended_by_keys() -> None:
    end = a_tunnel()
    end.step(LONG)
    end.commit(2)
    live(end, limits.PROOF_TIMEOUT + 0.1, sending=2)
    end.commit(3)
    live(end, 1.0, sending=3)
    assert phase(end) is TunnelPhase.UNPROVEN
    end.prove(3)
    assert phase(end) is TunnelPhase.UP


def test_epochs_that_overtake_each_other_do_not_hide_that_none_is_proven() -> None:
    end = a_tunnel()
    end.step(LONG)
    for number in range(2, 6):
        end.commit(number)
        live(end, limits.PROOF_TIMEOUT / 3, sending=number)
    assert phase(end) is TunnelPhase.UNPROVEN


def test_passing_is_granted_to_the_end_of_what_is_in_force() -> None:
    end = a_tunnel(in_force=False)
    assert GrantPassing(1000.0 + 3 * LONG) in end.prove(1)
    end.step(LONG)
    committed = end.now
    assert not [one for one in end.commit(2) if isinstance(one, GrantPassing)]
    end.step(1.0)
    assert GrantPassing(committed + 3 * LONG) in end.prove(2)


def test_keys_that_were_removed_are_replaced_at_once_then_at_growing_pauses() -> None:
    end = a_tunnel()
    times = []
    number = 1
    for _ in range(4 * 3600):
        end.rotation.trial.plane_lost("keys gone", now=end.now)
        assert phase(end) is not TunnelPhase.UP
        for begun in started(end.step(0.25)):
            number = begun
            times.append(end.now)
            end.commit(number)
            end.prove(number)
    assert times[0] == 1000.25
    assert len(times) <= 10 + 3600 / LONG
    assert number == len(times) + 1


def test_a_responder_asks_for_them_at_growing_pauses_too() -> None:
    end = a_tunnel(initiator=False)
    end.collect()
    asked = []
    for _ in range(100):
        end.rotation.trial.plane_lost("keys gone", now=end.now)
        asked += [one for one in end.collect() if isinstance(one, AskForRotation)]
        asked += [one for one in end.step(1.0) if isinstance(one, AskForRotation)]
    assert 5 <= len(asked) <= 7
    assert set(asked) == {AskForRotation(RotateReason.PLANE_LOST)}


def test_a_peer_that_moves_now_and_then_is_followed_at_once() -> None:
    end = a_tunnel()
    for _ in range(20):
        end.rotation.rotate(RotateReason.ADDRESS_CHANGED, now=end.now)
        (number,) = started(end.step(0.0))
        end.commit(number)
        end.prove(number)
        end.step(20.0)


def test_a_request_for_lifetimes_sake_does_not_burn_keys_on_a_broken_path() -> None:
    end = a_tunnel(in_force=False)
    live(end, limits.PROOF_TIMEOUT + 0.1)
    end.commit(2)
    live(end, limits.PROOF_TIMEOUT + 0.1)
    for _ in range(10):
        end.rotation.rotate(RotateReason.LIFETIME, now=end.now)
        assert started(live(end, 5.0)) == []
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert started(end.step(0.0)) == [3]


def test_a_kernel_that_cannot_be_asked_is_asked_again() -> None:
    end = a_tunnel(in_force=False)
    for _ in range(40):
        end.step(0.5)
        end.rotation.trial.plane_failed(now=end.now)
    assert PollPlane() in end.step(1.0)
    assert phase(end) is TunnelPhase.UNPROVEN


def test_notices_go_on_slowly_until_the_peer_answers() -> None:
    end = a_tunnel(in_force=False)
    poll(end, 1)
    end.step(60.0)
    slow = [one for one in end.step(60.0) if isinstance(one, SendInForce)]
    assert 11 <= len(slow) <= 13


def test_up_at_a_responder_asks_until_an_epoch_comes() -> None:
    end = a_tunnel(initiator=False)
    end.rotation.down()
    end.collect()
    end.rotation.up(now=end.now, ask=True)
    assert end.collect() == [AskForRotation(RotateReason.OPERATOR)]
    asked = [one for one in end.step(20.0) if isinstance(one, AskForRotation)]
    assert 5 <= len(asked) <= 7
    end.commit(2)
    assert not [one for one in end.step(20.0) if isinstance(one, AskForRotation)]


def test_up_at_an_initiator_that_waits_calls_at_once() -> None:
    end = a_tunnel()
    end.rotation.peer_closed(now=end.now)
    assert started(end.step(1.0)) == []
    assert started(end.up()) == [2]


def test_a_peer_that_is_down_on_purpose_is_called_rarely_and_answered_at_once() -> None:
    end = a_tunnel()
    end.rotation.peer_closed(now=end.now)
    calls = 0
    for _ in range(6000):
        for _ in started(end.step(0.1)):
            calls += 1
            end.fail()
            end.rotation.peer_closed(now=end.now)  # it says so each time
    assert 10 <= calls <= 600 / limits.LONGEST_CLOSED + 4
    assert end.rotation.reason == "no answer"
    end.rotation.rotate(RotateReason.OPERATOR, now=end.now)
    assert len(started(end.step(0.0))) == 1


def test_a_peer_that_makes_its_tunnel_anew_is_called_at_once() -> None:
    end = a_tunnel()
    end.rotation.peer_closed(now=end.now, returning=True)
    assert phase(end) is TunnelPhase.BLOCKED
    assert started(end.step(0.0)) == [2]
    end.fail()
    assert started(end.step(limits.FIRST_RETRY)) == [3]


def test_adopted_keys_that_were_never_in_force_are_not_up() -> None:
    end = Stepped(initiator=True, last_epoch=9)
    end.rotation.adopt(
        (9,), active=9, expires_at=end.now + 12.0, now=end.now, proven=False
    )
    assert phase(end) is TunnelPhase.UNPROVEN
    assert started(end.step(0.0)) == [10]
    end.commit(10)
    end.prove(10)
    assert phase(end) is TunnelPhase.UP
    assert end.rotation.expires_at == end.now + LIFETIME
