"""Weaknesses that were found in this machine, each with the attack that shows it."""

import gc
from dataclasses import replace
from typing import Any

import pytest

from gateway.handshake import limits
from gateway.handshake.cookies import CookieJar
from gateway.handshake.events import (
    HandshakeFailed,
    InitiationReceived,
    InitiationRefused,
    UnknownPeer,
)
from gateway.handshake.machine import Machine
from gateway.handshake.noise import initiator
from gateway.handshake.noise.responder import InitiationRead
from gateway.wire.header import (
    COOKIE_REPLY_SIZE,
    HEADER_SIZE,
    MAX_MTU,
    MIN_MTU,
    Type,
    encode_header,
)
from gateway.wire.payloads import Policy, Status
from tests.unit.handshake.pair import (
    RESPONDER_ADDRESS,
    STRANGER,
    TUNNEL,
    Pair,
    identity,
    key_id,
    kind_of,
    parameters,
    seeded_random,
)
from tests.unit.handshake.strangers import remake_macs, stranger_initiation
from tests.unit.handshake.test_tampering import step


def renamed(datagrams: list[bytes], session_id: bytes, pair: Pair) -> list[bytes]:
    """Return M1 under another session identifier, with macs that verify."""
    return [
        remake_macs(data[:8] + session_id + data[HEADER_SIZE:], pair.london.public)
        for data in datagrams
    ]


def test_replay_under_another_session_id_is_not_a_new_initiation() -> None:
    """Anyone can change the header and mac1; four such used to evict the honest."""
    pair = Pair()
    pair.start()
    m1 = pair.sent(pair.a)
    pair.deliver(pair.b, m1)
    m2 = pair.sent(pair.b)
    for number in range(limits.MAX_HALF_OPEN + 1):
        pair.deliver(pair.b, renamed(m1, bytes([number]) * 8, pair), STRANGER)
    assert pair.sent(pair.b) == []
    assert pair.b.machine.dropped() == {"authentication": limits.MAX_HALF_OPEN + 1}
    pair.deliver(pair.a, m2)
    pair.pump()
    pair.assert_agreed(1)


def test_old_initiations_replayed_after_a_restart_do_not_evict_the_honest() -> None:
    """Memory of M1s is gone after a restart; epochs refuse them, cheaply for us."""
    pair = Pair()
    recorded = [pair.messages().m1 for _ in range(3 * limits.MAX_HALF_OPEN)]
    fresh = Pair()
    fresh.a.machine._core.new_id()  # of its own: both pairs draw from one seed
    fresh.b.machine.remove_tunnel(TUNNEL)
    fresh.b.machine.add_tunnel(fresh.b_parameters, committed=pair.epoch)
    fresh.start(epoch=pair.epoch + 1)
    fresh.deliver(fresh.b, fresh.sent(fresh.a))
    m2 = fresh.sent(fresh.b)
    for m1 in recorded:
        fresh.deliver(fresh.b, m1, STRANGER)
    refused = fresh.b.events(InitiationRefused)
    assert len(refused) == len(recorded)
    assert len(fresh.b.machine._core.holders) == 1 + limits.MAX_HALF_OPEN
    fresh.sent(fresh.b)
    fresh.deliver(fresh.a, m2)
    fresh.pump()
    fresh.assert_agreed(pair.epoch + 1)


def test_initiations_that_the_driver_refuses_are_bounded_too() -> None:
    pair = Pair(policy=Policy.REQUIRED)
    for _ in range(3 * limits.MAX_HALF_OPEN):
        pair.start()
        pair.deliver(pair.b, pair.sent(pair.a))
    assert len(pair.b.machine._core.holders) == limits.MAX_HALF_OPEN


@pytest.mark.parametrize("accepts", [True, False])
def test_invalid_ephemeral_kem_key_does_not_raise_into_the_driver(
    accepts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is made when the driver calls, not when the datagram arrives."""
    pair = Pair()
    real = initiator.create_initiation

    def lying(local: Any, *args: Any, **kwargs: Any) -> Any:
        kem = local.suite.kem

        class BadKey:
            public = b"\xff" * kem.parameters.public_size

        class BadKEM:
            parameters = kem.parameters

            def load_private(self, seed: bytes) -> Any:
                return BadKey()

            def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
                return kem.encapsulate(public)  # type: ignore[no-any-return]  # Any above

        suite = type(local.suite)(local.suite.id, local.suite.ecdh, BadKEM())

        class Liar:
            public = local.public

        Liar.suite = suite  # type: ignore[attr-defined]  # a stand-in for an identity
        return real(Liar(), *args, **kwargs)  # type: ignore[arg-type]  # the same

    monkeypatch.setattr("gateway.handshake.initiator.create_initiation", lying)
    pair.b.driven = False
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    (event,) = pair.b.events(InitiationReceived)
    assert isinstance(event, InitiationReceived)
    if accepts:
        pair.b.machine.accept_initiation(event.handshake, plane_offer=b"x")
    else:
        pair.b.machine.refuse_initiation(event.handshake, Status.NOT_READY)
    assert pair.sent(pair.b) == []
    assert [type(e) for e in pair.b.log[1:]][-1] is HandshakeFailed
    assert pair.b.machine.dropped() == {"ephemeral": 1}
    assert not pair.b.machine._core.holders


def test_cookie_reply_is_never_larger_than_the_fragment_it_answers() -> None:
    pair = Pair()
    responder = pair.b.machine._responder
    responder._admission._load._until = pair.now + 1000
    for size in range(1, COOKIE_REPLY_SIZE):
        head = encode_header(Type.INITIATION, bytes(8), 0, 2) + bytes(size)
        data = remake_macs(head + bytes(32), pair.london.public)
        pair.deliver(pair.b, [data], STRANGER)
        for reply in pair.sent(pair.b):
            assert kind_of(reply) is Type.COOKIE_REPLY
            assert len(reply) <= len(data)
    assert pair.b.machine.dropped() == {"cookie": COOKIE_REPLY_SIZE - 1}


def test_remembered_initiations_keep_no_secrets_and_little_memory() -> None:
    pair = Pair()
    for _ in range(3):
        pair.handshake()
    remembered = pair.b.machine._responder._remembered
    assert list(remembered.values()) == [None] * 3
    gc.collect()
    assert not [o for o in gc.get_objects() if isinstance(o, InitiationRead)]


def test_reports_of_unknown_peers_are_bounded() -> None:
    pair = Pair()
    pair.b.driven = False
    for number in range(50):
        pair.b.machine._core.events.clear()
        filler = limits.MAX_PENDING_EVENTS
        pair.b.machine._core.events.extend([HandshakeFailed(b"", "", "", "")] * filler)
        m1 = stranger_initiation(pair, f"stranger {number}")
        for data in m1:
            pair.b.machine.receive_datagram(data, STRANGER, now=pair.now)
        assert len(pair.b.machine._core.events) == filler
    pair.b.machine._core.events.clear()
    pair.deliver(pair.b, stranger_initiation(pair, "another"), STRANGER)
    assert type(pair.b.log[0]) is UnknownPeer


def test_flood_of_initiation_fragments_does_not_push_out_a_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even one that comes with cookies, from an address that is real."""
    monkeypatch.setattr(CookieJar, "verify", lambda *args, **kwargs: True)
    pair = Pair()
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    m2 = pair.sent(pair.b)
    pair.deliver(pair.a, m2[:1])
    for number in range(2000):
        head = encode_header(Type.INITIATION, number.to_bytes(8), 0, 2) + bytes(100)
        data = remake_macs(head + bytes(32), pair.paris.public)[:-1] + b"2"
        pair.a.machine.receive_datagram(data, STRANGER, now=pair.now)
    pair.sent(pair.a)
    pair.deliver(pair.a, m2[1:])
    pair.pump()
    pair.assert_agreed(1)


@pytest.mark.parametrize("mtu", [MIN_MTU - 1, MAX_MTU + 1])
def test_mtu_that_makes_unreadable_messages_is_refused(mtu: int) -> None:
    with pytest.raises(ValueError, match="mtu"):
        Machine(random=seeded_random("x"), mtu=mtu)


@pytest.mark.parametrize(
    "keys", [[key_id(n) for n in range(9)], [key_id(1), key_id(1)]]
)
def test_offer_that_no_peer_could_read_is_refused(keys: list[Any]) -> None:
    pair = Pair()
    pair.handshake()
    with pytest.raises(ValueError, match="QKD keys"):
        pair.a.machine.start_handshake(
            TUNNEL,
            epoch=2,
            key_ids=keys,
            plane_offer=b"x",
            address=RESPONDER_ADDRESS,
            now=pair.now,
        )


def test_name_in_an_initiation_cannot_carry_control_characters() -> None:
    """The responder logs it: a peer must not write lines, or colours, into logs."""
    pair = Pair()
    evil = parameters(
        identity("initiator"), identity("responder"), initiator=True, name="a\nb\x1b[m"
    )
    pair.a.machine.add_tunnel(evil)
    pair.a.machine.start_handshake(
        evil.name,
        epoch=1,
        key_ids=[],
        plane_offer=b"x",
        address=RESPONDER_ADDRESS,
        now=pair.now,
    )
    pair.deliver(pair.b, pair.sent(pair.a))
    assert pair.b.machine.dropped() == {"payload": 1}
    assert pair.sent(pair.b) == []


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("end", ["a", "b"])
def test_no_handshake_completes_under_terms_that_are_gone(
    number: int, end: str
) -> None:
    """`qkd = "required"` counts from the reload on, not from the next handshake."""
    pair = Pair(policy=Policy.PREFERRED)
    receiver, sent = step(pair, number)
    target = pair.a if end == "a" else pair.b
    old = pair.a_parameters if end == "a" else pair.b_parameters
    committing = target is pair.a and number == 3
    target.machine.update_tunnel(replace(old, interval=60.0))
    target.drive(pair.now)
    assert not target.events(HandshakeFailed)
    target.machine.update_tunnel(replace(old, policy=Policy.REQUIRED))
    pair.deliver(receiver, sent)
    pair.pump()
    if committing:
        # The peer may have committed by now: only M4 can tell.
        pair.assert_agreed(1)
    else:
        assert not target.committed
        assert len(target.events(HandshakeFailed)) == 1
