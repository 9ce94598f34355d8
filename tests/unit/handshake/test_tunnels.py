"""What a driver may ask of the machine, and what it is told it may not."""

from dataclasses import replace

import pytest

from gateway.errors import ProtocolError
from gateway.handshake.events import HandshakeFailed, InitiationReceived, PeerSilent
from gateway.handshake.limits import MAX_CONTROL_DATAGRAMS, SILENCE
from gateway.handshake.timers import TimerQueue
from gateway.wire.control import Ping
from tests.unit.handshake.pair import (
    RESPONDER_ADDRESS,
    TUNNEL,
    Pair,
    identity,
    parameters,
)
from tests.unit.handshake.test_tampering import step


def test_tunnels_that_cannot_be_are_refused() -> None:
    pair = Pair()
    paris, london = pair.paris, pair.london
    for wrong, says in (
        (pair.a_parameters, "there already"),
        (
            parameters(paris, identity("responder", 2), initiator=True, name="x"),
            "suite",
        ),
        (parameters(paris, paris, initiator=True, name="x"), "our own"),
    ):
        with pytest.raises(ValueError, match=says):
            pair.a.machine.add_tunnel(wrong)
    other = parameters(paris, identity("third"), initiator=True)
    turned = replace(pair.a_parameters, initiator=False)
    moved = parameters(identity("third"), london, initiator=True)
    for wrong in (other, turned, moved):
        with pytest.raises(ValueError, match="cannot change"):
            pair.a.machine.update_tunnel(wrong)
    pair.handshake()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_tunnel_removed_at_any_time_leaves_nothing_behind(number: int) -> None:
    pair = Pair()
    pair.handshake()
    end, sent = step(pair, number)
    for side in (pair.a, pair.b):
        side.machine.remove_tunnel(TUNNEL)
        core = side.machine._core
        assert not core.holders
        assert not core.tunnels
        assert not core.identities
        assert core.timers.next() is None
    pair.deliver(end, sent)
    assert pair.sent(end) == []


def test_two_tunnels_between_the_same_two_gateways_do_not_mix() -> None:
    pair = Pair()
    for end, local, peer, initiator in (
        (pair.a, pair.paris, pair.london, True),
        (pair.b, pair.london, pair.paris, False),
    ):
        end.machine.add_tunnel(
            parameters(local, peer, initiator=initiator, name="second")
        )
    pair.handshake()
    pair.a.machine.start_handshake(
        "second",
        epoch=1,
        key_ids=[],
        plane_offer=b"x",
        address=RESPONDER_ADDRESS,
        now=pair.now,
    )
    first = pair.a.committed.pop(1)
    pair.pump()
    assert pair.a.committed[1].keys == pair.b.committed[1].keys
    assert pair.a.committed[1].keys.esp_i2r != first.keys.esp_i2r
    pair.a.machine.remove_tunnel(TUNNEL)
    pair.b.machine.remove_tunnel(TUNNEL)
    assert pair.b.machine.committed("second") == 1
    assert pair.a.machine.send_control("second", Ping(1))
    pair.pump()
    assert not pair.b.machine.dropped()


def test_driver_may_answer_once_only() -> None:
    pair = Pair()
    pair.b.driven = False
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    (event,) = pair.b.events(InitiationReceived)
    assert isinstance(event, InitiationReceived)
    for _ in range(3):
        pair.b.machine.accept_initiation(event.handshake, plane_offer=b"x")
    assert len(pair.sent(pair.b)) == 2
    pair.b.machine.abort(event.handshake, "stop")
    pair.b.drive(pair.now)
    assert isinstance(pair.b.log[-1], HandshakeFailed)
    pair.b.machine.accept_initiation(event.handshake, plane_offer=b"x")
    assert pair.sent(pair.b) == []


def test_key_that_has_sealed_all_it_may_seals_no_more() -> None:
    pair = Pair()
    pair.handshake()
    session = pair.a.machine._core.tunnels[TUNNEL].current
    assert session is not None
    session._next = MAX_CONTROL_DATAGRAMS
    with pytest.raises(ProtocolError, match="exhausted"):
        session.seal(Ping(1))
    assert not pair.a.machine.send_control(TUNNEL, Ping(1))
    assert pair.sent(pair.a) == []
    pair.b.machine.send_control(TUNNEL, Ping(1))
    pair.deliver(pair.a, pair.sent(pair.b))
    assert pair.a.machine.dropped() == {"exhausted": 1}


@pytest.mark.parametrize("which", ["a", "b"])
def test_quiet_peer_is_reported_by_a_key_that_seals_no_more(which: str) -> None:
    pair = Pair()
    pair.handshake()
    end = pair.a if which == "a" else pair.b
    session = end.machine._core.tunnels[TUNNEL].current
    assert session is not None
    session._next = MAX_CONTROL_DATAGRAMS
    for _ in range(12):
        pair.advance(SILENCE)
    assert end.events(PeerSilent)
    pair.epoch += 1
    pair.handshake()
    assert end.machine.send_control(TUNNEL, Ping(1))


def test_timer_moved_ten_thousand_times_keeps_a_small_heap() -> None:
    queue: TimerQueue[str] = TimerQueue()
    queue.set("other", 5.0)
    for number in range(10_000):
        queue.set("key", float(number))
        assert len(queue._heap) <= 2 * 2 + 64 + 1
    assert list(queue.pop_due(1e9)) == ["other", "key"]
