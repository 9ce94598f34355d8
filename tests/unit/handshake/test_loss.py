"""What is lost is sent again, what comes twice counts once, and chains survive it."""

import pytest

from gateway.handshake import limits
from gateway.handshake.events import (
    CommitReceived,
    EpochCommitted,
    EpochPrepared,
    HandshakeFailed,
)
from gateway.wire.control import InForce, Ping
from gateway.wire.header import Type
from tests.unit.handshake.pair import TUNNEL, Pair, kind_of
from tests.unit.handshake.test_tampering import step


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("losses", [1, 3])
def test_message_that_is_lost_is_sent_again(number: int, losses: int) -> None:
    pair = Pair(keys=3)
    step(pair, number)
    sent: list[bytes] = []
    for _ in range(losses):
        due = pair.a.machine.get_timer()
        assert due is not None
        assert due > pair.now
        pair.now = due
        pair.a.machine.handle_timer(now=pair.now)
        sent = pair.sent(pair.a)
        assert {kind_of(d) for d in sent} == {
            Type.INITIATION if number < 3 else Type.COMMIT
        }
    pair.deliver(pair.b, sent)
    pair.pump()
    pair.assert_agreed(1)
    assert len(pair.a.consumed) == len(pair.b.consumed) == 1
    assert len(pair.b.events(CommitReceived)) == 1
    assert len(pair.a.events(EpochPrepared)) == 1


def test_retransmissions_back_off_and_end() -> None:
    pair = Pair()
    pair.start()
    pair.sent(pair.a)
    begin = pair.now
    times = []
    while (due := pair.a.machine.get_timer()) is not None:
        pair.now = due
        pair.a.machine.handle_timer(now=due)
        if pair.sent(pair.a):
            times.append(due - begin)
    assert times == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1, 6.1, 9.1])
    (failed,) = pair.a.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "timeout"
    assert pair.now - begin == limits.INITIATION_TIMEOUT
    assert not pair.a.machine._core.holders


def test_commit_and_committed_are_idempotent() -> None:
    pair = Pair(keys=2)
    messages = pair.messages()
    before = pair.b.machine._core.tunnels[TUNNEL].chains
    for _ in range(5):
        pair.deliver(pair.b, messages.m3)
        assert pair.sent(pair.b) == messages.m4
        pair.deliver(pair.a, messages.m4)
    assert pair.b.machine._core.tunnels[TUNNEL].chains == before
    assert len(pair.b.events(CommitReceived)) == 1
    assert len(pair.a.events(EpochCommitted)) == 1


def test_commit_repeated_while_the_driver_works_counts_once() -> None:
    pair = Pair()
    _, m3 = step(pair, 3)
    pair.b.driven = False
    pair.deliver(pair.b, m3 * 3)
    (event,) = pair.b.events(CommitReceived)
    assert isinstance(event, CommitReceived)
    assert pair.sent(pair.b) == []
    assert pair.b.machine.dropped() == {"duplicate": 2}
    pair.b.machine.confirm(event.handshake, now=pair.now)
    pair.pump()
    assert pair.a.machine.committed(TUNNEL) == 1


def test_control_message_stands_for_the_m4_that_was_lost() -> None:
    pair = Pair()
    step(pair, 4)
    pair.b.machine.send_control(TUNNEL, InForce(1, echo=False))
    pair.deliver(pair.a, pair.sent(pair.b))
    pair.assert_agreed(1)
    pair.pump()
    pair.handshake()
    assert "chain" in pair.a.committed[2].sources


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_chain_survives_epochs_that_only_the_responder_committed(lost: int) -> None:
    pair = Pair(keys=10)
    pair.handshake()
    for _ in range(lost):
        step(pair, 4)
        pair.advance(limits.COMMIT_TIMEOUT + 0.1)
        pair.a.machine.datagrams_to_send()
        assert pair.a.machine.committed(TUNNEL) == 1
        assert pair.b.machine.committed(TUNNEL) == pair.epoch
        assert len(pair.b.machine._core.tunnels[TUNNEL].chains) == 2
    failed = pair.a.events(HandshakeFailed)
    assert [getattr(f, "reason", "") for f in failed] == ["unconfirmed"] * lost
    pair.handshake()
    assert "chain" in pair.b.committed[pair.epoch].sources
    consumed = [*pair.a.consumed]
    assert len(consumed) == len(set(consumed))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_chain_survives_a_handshake_that_never_completes(number: int) -> None:
    pair = Pair()
    pair.handshake()
    step(pair, number)
    pair.advance(limits.HALF_OPEN_TIMEOUT + 1)
    pair.a.machine.datagrams_to_send()
    pair.b.machine.datagrams_to_send()
    pair.handshake()
    assert "chain" in pair.b.committed[pair.epoch].sources


def test_responder_forgets_the_old_chain_once_the_initiator_speaks() -> None:
    pair = Pair()
    pair.handshake()
    pair.handshake()
    chains = pair.b.machine._core.tunnels[TUNNEL].chains
    assert len(chains) == 2
    assert pair.a.machine._core.tunnels[TUNNEL].chains == chains[:1]
    pair.a.machine.send_control(TUNNEL, Ping(1))
    pair.pump()
    assert pair.b.machine._core.tunnels[TUNNEL].chains == chains[:1]


@pytest.mark.parametrize("restarted", ["a", "b"])
def test_end_that_lost_its_chain_goes_on_without(restarted: str) -> None:
    pair = Pair()
    pair.handshake()
    end = pair.a if restarted == "a" else pair.b
    old = pair.a_parameters if restarted == "a" else pair.b_parameters
    end.machine.remove_tunnel(TUNNEL)
    end.machine.add_tunnel(old, committed=1)
    pair.handshake()
    assert "chain" not in pair.a.committed[2].sources
    pair.handshake()
    assert "chain" in pair.a.committed[3].sources


def test_new_handshake_supersedes_the_one_under_way() -> None:
    for number in (1, 2, 3, 4):
        pair = Pair(keys=4)
        end, stale = step(pair, number)
        pair.handshake()
        pair.deliver(end, stale)
        pair.pump()
        pair.assert_agreed(2)
        (failed,) = pair.a.events(HandshakeFailed)
        assert isinstance(failed, HandshakeFailed)
        assert failed.reason == "superseded"


def test_commit_of_an_epoch_that_was_overtaken_is_stale() -> None:
    """Two half-open handshakes, the newer commits first: the older never may."""
    pair = Pair()
    pair.b.driven = False
    _, m3_old = step_with_pending(pair)
    assert pair.b.machine.committed(TUNNEL) == 2
    pair.deliver(pair.b, m3_old)
    assert pair.sent(pair.b) == []
    assert pair.b.machine.committed(TUNNEL) == 2


def step_with_pending(pair: Pair) -> tuple[bytes, list[bytes]]:
    """Commit epoch 2 while M3 of epoch 1 is on its way."""
    pair.b.driven = True
    handshake = pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b))
    m3 = pair.sent(pair.a)
    pair.handshake()
    return handshake, m3


def test_timers_end_with_what_they_are_for() -> None:
    pair = Pair()
    assert pair.a.machine.get_timer() is None
    pair.start()
    pair.a.machine.abort(next(iter(pair.a.machine._core.holders)), "stop")
    assert pair.a.machine.get_timer() is None
    pair.handshake()
    pair.a.machine.remove_tunnel(TUNNEL)
    assert pair.a.machine.get_timer() is None
    assert not pair.a.machine._core.holders


def test_driver_too_slow_is_told_so() -> None:
    pair = Pair()
    end, m2 = step(pair, 2)
    pair.a.driven = False
    pair.deliver(end, m2)
    pair.advance(limits.INITIATION_TIMEOUT + 1)
    pair.a.drive(pair.now)
    (failed,) = pair.a.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "expired"


def test_starting_towards_another_address_goes_there() -> None:
    pair = Pair()
    pair.a.machine.start_handshake(
        TUNNEL,
        epoch=1,
        key_ids=[],
        plane_offer=b"x",
        address=("elsewhere", 1),
        now=pair.now,
    )
    assert {to for _, to in pair.a.machine.datagrams_to_send()} == {("elsewhere", 1)}
