"""Where the peer is, and whether it is there: only its newest words say so."""

import pytest

from gateway.handshake import limits
from gateway.handshake.events import (
    Address,
    ControlReceived,
    EpochPrepared,
    PeerMoved,
    PeerSilent,
)
from gateway.wire.control import (
    Close,
    CloseReason,
    ControlMessage,
    InForce,
    Ping,
    Pong,
    RotateReason,
    RotateRequest,
)
from gateway.wire.header import Type
from tests.unit.handshake.pair import (
    INITIATOR_ADDRESS,
    RESPONDER_ADDRESS,
    STRANGER,
    TUNNEL,
    End,
    Pair,
    kind_of,
)

ELSEWHERE = ("192.0.2.99", 4500)


def ping(pair: Pair, number: int = 1) -> bytes:
    """Return a ping of the initiator's."""
    assert pair.a.machine.send_control(TUNNEL, Ping(number))
    (datagram,) = pair.sent(pair.a)
    return datagram


def test_addresses_are_those_of_the_handshake() -> None:
    pair = Pair()
    assert pair.b.machine.peer_address(TUNNEL) is None
    pair.handshake()
    assert pair.a.machine.peer_address(TUNNEL) == RESPONDER_ADDRESS
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS
    assert not pair.a.events(PeerMoved)
    assert not pair.b.events(PeerMoved)


def sent_to(end: End, now: float) -> set[Address]:
    """Return where an end sends to."""
    end.drive(now)
    return {address for _, address in end.machine.datagrams_to_send()}


def test_an_initiator_goes_on_as_it_called() -> None:
    # Which of its own addresses it is seen at is for its routes to choose each time.
    pair = Pair()
    seen_at = (*RESPONDER_ADDRESS, "192.0.2.1")
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b), seen_at)
    (prepared,) = pair.a.events(EpochPrepared)
    assert isinstance(prepared, EpochPrepared)
    assert prepared.address == seen_at  # what the data plane installs
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b), (*RESPONDER_ADDRESS, "192.0.2.7"))
    assert pair.a.machine.peer_address(TUNNEL) == RESPONDER_ADDRESS
    assert pair.b.machine.send_control(TUNNEL, Pong(1))
    pair.deliver(pair.a, pair.sent(pair.b), seen_at)
    assert pair.a.machine.peer_address(TUNNEL) == RESPONDER_ADDRESS
    assert pair.a.machine.send_control(TUNNEL, Ping(1))
    assert sent_to(pair.a, pair.now) == {RESPONDER_ADDRESS}
    assert not pair.a.events(PeerMoved)


def test_an_initiator_follows_a_peer_that_answers_from_elsewhere() -> None:
    pair = Pair()
    pair.handshake()
    elsewhere = (*ELSEWHERE, "192.0.2.1")
    assert pair.b.machine.send_control(TUNNEL, Pong(1))
    pair.deliver(pair.a, pair.sent(pair.b), elsewhere)
    assert pair.a.machine.peer_address(TUNNEL) == elsewhere
    assert pair.a.events(PeerMoved) == [PeerMoved(TUNNEL, elsewhere)]
    # It is called there from whichever address the routes prefer: that is no move.
    pair.start(address=ELSEWHERE)
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b), elsewhere)
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b), elsewhere)
    assert pair.a.machine.peer_address(TUNNEL) == ELSEWHERE
    assert len(pair.a.events(PeerMoved)) == 1


def test_a_responder_answers_from_the_address_that_was_asked() -> None:
    pair = Pair()
    first, second = ((*INITIATOR_ADDRESS, f"192.0.2.{host}") for host in (2, 3))
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a), first)
    pair.b.drive(pair.now)
    answers = pair.b.machine.datagrams_to_send()
    assert {address for _, address in answers} == {first}
    pair.deliver(pair.a, [data for data, _ in answers])
    pair.deliver(pair.b, pair.sent(pair.a), first)
    pair.deliver(pair.a, pair.sent(pair.b))
    assert pair.b.machine.peer_address(TUNNEL) == first
    pair.deliver(pair.b, [ping(pair)], second)
    assert sent_to(pair.b, pair.now) == {second}
    assert pair.b.events(PeerMoved) == [PeerMoved(TUNNEL, second)]


def test_a_commit_from_elsewhere_moves_the_peer_and_needs_no_other() -> None:
    pair = Pair()
    pair.handshake()
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a), ELSEWHERE)
    pair.deliver(pair.a, pair.sent(pair.b), STRANGER)
    pair.deliver(pair.b, pair.sent(pair.a), ELSEWHERE)
    assert pair.b.events(PeerMoved) == [PeerMoved(TUNNEL, ELSEWHERE, keyed=True)]
    pair.deliver(pair.a, pair.sent(pair.b), STRANGER)
    assert pair.a.events(PeerMoved) == [PeerMoved(TUNNEL, STRANGER, keyed=True)]


def test_newest_message_moves_the_peer_and_an_older_one_does_not() -> None:
    pair = Pair()
    pair.handshake()
    first, second, third = ping(pair), ping(pair), ping(pair)
    pair.deliver(pair.b, [second], ELSEWHERE)
    assert pair.b.machine.peer_address(TUNNEL) == ELSEWHERE
    assert pair.b.log[-1] == PeerMoved(TUNNEL, ELSEWHERE)
    pair.deliver(pair.b, [first], STRANGER)
    assert pair.b.machine.peer_address(TUNNEL) == ELSEWHERE
    pair.deliver(pair.b, [second], STRANGER)
    assert pair.b.machine.peer_address(TUNNEL) == ELSEWHERE
    pair.deliver(pair.b, [third], INITIATOR_ADDRESS)
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS


def test_previous_session_moves_nobody() -> None:
    pair = Pair()
    pair.handshake()
    late = ping(pair)
    pair.handshake()
    pair.deliver(pair.b, [late], STRANGER)
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS


def test_initiation_response_and_repeats_move_nobody() -> None:
    pair = Pair()
    messages = pair.messages()
    pair.deliver(pair.b, [*messages.m1, *messages.m3], STRANGER)
    pair.deliver(pair.a, [*messages.m2, *messages.m4], STRANGER)
    assert pair.a.machine.peer_address(TUNNEL) == RESPONDER_ADDRESS
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS


def test_two_epochs_back_is_forgotten() -> None:
    pair = Pair()
    pair.handshake()
    late = ping(pair)
    pair.handshake()
    pair.handshake()
    pair.deliver(pair.b, [late])
    assert pair.b.machine.dropped() == {"unknown session": 1}
    assert len(pair.b.machine._core.holders) == 2


@pytest.mark.parametrize(
    "message",
    [
        InForce(1, echo=True),
        InForce(2**64 - 1, echo=False),
        RotateRequest(RotateReason.PLANE_LOST),
        Close(CloseReason.REMOVED),
    ],
)
def test_control_messages_arrive_once(message: ControlMessage) -> None:
    pair = Pair()
    pair.handshake()
    for source, target in ((pair.a, pair.b), (pair.b, pair.a)):
        source.machine.send_control(TUNNEL, message)
        sent = pair.sent(source)
        pair.deliver(target, sent * 3)
        assert target.events(ControlReceived) == [ControlReceived(TUNNEL, 1, message)]


def test_nothing_is_sent_before_there_is_a_session() -> None:
    pair = Pair()
    assert not pair.a.machine.send_control(TUNNEL, Ping(1))
    assert not pair.b.machine.send_control(TUNNEL, Ping(1))


def test_quiet_peer_is_pinged_and_its_answer_calms() -> None:
    pair = Pair()
    pair.handshake()
    for _ in range(5):
        pair.advance(limits.PING_INTERVAL)
        sent = pair.sent(pair.a)
        assert [kind_of(d) for d in sent] == [Type.CONTROL]
        pair.deliver(pair.b, sent)
        pair.deliver(pair.a, pair.sent(pair.b))
    assert not pair.a.events(PeerSilent)
    assert not pair.b.events(PeerSilent)


def test_dead_peer_is_reported_once_and_pinged_ever_after() -> None:
    pair = Pair()
    pair.handshake()
    start = pair.now
    while not pair.a.events(PeerSilent):
        due = pair.a.machine.get_timer()
        assert due is not None
        pair.now = due
        pair.a.machine.handle_timer(now=due)
        pair.a.drive(due)
    assert pair.now - start == pytest.approx(
        limits.PING_INTERVAL + limits.PING_ATTEMPTS * limits.PING_RETRY
    )
    pair.sent(pair.a)
    pair.advance(10 * limits.PING_INTERVAL)
    assert len(pair.a.events(PeerSilent)) == 1
    pings = pair.sent(pair.a)
    assert len(pings) == 10
    pair.deliver(pair.b, pings[-1:])
    pair.deliver(pair.a, pair.sent(pair.b))
    pair.advance(10 * limits.PING_INTERVAL)
    assert len(pair.a.events(PeerSilent)) == 2


def test_responder_reports_an_initiator_that_stopped_pinging() -> None:
    pair = Pair()
    pair.handshake()
    pair.advance(limits.SILENCE - 0.1)
    assert not pair.b.events(PeerSilent)
    pair.advance(0.2)
    assert pair.b.events(PeerSilent) == [PeerSilent(TUNNEL)]
    for _ in range(10):
        pair.advance(limits.PING_INTERVAL)
    pings = pair.sent(pair.b)  # should this end have moved, the peer learns it
    assert [kind_of(datagram) for datagram in pings] == [Type.CONTROL] * 5
    pair.deliver(pair.a, pings, ELSEWHERE)
    assert pair.a.machine.peer_address(TUNNEL) == ELSEWHERE
    pair.deliver(pair.b, pair.sent(pair.a))
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS
    pair.advance(limits.SILENCE + 100)
    assert len(pair.b.events(PeerSilent)) == 2
