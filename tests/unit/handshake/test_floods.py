"""What strangers can cost us: memory, answers, and the place of the honest."""

import os
import tracemalloc

import pytest

from gateway.handshake import limits
from gateway.handshake.events import CommitReceived, EpochCommitted, HandshakeFailed
from gateway.handshake.guard import CookieJar, make_mac2
from gateway.wire.fragments import MAX_ASSEMBLIES
from gateway.wire.header import (
    DEFAULT_MTU,
    MAX_FRAGMENTS,
    MAX_MTU,
    MIN_MTU,
    Type,
    encode_header,
)
from tests.unit.handshake.pair import (
    INITIATOR_ADDRESS,
    RESPONDER_ADDRESS,
    STRANGER,
    TUNNEL,
    Pair,
    kind_of,
    parameters,
    seeded_random,
)
from tests.unit.handshake.strangers import remake_macs, stranger_initiation

MTUS = [*range(MIN_MTU, MAX_MTU, 125), DEFAULT_MTU, MAX_MTU]


def spoofed(number: int) -> tuple[str, int]:
    """Return an address that a flooder wrote into a packet."""
    return f"203.0.113.{number % 256}", number


def one_fragment(pair: Pair, number: int) -> bytes:
    """Return the first of two fragments, with a mac1 that verifies."""
    head = encode_header(Type.INITIATION, number.to_bytes(8), 0, 2)
    return remake_macs(head + bytes(1000) + bytes(32), pair.london.public)


def test_flood_of_fragments_asks_for_cookies_and_stores_no_more() -> None:
    pair = Pair()
    initiations = pair.b.machine._core.initiations
    for number in range(5000):
        pair.deliver(pair.b, [one_fragment(pair, number)], spoofed(number))
    assert len(initiations) == limits.LOAD_ASSEMBLIES + 1
    replies = pair.sent(pair.b)
    assert {kind_of(reply) for reply in replies} == {Type.COOKIE_REPLY}
    assert len(replies) == 5000 - limits.LOAD_ASSEMBLIES - 1
    pair.start()
    m1 = pair.sent(pair.a)
    pair.deliver(pair.b, m1)
    (reply,) = pair.sent(pair.b)
    pair.deliver(pair.a, [reply])
    pair.pump()
    pair.assert_agreed(1)


def test_flood_of_whole_initiations_costs_a_bounded_number_of_decapsulations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LOAD_BURST", 20.0)
    pair = Pair()
    m1s = [stranger_initiation(pair, f"stranger {n}") for n in range(40)]
    for number, m1 in enumerate(m1s):
        pair.deliver(pair.b, m1, spoofed(number))
    dropped = pair.b.machine.dropped()
    assert dropped["unknown peer"] == 21
    assert dropped["cookie"] == sum(len(m1) for m1 in m1s[21:])
    assert {kind_of(d) for d in pair.sent(pair.b)} == {Type.COOKIE_REPLY}
    pair.start()
    pair.pump()
    pair.assert_agreed(1)
    pair.now += limits.LOAD_HOLD + 0.1
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    assert {kind_of(d) for d in pair.sent(pair.b)} == {Type.RESPONSE}


def test_cookie_of_another_address_does_not_help() -> None:
    pair = Pair()
    pair.b.machine._responder._admission._load._until = pair.now + 1
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b))
    with_cookie = pair.sent(pair.a)
    pair.deliver(pair.b, with_cookie, STRANGER)
    assert len(pair.b.machine._core.initiations) == 0
    assert {kind_of(d) for d in pair.sent(pair.b)} == {Type.COOKIE_REPLY}
    for position in range(1, 17):
        for bit in range(8):
            changed = bytearray(with_cookie[0])
            changed[-position] ^= 1 << bit
            pair.deliver(pair.b, [bytes(changed)])
    assert len(pair.b.machine._core.initiations) == 0
    pair.sent(pair.b)
    pair.deliver(pair.b, with_cookie)
    pair.pump()
    pair.assert_agreed(1)


def test_cookie_serves_for_its_lifetime_and_not_much_longer() -> None:
    jar = CookieJar(seeded_random("jar"))
    born = 50.0
    cookie = jar.cookie_for("a", now=born)
    assert jar.cookie_for("b", now=born) != cookie

    def valid(now: float) -> bool:

        return jar.verify("a", b"data", make_mac2(cookie, b"data"), now=now)

    for age in range(int(2 * limits.COOKIE_LIFETIME)):
        assert valid(born + age)
    assert not valid(born + 2 * limits.COOKIE_LIFETIME)


@pytest.mark.parametrize("idle", [0.0, 1.0, 60.0, 119.0, 119.9])
def test_cookie_always_outlives_its_use(idle: float) -> None:
    """However the secrets rotate, an initiator stops using a cookie in time."""
    jar = CookieJar(seeded_random("jar"))
    jar.cookie_for("a", now=0.0)
    cookie = jar.cookie_for("a", now=idle)

    mac2 = make_mac2(cookie, b"data")
    assert jar.verify("a", b"data", mac2, now=idle + limits.COOKIE_USE)


@pytest.mark.parametrize("suite_id", [1, 2])
@pytest.mark.parametrize("mtu", MTUS)
def test_response_is_never_larger_than_the_initiation(suite_id: int, mtu: int) -> None:
    for responder_mtu in MTUS:
        pair = Pair(suite_id, mtu=mtu, responder_mtu=responder_mtu)
        pair.start()
        m1 = pair.sent(pair.a)
        assert len(m1) <= MAX_FRAGMENTS
        assert max(map(len, m1)) <= mtu
        pair.deliver(pair.b, m1)
        m2 = pair.sent(pair.b)
        assert max(map(len, m2)) <= responder_mtu
        assert 0 < sum(map(len, m2)) <= sum(map(len, m1))
        pair.deliver(pair.b, m1)
        assert pair.sent(pair.b) == m2


def test_no_datagram_is_answered_with_more_than_it_holds() -> None:
    """Holds for each datagram of a whole conversation, repeated from elsewhere."""
    pair = Pair(keys=3)
    heard: list[bytes] = []
    for _ in range(3):
        messages = pair.messages()
        heard += [*messages.m1, *messages.m3]
    pair.start()
    heard += pair.sent(pair.a)[:-1]
    for datagram in heard:
        pair.deliver(pair.b, [datagram], STRANGER)
        assert sum(map(len, pair.sent(pair.b))) <= len(datagram)


def test_memory_of_reassembly_is_bounded() -> None:
    pair = Pair()
    initiations = pair.b.machine._core.initiations
    tracemalloc.start()
    for number in range(4 * MAX_ASSEMBLIES):
        for index in range(3):
            body = os.urandom(1300)
            initiations.add(number, index, 8, body, now=pair.now)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(initiations) == MAX_ASSEMBLIES
    assert size < MAX_ASSEMBLIES * 5000


def test_hundred_thousand_pieces_of_garbage_leave_nothing_behind() -> None:
    pair = Pair()
    pair.handshake()
    session = pair.b.machine._core.tunnels[TUNNEL].current
    assert session is not None
    garbage = [os.urandom(size) for size in (0, 15, 16, 40, 200, 1232)]
    for kind in range(1, 7):
        for ident in (session.local_id, bytes(8)):
            head = bytes([0, 0, 0, 0, 1, kind, 0, 1]) + ident
            garbage += [head + os.urandom(size) for size in (16, 48, 60, 1200)]
    machine = pair.b.machine
    rounds = 100_000 // len(garbage) + 1

    def pour(times: int) -> None:
        for _ in range(times):
            for number, datagram in enumerate(garbage):
                machine.receive_datagram(datagram, spoofed(number), now=pair.now)
            while machine.next_event() is not None:
                pass

    tracemalloc.start()
    pour(10)
    before, _ = tracemalloc.get_traced_memory()
    pour(rounds)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert machine.datagrams_to_send() == []
    assert sum(machine.dropped().values()) >= 100_000
    assert after - before < 20_000
    pair.handshake()


def test_events_a_driver_does_not_read_are_bounded() -> None:
    pair = Pair()
    for number in range(2 * limits.MAX_PENDING_EVENTS):
        pair.b.machine.receive_datagram(b"x", spoofed(number), now=pair.now)
    assert len(pair.b.machine._core.events) == limits.MAX_PENDING_EVENTS
    assert pair.b.machine.dropped() == {"truncated": 2 * limits.MAX_PENDING_EVENTS}


def test_half_open_handshakes_are_bounded_and_a_committing_one_stays() -> None:
    """Initiations pile up: the newest few wait, the one that has its M3 goes on."""
    pair = Pair(keys=8)
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    pair.deliver(pair.a, pair.sent(pair.b))
    m3 = pair.sent(pair.a)
    pair.b.driven = False
    pair.deliver(pair.b, m3)
    (commit,) = pair.b.events(CommitReceived)
    assert isinstance(commit, CommitReceived)
    recorded = []
    for number in range(3 * limits.MAX_HALF_OPEN):
        pair.a.machine.remove_tunnel(TUNNEL)
        pair.a.machine.add_tunnel(pair.a_parameters)
        pair.a.machine.start_handshake(
            TUNNEL,
            epoch=2 + number,
            key_ids=[],
            plane_offer=b"x",
            address=RESPONDER_ADDRESS,
            now=pair.now,
        )
        recorded.append([d for d, _ in pair.a.machine.datagrams_to_send()])
    for m1 in recorded:
        pair.deliver(pair.b, m1, STRANGER)
    core = pair.b.machine._core
    assert len(core.holders) == 1 + limits.MAX_HALF_OPEN
    superseded = pair.b.events(HandshakeFailed)
    assert len(superseded) == len(recorded) - limits.MAX_HALF_OPEN
    assert commit.handshake in core.holders
    pair.b.machine.confirm(commit.handshake, now=pair.now)
    assert pair.b.machine.committed(TUNNEL) == 1
    assert kind_of(pair.sent(pair.b)[-1]) is Type.COMMITTED


def test_half_open_handshake_expires_and_is_then_forgotten() -> None:
    pair = Pair()
    pair.start()
    m1 = pair.sent(pair.a)
    pair.deliver(pair.b, m1)
    pair.sent(pair.b)
    pair.now += limits.HALF_OPEN_TIMEOUT - 0.001
    pair.b.machine.handle_timer(now=pair.now)
    assert len(pair.b.machine._core.holders) == 1
    pair.now += 0.001
    pair.b.machine.handle_timer(now=pair.now)
    pair.b.drive(pair.now)
    (failed,) = pair.b.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "expired"
    assert not pair.b.machine._core.holders
    pair.deliver(pair.b, m1)
    assert pair.b.machine.dropped() == {"replayed": 1}
    assert pair.sent(pair.b) == []


def test_remembered_initiations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_INITIATIONS", 5)
    pair = Pair()
    for _ in range(12):
        pair.handshake()
    assert len(pair.b.machine._responder._remembered) == 5


def test_unknown_tunnels_of_one_peer_do_not_evict_a_real_handshake() -> None:
    pair = Pair()
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    m2 = pair.sent(pair.b)
    for number in range(3 * limits.MAX_HALF_OPEN):
        name = f"t{number}"
        pair.a.machine.add_tunnel(
            parameters(pair.paris, pair.london, initiator=True, name=name)
        )
        pair.a.machine.start_handshake(
            name,
            epoch=1,
            key_ids=[],
            plane_offer=b"x",
            address=RESPONDER_ADDRESS,
            now=pair.now,
        )
        pair.deliver(pair.b, pair.sent(pair.a))
    pair.sent(pair.b)
    pair.deliver(pair.a, m2)
    pair.pump()
    assert pair.a.events(EpochCommitted)
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS
