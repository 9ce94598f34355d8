"""Datagrams that are genuine, but come again, come back, or come to the wrong place."""

from itertools import permutations

import pytest

from gateway.handshake.events import CommitReceived, InitiationReceived
from gateway.wire.control import Ping
from gateway.wire.header import ID_SIZE
from tests.unit.handshake.pair import STRANGER, TUNNEL, Pair
from tests.unit.handshake.strangers import remake_mac1, remake_macs
from tests.unit.handshake.test_tampering import assert_ignored, state_of, step


def test_everything_ever_sent_comes_again_and_changes_nothing() -> None:
    pair = Pair(keys=6)
    to_a: list[bytes] = []
    to_b: list[bytes] = []
    for _ in range(3):
        messages = pair.messages()
        to_a += [*messages.m2, *messages.m4]
        to_b += [*messages.m1, *messages.m3]
        pair.a.machine.send_control(TUNNEL, Ping(1))
        ping = pair.sent(pair.a)
        pair.deliver(pair.b, ping)
        pong = pair.sent(pair.b)
        pair.deliver(pair.a, pong)
        to_b += ping
        to_a += pong
    for end, datagrams in ((pair.a, to_a), (pair.b, to_b)):
        before = state_of(end)
        events = len(end.events(InitiationReceived)), len(end.events(CommitReceived))
        pair.deliver(end, datagrams, STRANGER)
        assert state_of(end) == before
        assert events == (
            len(end.events(InitiationReceived)),
            len(end.events(CommitReceived)),
        )
    # Of all that, only M3 of the two sessions held is answered, with the same M4.
    assert pair.sent(pair.a) == []
    assert all(datagram in to_a for datagram in pair.sent(pair.b))
    pair.handshake()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_own_datagrams_sent_back_are_dropped(number: int) -> None:
    pair = Pair(keys=3)
    pair.handshake()
    end, sent = step(pair, number)
    sender = pair.a if end is pair.b else pair.b
    assert_ignored(sender, pair, sent)
    pair.deliver(end, sent)
    pair.pump()
    pair.assert_agreed(2)


@pytest.mark.parametrize("number", [1, 2])
def test_own_datagrams_sent_back_with_right_macs_are_dropped(number: int) -> None:
    pair = Pair()
    end, sent = step(pair, number)
    sender = pair.a if end is pair.b else pair.b
    if number == 1:
        forged = [remake_macs(data, pair.paris.public) for data in sent]
    else:
        forged = [remake_mac1(data, pair.london.public) for data in sent]
    assert_ignored(sender, pair, forged)
    pair.deliver(end, sent)
    pair.pump()
    pair.assert_agreed(1)


def test_own_control_datagram_sent_back_is_dropped() -> None:
    pair = Pair()
    pair.handshake()
    pair.a.machine.send_control(TUNNEL, Ping(1))
    (ping,) = pair.sent(pair.a)
    session = pair.a.machine._core.tunnels[TUNNEL].current
    assert session is not None
    for ident in (ping[8:16], session.local_id):
        assert_ignored(pair.a, pair, [ping[:8] + ident + ping[16:]])


def test_control_datagram_cannot_move_between_sessions() -> None:
    pair = Pair()
    pair.handshake()
    pair.a.machine.send_control(TUNNEL, Ping(1))
    (old,) = pair.sent(pair.a)
    pair.handshake()
    session = pair.b.machine._core.tunnels[TUNNEL].current
    assert session is not None
    assert_ignored(pair.b, pair, [old[:8] + session.local_id + old[16:]])
    pair.deliver(pair.b, [old])
    assert len(pair.sent(pair.b)) == 1


@pytest.mark.parametrize("number", [2, 3, 4])
def test_messages_cannot_move_between_handshakes(number: int) -> None:
    """The same identities, another handshake: taken out of one, put into the other."""
    first, second = Pair(seed="first"), Pair(seed="second")
    end, honest = step(first, number)
    _, other = step(second, number)
    spliced = [data[:8] + honest[0][8:16] + data[16:] for data in other]
    if number == 2:
        spliced = [remake_mac1(data, first.paris.public) for data in spliced]
    assert_ignored(end, first, spliced)
    first.deliver(end, honest)
    first.pump()
    first.assert_agreed(1)


def test_fragments_of_two_handshakes_do_not_mix() -> None:
    pair = Pair()
    _, first = step(pair, 1)
    pair.start()
    second = pair.sent(pair.a)
    moved = remake_macs(
        first[0][:8] + second[0][8 : 8 + ID_SIZE] + first[0][16:], pair.london.public
    )
    assert_ignored(pair.b, pair, [moved, *second[1:]])
    pair.deliver(pair.b, second)
    pair.pump()
    pair.assert_agreed(2)


@pytest.mark.parametrize("suite_id", [1, 2])
@pytest.mark.parametrize("number", [1, 2])
def test_fragments_arrive_in_any_order_and_twice(suite_id: int, number: int) -> None:
    for order in permutations(range(3)):
        pair = Pair(suite_id)
        end, honest = step(pair, number)
        count = len(honest)
        shuffled = [honest[index % count] for index in order]
        pair.deliver(end, [d for datagram in shuffled for d in (datagram, datagram)])
        pair.pump()
        pair.assert_agreed(1)


@pytest.mark.parametrize("number", [1, 2])
def test_fragment_that_is_missing_is_waited_for_until_it_is_sent_again(
    number: int,
) -> None:
    for missing in range(2):
        pair = Pair()
        end, honest = step(pair, number)
        pair.deliver(end, [d for i, d in enumerate(honest) if i != missing])
        assert pair.sent(end) == []
        pair.deliver(end, [honest[missing]])
        pair.pump()
        pair.assert_agreed(1)


def test_first_copy_of_a_fragment_counts_and_a_later_message_heals() -> None:
    pair = Pair()
    end, honest = step(pair, 1)
    changed = bytearray(honest[0])
    changed[100] ^= 1
    forged = remake_macs(bytes(changed), pair.london.public)
    pair.deliver(end, [forged, *honest])
    assert pair.sent(end) == []
    assert end.machine.dropped() == {"authentication": 1}
    pair.deliver(end, honest)
    pair.pump()
    pair.assert_agreed(1)


def test_message_that_grows_too_large_is_dropped_whole() -> None:
    pair = Pair()
    pair.start()
    m1 = pair.sent(pair.a)
    for index in range(4):
        head = m1[0][:6] + bytes([index, 8]) + m1[0][8:16]
        data = remake_macs(head + bytes(1300) + bytes(32), pair.london.public)
        pair.deliver(pair.b, [data])
    assert pair.b.machine.dropped() == {"oversized": 1}
    assert len(pair.b.machine._core.initiations) == 0
    pair.deliver(pair.b, m1)
    pair.pump()
    pair.assert_agreed(1)
