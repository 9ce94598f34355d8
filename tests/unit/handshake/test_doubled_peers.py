"""Two machines with one identity are told from one that moves or is set back."""

import pytest

from gateway.handshake import limits
from gateway.handshake.events import Address, PeerDoubled
from gateway.handshake.machine import Machine
from gateway.wire.control import Ping
from tests.unit.handshake.pair import (
    INITIATOR_ADDRESS,
    TUNNEL,
    End,
    Pair,
    remote_of,
    seeded_random,
)

ELSEWHERE = ("192.0.2.99", 4500)
LATER = limits.DOUBLE_GRACE + 1.0


def twin_of(pair: Pair, committed: int = 0) -> End:
    """Return another machine with the initiator's identity."""
    machine = Machine(random=seeded_random("twin"), remote_of=remote_of)
    machine.add_tunnel(pair.a_parameters, committed=committed)
    return End(machine, ELSEWHERE)


def handshake(pair: Pair, by: End, epoch: int, *, source: Address = None) -> None:
    """Complete an epoch between a machine and the responder."""
    by.machine.start_handshake(
        TUNNEL,
        epoch=epoch,
        key_ids=[],
        plane_offer=b"initiator",
        address=pair.b.address,
        now=pair.now,
    )
    for _ in range(4):
        pair.deliver(pair.b, pair.sent(by), by.address if source is None else source)
        pair.deliver(by, pair.sent(pair.b), pair.b.address)


def speak(pair: Pair, by: End, source: Address = None) -> None:
    """Send a ping, and take the answer."""
    assert by.machine.send_control(TUNNEL, Ping(1))
    pair.deliver(pair.b, pair.sent(by), by.address if source is None else source)
    pair.deliver(by, pair.sent(pair.b), pair.b.address)


def doubled(pair: Pair) -> list[PeerDoubled]:
    return [one for one in pair.b.log if isinstance(one, PeerDoubled)]


def test_two_machines_are_seen_once_for_each_session() -> None:
    pair = Pair()
    twin = twin_of(pair)
    for turn in range(3):
        handshake(pair, pair.a, 2 * turn + 1)
        speak(pair, pair.a)
        pair.now += LATER
        if turn:
            speak(pair, twin)
        handshake(pair, twin, 2 * turn + 2)
        speak(pair, twin)
        pair.now += LATER
        for _ in range(3):
            speak(pair, pair.a)
    seen = doubled(pair)
    assert len(seen) == 5
    assert seen[0] == PeerDoubled(TUNNEL, ELSEWHERE, INITIATOR_ADDRESS)
    assert seen[1] == PeerDoubled(TUNNEL, INITIATOR_ADDRESS, ELSEWHERE)


def test_what_was_on_its_way_is_nobody_else() -> None:
    pair = Pair()
    pair.handshake()
    speak(pair, pair.a)
    assert pair.a.machine.send_control(TUNNEL, Ping(7))
    late = pair.sent(pair.a)
    pair.handshake()
    speak(pair, pair.a, ELSEWHERE)
    pair.now += limits.DOUBLE_GRACE - 0.1
    pair.deliver(pair.b, late, INITIATOR_ADDRESS)
    assert doubled(pair) == []


@pytest.mark.parametrize("times", [1, 5])
def test_a_peer_that_moves_is_one(times: int) -> None:
    pair = Pair()
    for turn in range(times):
        handshake(pair, pair.a, 2 * turn + 1)
        pair.now += LATER
        speak(pair, pair.a, ELSEWHERE)
        pair.now += LATER
        handshake(pair, pair.a, 2 * turn + 2, source=ELSEWHERE)
        pair.now += LATER
        speak(pair, pair.a)
    assert doubled(pair) == []


def test_a_peer_that_restarts_elsewhere_or_is_set_back_is_one() -> None:
    pair = Pair()
    for epoch in (1, 2, 3):
        handshake(pair, pair.a, epoch)
        speak(pair, pair.a)
        pair.now += LATER
    restored = twin_of(pair, committed=1)
    for epoch in (4, 5, 6):
        handshake(pair, restored, epoch)
        speak(pair, restored)
        pair.now += LATER
        speak(pair, restored)
    assert doubled(pair) == []


def test_an_initiator_that_has_no_m4_yet_is_one() -> None:
    """It goes on under the session before, and may be heard from elsewhere."""
    pair = Pair()
    handshake(pair, pair.a, 1)
    speak(pair, pair.a)
    pair.a.machine.start_handshake(
        TUNNEL,
        epoch=2,
        key_ids=[],
        plane_offer=b"initiator",
        address=pair.b.address,
        now=pair.now,
    )
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b))
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.sent(pair.b)  # M4, lost
    for _ in range(5):
        pair.now += LATER
        speak(pair, pair.a, ELSEWHERE)
    assert doubled(pair) == []
