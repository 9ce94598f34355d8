"""Whatever is done to a datagram on its way, nobody answers it and nothing changes."""

from collections.abc import Callable, Iterator

import pytest

from gateway.handshake.cookies import LoadMeter
from gateway.wire.control import Ping
from gateway.wire.header import HEADER_SIZE, Type
from tests.unit.handshake.pair import TUNNEL, End, Pair
from tests.unit.handshake.strangers import remake_mac1, remake_macs

REASONS = frozenset(
    {
        "authentication",
        "control",
        "cookie",
        "duplicate",
        "ephemeral",
        "exhausted",
        "fragment",
        "mac1",
        "marker",
        "oversized",
        "pace",
        "payload",
        "replayed",
        "size",
        "stale",
        "symmetric",
        "truncated",
        "type",
        "unexpected",
        "unknown peer",
        "unknown session",
        "version",
    }
)
"""All that docs/protocol.md, section 9, lists."""


def state_of(end: End) -> tuple[object, ...]:
    """Return all of a machine's state that a forged datagram could change."""
    core = end.machine._core
    tunnel = core.tunnels[TUNNEL]
    handshake = tunnel.handshake
    return (
        dict(core.holders),
        core.timers.next(),
        len(core.timers),
        tunnel.address,
        tunnel.committed,
        tunnel.chains,
        tunnel.handshake,
        handshake.state if handshake else None,
        handshake.address if handshake else None,
        {key: value.state for key, value in tunnel.pending.items()},
        tunnel.current,
        tunnel.previous,
        tunnel.cookie,
        tunnel.heard,
        len(end.machine._responder._remembered),
    )


def assert_ignored(end: End, pair: Pair, forged: list[bytes]) -> None:
    """Insist that forged datagrams are dropped by name, unanswered, without effect."""
    before, dropped = state_of(end), end.machine.dropped()
    log = len(end.log)
    pair.deliver(end, forged)
    assert pair.sent(end) == []
    assert state_of(end) == before
    news = {
        reason: count - dropped.get(reason, 0)
        for reason, count in end.machine.dropped().items()
    }
    assert sum(news.values()) >= 1
    assert news.keys() <= REASONS
    assert len(end.log) - log == sum(news.values())


def step(pair: Pair, number: int) -> tuple[End, list[bytes]]:
    """Go to where M`number` of the next epoch has been sent, not yet received."""
    pair.start()
    m1 = pair.sent(pair.a)
    if number == 1:
        return pair.b, m1
    pair.deliver(pair.b, m1)
    m2 = pair.sent(pair.b)
    if number == 2:
        return pair.a, m2
    pair.deliver(pair.a, m2)
    m3 = pair.sent(pair.a)
    if number == 3:
        return pair.b, m3
    pair.deliver(pair.b, m3)
    return pair.a, pair.sent(pair.b)


def finish(pair: Pair, end: End, honest: list[bytes]) -> None:
    """Deliver what is honest, and insist that the epoch completes."""
    pair.deliver(end, honest)
    pair.pump()
    pair.assert_agreed(pair.epoch)


def truncations(datagram: bytes) -> Iterator[bytes]:
    """Yield every proper prefix."""
    for size in range(len(datagram)):
        yield datagram[:size]


def bit_flips(datagram: bytes) -> Iterator[bytes]:
    """Yield the datagram with each bit flipped, except in mac2 of M1.

    Without load nobody looks at mac2; test_floods.py tells of it under load.
    """
    end = len(datagram) - (16 if datagram[5] == Type.INITIATION else 0)
    for position in range(8 * end):
        changed = bytearray(datagram)
        changed[position // 8] ^= 1 << position % 8
        yield bytes(changed)


def extensions(datagram: bytes) -> Iterator[bytes]:
    """Yield the datagram with up to 40 bytes more."""
    for size in range(1, 40):
        yield datagram + bytes(size)


@pytest.mark.parametrize("suite_id", [1, 2])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("change", [truncations, bit_flips, extensions])
def test_changed_datagram_is_dropped(
    suite_id: int, number: int, change: Callable[[bytes], Iterator[bytes]]
) -> None:
    pair = Pair(suite_id, keys=4)
    pair.handshake()
    end, honest = step(pair, number)
    for datagram in honest:
        for forged in change(datagram):
            end.machine.receive_datagram(forged, ("192.0.2.1", 51810), now=pair.now)
    end.drive(pair.now)
    assert pair.sent(end) == []
    assert set(end.machine.dropped()) <= REASONS
    # Comparing all state after each of 25,000 bits takes too long.
    for datagram in honest:
        for index, forged in enumerate(change(datagram)):
            if index % 97 == 0:
                assert_ignored(end, pair, [forged])
    finish(pair, end, honest)


@pytest.mark.parametrize(("suite_id", "stride"), [(1, 1), (2, 23)])
@pytest.mark.parametrize("number", [1, 2])
def test_every_byte_changed_by_one_who_makes_the_macs_right(
    suite_id: int, stride: int, number: int
) -> None:
    """mac1 is keyed with what everybody knows: what is inside must hold by itself."""
    pair = Pair(suite_id, keys=4)
    pair.handshake()
    end, honest = step(pair, number)
    macs = 32 if number == 1 else 16
    for place, datagram in enumerate(honest):
        for position in range(HEADER_SIZE, len(datagram) - macs, stride):
            pair.b.machine._responder._admission._load = LoadMeter()  # no cookies here
            changed = bytearray(datagram)
            changed[position] ^= 1 << position % 8
            if number == 1:
                forged = remake_macs(bytes(changed), pair.london.public)
            else:
                forged = remake_mac1(bytes(changed), pair.paris.public)
            if number == 2 and place == len(honest) - 1:
                in_last_tag = position >= len(datagram) - macs - 16
                if in_last_tag:
                    continue  # test_last_tag_of_response tells of these
            assert_ignored(end, pair, [*honest[:place], forged, *honest[place + 1 :]])
    finish(pair, end, honest)


def test_last_tag_of_response_fails_without_losing_the_qkd_key() -> None:
    """M2's payload is authentic by then, and the key consumed: it is kept and used."""
    pair = Pair(keys=4)
    end, honest = step(pair, 2)
    for position in range(17, 33):
        changed = bytearray(honest[-1])
        changed[-position] ^= 1
        forged = remake_mac1(bytes(changed), pair.paris.public)
        pair.deliver(end, [*honest[:-1], forged])
        assert pair.sent(end) == []
    assert end.machine.dropped() == {"symmetric": 16}
    assert len(end.consumed) == 1
    finish(pair, end, honest)
    assert end.consumed == pair.b.consumed == [pair.a.committed[1].key_id]


@pytest.mark.parametrize("number", [1, 2])
def test_forged_header_with_right_macs_does_not_hold_up_the_honest(number: int) -> None:
    """Another count or index starts a reassembly of its own, or none at all."""
    pair = Pair()
    pair.handshake()
    end, honest = step(pair, number)
    for position in range(HEADER_SIZE):
        for bit in range(8):
            changed = bytearray(honest[0])
            changed[position] ^= 1 << bit
            if number == 1:
                forged = remake_macs(bytes(changed), pair.london.public)
            else:
                forged = remake_mac1(bytes(changed), pair.paris.public)
            if 0 < changed[6] < changed[7] == len(honest):
                continue  # the same message with a wrong body: the test above
            before = state_of(end)
            pair.deliver(end, [forged])
            assert pair.sent(end) == []
            assert state_of(end) == before
    finish(pair, end, honest)


@pytest.mark.parametrize("sender", ["a", "b"])
@pytest.mark.parametrize("change", [truncations, bit_flips])
def test_changed_control_datagram_is_dropped(
    sender: str, change: Callable[[bytes], Iterator[bytes]]
) -> None:
    pair = Pair()
    pair.handshake()
    source, target = (pair.a, pair.b) if sender == "a" else (pair.b, pair.a)
    assert source.machine.send_control(TUNNEL, Ping(7))
    (datagram,) = pair.sent(source)
    for forged in change(datagram):
        assert_ignored(target, pair, [forged])
    pair.deliver(target, [datagram])
    assert len(pair.sent(target)) == 1


@pytest.mark.parametrize("change", [truncations, bit_flips])
def test_changed_cookie_is_dropped(
    change: Callable[[bytes], Iterator[bytes]],
) -> None:
    pair = Pair()
    pair.b.machine._responder._admission._load._until = pair.now + 1
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    (reply,) = pair.sent(pair.b)
    for forged in change(reply):
        assert_ignored(pair.a, pair, [forged])
    finish(pair, pair.a, [reply])


@pytest.mark.parametrize("size", [*range(70), 575, 576, 1231, 1232, 1452, 1453, 9000])
@pytest.mark.parametrize("kind", range(8))
def test_every_size_of_every_type_is_dropped(size: int, kind: int) -> None:
    pair = Pair()
    pair.handshake()
    for end in (pair.a, pair.b):
        session = end.machine._core.tunnels[TUNNEL].current
        assert session is not None
        head = bytes([0, 0, 0, 0, 1, kind, 0, 1]) + session.local_id
        assert_ignored(end, pair, [(head + bytes(size))[:size]])
