"""What strangers can cost us: memory, answers, and the place of the honest."""

import os
import tracemalloc

import pytest

from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake import limits, responder
from gateway.handshake.cookies import CookieJar, make_mac2
from gateway.handshake.events import (
    CommitReceived,
    ControlReceived,
    EpochCommitted,
    HandshakeFailed,
    InitiationRefused,
    PeerHasty,
    PeerMoved,
    UnknownPeer,
)
from gateway.wire.control import InForce, Ping
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
    assert len(replies) == limits.REPLY_BURST
    assert pair.b.machine.dropped() == {"cookie": 5000 - limits.LOAD_ASSEMBLIES - 1}
    pair.now += 0.01
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
    assert pair.b.machine.dropped() == {"replayed": len(m1)}
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


def test_a_peer_that_begins_epochs_without_pause_is_paced() -> None:
    """It had 1,277 in ten seconds, each with its KEMs, its write and its kernel."""
    pair = Pair()
    pair.handshake()
    start, begun = pair.now, 0
    while pair.now < start + 10:
        epoch = pair.b.machine.committed(TUNNEL) + 1
        pair.start(epoch=epoch)
        pair.pump()
        begun += 1
        pair.now += 1 / 128
    most = limits.PEER_BURST + 10 * limits.PEER_RATE
    assert begun == 1280
    assert most - 2 <= pair.b.machine.committed(TUNNEL) <= most
    assert pair.b.machine.dropped()["pace"] > begun
    hasty = pair.b.events(PeerHasty)
    assert 0 < len(hasty) <= 10 * limits.PEER_RATE + 1
    assert hasty[0] == PeerHasty(TUNNEL, INITIATOR_ADDRESS)
    # It is heard again once it is itself again, at the next M1 or the one after.
    pair.now += 10.0
    pair.start(epoch=pair.b.machine.committed(TUNNEL) + 1)
    pair.pump()
    pair.assert_agreed(pair.epoch)


def test_what_is_above_the_pace_costs_no_decapsulation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = Pair()
    pair.handshake()
    for _ in range(int(limits.PEER_BURST) + 5):
        pair.start(epoch=pair.epoch + 1)
        pair.pump()
    assert pair.b.machine._core.is_paused(INITIATOR_ADDRESS, now=pair.now)
    monkeypatch.setattr(responder, "consume_identity", None)
    for _ in range(50):
        pair.start(epoch=pair.epoch + 1)
        pair.deliver(pair.b, pair.sent(pair.a))


def test_an_address_that_somebody_else_writes_into_packets_is_not_paused() -> None:
    """A peer out of its mind cannot silence another by its address."""
    pair = Pair()
    pair.handshake()
    for _ in range(int(limits.PEER_BURST) + 5):
        pair.start(epoch=pair.epoch + 1)
        pair.deliver(pair.b, pair.sent(pair.a), STRANGER)
        pair.sent(pair.b)
    assert pair.b.events(PeerHasty)
    assert not pair.b.machine._core.is_paused(STRANGER, now=pair.now)
    pair.deliver(pair.b, stranger_initiation(pair, "who"), STRANGER)
    assert pair.b.events(UnknownPeer)
    assert not pair.b.machine._core.is_paused(STRANGER, now=pair.now)


def test_refusals_do_not_eat_what_a_peer_may_begin() -> None:
    """Old initiations that somebody recorded, replayed to a hub that was restarted."""
    pair = Pair()
    recorded = [pair.messages().m1 for _ in range(int(limits.PEER_BURST) + 9)]
    fresh = Pair()
    fresh.a.machine._core.new_id()
    fresh.b.machine.remove_tunnel(TUNNEL)
    fresh.b.machine.add_tunnel(fresh.b_parameters, committed=pair.epoch)
    for m1 in recorded:
        fresh.deliver(fresh.b, m1, STRANGER)
    assert len(fresh.b.events(InitiationRefused)) == limits.PEER_BURST
    fresh.sent(fresh.b)
    fresh.start(epoch=pair.epoch + 1)
    fresh.pump()
    fresh.assert_agreed(pair.epoch + 1)


def test_only_what_anybody_can_ask_for_is_a_reply_to_strangers() -> None:
    pair = Pair()
    messages = pair.messages()  # the peer is alive from now on
    machine = pair.b.machine
    machine._responder._admission._load._until = pair.now + 1
    pair.start()
    m1 = pair.sent(pair.a)
    for source, is_strange in ((STRANGER, True), (INITIATOR_ADDRESS, False)):
        pair.deliver(pair.b, [m1[0], *messages.m3], source)
        asked = [kind_of(data) for data, _ in machine.replies_to_strangers()]
        rest = [kind_of(data) for data, _ in machine.datagrams_to_send()]
        both = [Type.COOKIE_REPLY, Type.COMMITTED]
        assert (asked, rest) == ((both, []) if is_strange else ([], both))
    pair.now += limits.ALIVE + 0.1
    pair.deliver(pair.b, messages.m3)
    assert [to for _, to in machine.replies_to_strangers()] == [INITIATOR_ADDRESS]


def test_an_answer_is_repeated_a_few_times_only() -> None:
    pair = Pair()
    messages = pair.messages()
    pair.start()
    m1 = pair.sent(pair.a)
    pair.deliver(pair.b, m1)
    m2 = pair.sent(pair.b)
    for number in range(limits.MAX_ANSWERS + 4):
        pair.deliver(pair.b, [*m1, *messages.m3], spoofed(number))
    again = [kind_of(data) for data in pair.sent(pair.b)]
    assert again.count(Type.COMMITTED) == limits.MAX_ANSWERS
    assert again.count(Type.RESPONSE) == limits.MAX_ANSWERS * len(m2)


def test_peers_get_their_cookie_whatever_strangers_ask_for() -> None:
    """The address of one of them, in many packets, costs the others nothing."""
    pair = Pair()
    pair.handshake()
    machine = pair.b.machine
    for number in range(3000):
        pair.deliver(pair.b, [one_fragment(pair, number)], spoofed(number))
    assert len(machine.replies_to_strangers()) == limits.REPLY_BURST
    pair.start()
    pair.pump()
    pair.assert_agreed(2)
    pair.now += 0.5
    for number in range(3000):
        pair.deliver(pair.b, [one_fragment(pair, number)], INITIATOR_ADDRESS)
    assert len(pair.sent(pair.b)) <= limits.PEER_REPLIES


def test_guests_with_cookies_are_read_at_a_pace() -> None:
    pair = Pair()
    machine = pair.b.machine
    admission = machine._responder._admission
    for number in range(int(limits.GUEST_BURST) + 50):
        admission._load._until = pair.now + 1
        address = spoofed(number)
        m1 = stranger_initiation(pair, f"guest {number % 7}")
        cookie = admission._cookies.cookie_for(address, now=pair.now)
        shown = [d[:-MAC_SIZE] + make_mac2(cookie, d[:-MAC_SIZE]) for d in m1]
        pair.deliver(pair.b, shown, address)
    dropped = machine.dropped()
    assert dropped["unknown peer"] == limits.GUEST_BURST
    assert dropped["pace"] >= 50
    assert len(machine._core._paused) <= limits.MAX_PAUSED


def test_a_peer_that_talks_without_pause_is_paced() -> None:
    pair = Pair()
    pair.handshake()
    for _ in range(int(limits.CONTROL_BURST) + 100):
        pair.a.machine.send_control(TUNNEL, InForce(1, echo=False))
    pair.deliver(pair.b, pair.sent(pair.a))
    assert len(pair.b.events(ControlReceived)) == limits.CONTROL_BURST
    assert pair.b.machine.dropped() == {"pace": 100}
    pair.now += 1.0
    pair.a.machine.send_control(TUNNEL, Ping(7))
    pair.deliver(pair.b, pair.sent(pair.a))
    assert len(pair.sent(pair.b)) == 1


def test_who_only_knows_a_session_does_not_use_up_what_its_peer_may_say() -> None:
    pair = Pair()
    pair.handshake()
    pair.a.machine.send_control(TUNNEL, Ping(7))
    (ping,) = pair.sent(pair.a)
    forged = ping[:-1] + bytes([ping[-1] ^ 1])
    pair.deliver(pair.b, [forged] * (int(limits.CONTROL_BURST) + 1), STRANGER)
    pair.deliver(pair.b, [ping])
    assert len(pair.sent(pair.b)) == 1


def test_a_peer_that_moves_without_pause_is_followed_at_a_pace() -> None:
    pair = Pair()
    pair.handshake()
    pair.b.events(PeerMoved).clear()
    for number in range(100):
        pair.a.machine.send_control(TUNNEL, Ping(number))
        pair.deliver(pair.b, pair.sent(pair.a), spoofed(number))
        assert len(pair.sent(pair.b)) == 1  # answered where it asks from
    assert len(pair.b.events(PeerMoved)) == limits.MOVE_BURST
    pair.now += 1 / limits.MOVE_RATE
    pair.a.machine.send_control(TUNNEL, Ping(1))
    pair.deliver(pair.b, pair.sent(pair.a))
    assert pair.b.machine.peer_address(TUNNEL) == INITIATOR_ADDRESS
