"""Two ends that do not fit: both are told, by name, and no keys come of it."""

from typing import Any

import pytest

from gateway.handshake import attempts, limits, states
from gateway.handshake.events import (
    EpochPrepared,
    Event,
    HandshakeFailed,
    HandshakeRefused,
    InitiationReceived,
    InitiationRefused,
    QKDKeyRequested,
    UnknownPeer,
)
from gateway.handshake.noise.symmetric import NO_INPUTS, QKDKey, SymmetricInputs
from gateway.handshake.tunnel import TunnelParameters
from gateway.secret import Secret
from gateway.wire.payloads import PlaneKind, Policy, Status
from tests.unit.handshake.pair import (
    STRANGER,
    TUNNEL,
    Pair,
    identity,
    key_id,
    parameters,
)
from tests.unit.handshake.strangers import (
    remake_mac1,
    remake_macs,
    stranger_initiation,
)


def unlike(**changes: Any) -> TunnelParameters:
    """Return the responder's parameters, other than the initiator's in one point."""
    settings: dict[str, Any] = {"initiator": False, **changes}
    return parameters(identity("responder"), identity("initiator"), **settings)


def one(events: list[Event]) -> Any:
    """Return the only event there is."""
    (event,) = events
    return event


def assert_refused(pair: Pair, status: Status) -> None:
    """Insist that both ends know that, and why, there is no epoch."""
    refused = one(pair.a.events(HandshakeRefused))
    assert refused.status is status
    told = one(pair.b.events(InitiationRefused))
    assert told.status is status
    assert told.tunnel == TUNNEL
    assert told.fingerprint == pair.paris.public.fingerprint
    assert told.terms == pair.a_parameters.terms()
    assert not pair.a.committed
    assert not pair.b.committed
    assert not pair.a.machine._core.holders
    assert not pair.a.events(EpochPrepared)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "lyon"}, Status.UNKNOWN_TUNNEL),
        ({"initiator": True}, Status.ROLE_CONFLICT),
        ({"plane": PlaneKind.WIREGUARD}, Status.PLANE_MISMATCH),
        ({"encap": True}, Status.PLANE_MISMATCH),
        ({"psk": bytes(32)}, Status.PSK_MISMATCH),
        ({"policy": Policy.REQUIRED}, Status.POLICY_MISMATCH),
        ({"policy": Policy.PREFERRED}, Status.ACCEPTED),
    ],
)
def test_ends_that_differ(changes: dict[str, Any], status: Status) -> None:
    pair = Pair(responder=unlike(**changes))
    pair.start()
    pair.pump()
    if status is Status.ACCEPTED:
        pair.assert_agreed(1)
        return
    assert_refused(pair, status)
    refused = one(pair.a.events(HandshakeRefused))
    assert refused.terms == pair.b_parameters.terms()
    told = one(pair.b.events(InitiationRefused))
    assert told.known == (status is not Status.UNKNOWN_TUNNEL)


@pytest.mark.parametrize(
    ("ours", "theirs", "keys", "status"),
    [
        (Policy.OFF, Policy.OFF, 0, None),
        (Policy.OFF, Policy.PREFERRED, 0, None),
        (Policy.OFF, Policy.REQUIRED, 0, Status.POLICY_MISMATCH),
        (Policy.PREFERRED, Policy.PREFERRED, 0, None),
        (Policy.PREFERRED, Policy.PREFERRED, 2, None),
        (Policy.PREFERRED, Policy.REQUIRED, 2, None),
        (Policy.PREFERRED, Policy.REQUIRED, 0, Status.QKD_UNAVAILABLE),
        (Policy.REQUIRED, Policy.OFF, 2, Status.POLICY_MISMATCH),
        (Policy.REQUIRED, Policy.PREFERRED, 0, Status.QKD_UNAVAILABLE),
        (Policy.REQUIRED, Policy.PREFERRED, 2, None),
        (Policy.REQUIRED, Policy.REQUIRED, 0, Status.QKD_UNAVAILABLE),
        (Policy.REQUIRED, Policy.REQUIRED, 2, None),
    ],
)
def test_qkd_policies(
    ours: Policy, theirs: Policy, keys: int, status: Status | None
) -> None:
    pair = Pair(policy=ours, responder_policy=theirs, keys=keys)
    pair.start()
    pair.pump()
    if status is not None:
        assert_refused(pair, status)
        return
    pair.assert_agreed(1)
    used = pair.a.committed[1].key_id
    assert (used is not None) == (keys > 0)
    assert ("qkd" in pair.a.committed[1].sources) == (keys > 0)


def test_epoch_that_is_not_new_is_refused_with_the_last_one() -> None:
    """An initiator restored from an old backup learns where to go on."""
    pair = Pair()
    pair.handshake()
    pair.handshake()
    pair.a.machine.remove_tunnel(TUNNEL)
    pair.a.machine.add_tunnel(pair.a_parameters, committed=0)
    for epoch in (1, 2):
        pair.a.log.clear()
        pair.b.log.clear()
        pair.start(epoch=epoch)
        pair.pump()
        refused = one(pair.a.events(HandshakeRefused))
        assert refused.status is Status.STALE_EPOCH
        assert refused.epoch == 2
        assert one(pair.b.events(InitiationRefused)).status is Status.STALE_EPOCH
    pair.start(epoch=3)
    pair.pump()
    pair.assert_agreed(3)


@pytest.mark.parametrize("known", [0, 7, limits.MAX_EPOCH - 1])
def test_an_epoch_too_far_above_the_last_is_refused(known: int) -> None:
    """Whoever holds the peer's identity cannot use the numbers up."""
    pair = Pair()
    pair.b.machine.remove_tunnel(TUNNEL)
    pair.b.machine.add_tunnel(pair.b_parameters, committed=known)
    far = min(known + limits.MAX_EPOCH_LEAP, limits.MAX_EPOCH)
    for epoch in (2**64 - 1, limits.MAX_EPOCH + 1, far + 1):
        pair.a.log.clear()
        pair.b.log.clear()
        pair.start(epoch=epoch)
        pair.pump()
        refused = one(pair.a.events(HandshakeRefused))
        assert (refused.status, refused.epoch) == (Status.EPOCH_LEAP, known)
        assert one(pair.b.events(InitiationRefused)).status is Status.EPOCH_LEAP
        assert pair.b.machine.committed(TUNNEL) == known
    pair.start(epoch=known + 1)
    pair.pump()
    pair.assert_agreed(known + 1)
    if far > known + 1:
        pair.start(epoch=far)
        pair.pump()
        pair.assert_agreed(far)


def test_responder_restored_from_a_backup_goes_on_at_once() -> None:
    pair = Pair()
    for _ in range(3):
        pair.handshake()
    pair.b.machine.remove_tunnel(TUNNEL)
    pair.b.machine.add_tunnel(pair.b_parameters, committed=1)
    pair.handshake()
    assert pair.b.committed[4].sources == ("x25519", "ml-kem-768")


def test_stranger_gets_no_answer_but_is_reported() -> None:
    pair = Pair()
    pair.deliver(pair.b, stranger_initiation(pair, "who"), STRANGER)
    event = one(pair.b.events(UnknownPeer))
    assert event.fingerprint == identity("stranger").public.fingerprint
    assert event.address == STRANGER
    assert pair.sent(pair.b) == []
    assert not pair.b.machine._core.holders
    assert pair.b.machine.dropped() == {"unknown peer": 1}


def test_driver_may_refuse_and_both_are_told() -> None:
    pair = Pair()
    pair.b.driven = False
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    asked = one(pair.b.events(InitiationReceived))
    pair.b.machine.refuse_initiation(asked.handshake, Status.NOT_READY)
    pair.pump()
    assert_refused(pair, Status.NOT_READY)


def test_positions_of_used_keys_reach_the_initiator() -> None:
    pair = Pair(keys=6)
    used = [key_id(2), key_id(5)]
    pair.b.used.update(used)
    for gone in used:
        del pair.b.stock[gone]
    pair.start()
    pair.pump()
    assert one(pair.a.events(QKDKeyRequested)).used == tuple(used)
    pair = Pair(policy=Policy.REQUIRED, keys=2)
    pair.b.stock.clear()
    pair.b.driven = False
    pair.start()
    pair.deliver(pair.b, pair.sent(pair.a))
    asked = one(pair.b.events(InitiationReceived))
    pair.b.machine.accept_initiation(
        asked.handshake, plane_offer=b"x", used=[key_id(1), key_id(2), key_id(99)]
    )
    pair.pump()
    refused = one(pair.a.events(HandshakeRefused))
    assert refused.status is Status.QKD_UNAVAILABLE
    assert refused.used == (key_id(1), key_id(2))


def test_psk_that_differs_is_named_and_leaves_no_keys() -> None:
    pair = Pair(psk=b"\1" * 32, responder_psk=b"\2" * 32)
    pair.start()
    for _ in range(30):
        pair.pump()
        pair.advance(0.5)
    failed = one(pair.a.events(HandshakeFailed))
    assert failed.reason == "symmetric"
    assert "PSK" in failed.detail
    assert not pair.a.committed
    assert not pair.b.committed
    assert "symmetric" in pair.a.machine.dropped()


def test_psk_that_differs_is_not_waited_for_as_long_as_a_dead_peer() -> None:
    pair = Pair(psk=b"\1" * 32, responder_psk=b"\2" * 32)
    pair.start()
    pair.pump()
    began, waited = pair.now, 0.0
    while not pair.a.events(HandshakeFailed):
        pair.advance(0.05)
        pair.pump()
        waited = pair.now - began
        assert waited < limits.INITIATION_TIMEOUT
    assert waited <= limits.DOUBT_TIMEOUT + 0.1
    # Somebody may have tampered with the one M2: there was time for more of them.
    assert pair.a.machine.dropped()["symmetric"] >= 2


def test_qkd_key_whose_bytes_differ_is_named_and_spent_once() -> None:
    pair = Pair(policy=Policy.REQUIRED, keys=3)
    pair.b.stock[key_id(1)] = bytes(32)
    pair.start()
    for _ in range(30):
        pair.pump()
        pair.advance(0.5)
    failed = one(pair.a.events(HandshakeFailed))
    assert failed.reason == "symmetric"
    assert pair.a.consumed == [key_id(1)]
    assert pair.b.consumed == []
    assert len(pair.a.events(QKDKeyRequested)) == 1
    pair.handshake()
    assert pair.a.committed[2].key_id == key_id(2)


class LyingResponder:
    """Answers as it likes, with all the keys of the real responder."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        pair.b.driven = False
        pair.start()
        pair.deliver(pair.b, pair.sent(pair.a))
        asked = one(pair.b.events(InitiationReceived))
        core = pair.b.machine._core
        handshake = core.holders[asked.handshake]
        assert isinstance(handshake, attempts.ResponderHandshake)
        self.handshake = handshake

    def say_yes(self, inputs: SymmetricInputs) -> None:
        """Accept, mixing these inputs whatever the policies say."""
        side = self.pair.b.machine._responder
        side._respond(self.handshake, Status.ACCEPTED, b"x", inputs, ())
        self.handshake.state = states.ResponderState.ANSWERED
        self.pair.deliver(self.pair.a, self.pair.sent(self.pair.b))


def test_required_at_the_initiator_holds_against_a_lying_responder() -> None:
    pair = Pair(policy=Policy.REQUIRED, keys=2)
    LyingResponder(pair).say_yes(NO_INPUTS)
    failed = one(pair.a.events(HandshakeFailed))
    assert failed.reason == "policy"
    assert pair.sent(pair.a) == []
    assert not pair.a.events(EpochPrepared)


@pytest.mark.parametrize("chosen", [key_id(77), key_id(1)])
def test_key_that_was_not_offered_or_is_not_mixed_is_no_key(chosen: Any) -> None:
    """The second liar names an offered key, and mixes another: the tag tells."""
    pair = Pair(policy=Policy.REQUIRED, keys=2)
    LyingResponder(pair).say_yes(
        SymmetricInputs(None, None, QKDKey(chosen, Secret(b"\7" * 32)))
    )
    assert pair.sent(pair.a) == []
    assert not pair.a.events(EpochPrepared)


def test_required_at_the_responder_holds_against_a_lying_initiator() -> None:
    """It says `off` and `preferred` and offers keys that it will not mix."""
    for policy in (Policy.OFF, Policy.PREFERRED):
        pair = Pair(policy=policy, responder_policy=Policy.REQUIRED)
        pair.start()
        pair.pump()
        assert not pair.b.committed
        assert len(pair.b.events(InitiationRefused)) == 1
    pair = Pair(policy=Policy.PREFERRED, responder_policy=Policy.REQUIRED, keys=1)
    pair.a.stock[key_id(1)] = b"\7" * 32
    pair.start()
    pair.pump()
    assert not pair.b.committed
    assert not pair.a.committed


def test_responder_driver_cannot_mix_a_key_that_was_not_offered() -> None:
    for policy, chosen in ((Policy.PREFERRED, 9), (Policy.OFF, 1)):
        pair = Pair(policy=Policy.PREFERRED, responder_policy=policy, keys=2)
        pair.b.driven = False
        pair.start()
        pair.deliver(pair.b, pair.sent(pair.a))
        asked = one(pair.b.events(InitiationReceived))
        with pytest.raises(ValueError, match="not asked"):
            pair.b.machine.accept_initiation(
                asked.handshake,
                plane_offer=b"x",
                qkd=QKDKey(key_id(chosen), Secret(bytes(32))),
            )


def test_peer_that_has_changed_its_mind_about_the_key_is_not_followed() -> None:
    """After a responder's restart the same M1 may get another key: not with us."""
    pair = Pair(policy=Policy.REQUIRED, keys=3)
    pair.start()
    m1 = pair.sent(pair.a)
    pair.deliver(pair.b, m1)
    m2 = pair.sent(pair.b)
    damaged = m2[-1][:-17] + bytes([m2[-1][-17] ^ 1]) + m2[-1][-16:]
    forged = remake_mac1(damaged, pair.paris.public)
    pair.deliver(pair.a, [*m2[:-1], forged])
    assert pair.a.consumed == [key_id(1)]
    restarted = Pair(policy=Policy.REQUIRED, keys=3)
    del restarted.b.stock[key_id(1)]
    restarted.deliver(restarted.b, m1)
    pair.deliver(pair.a, restarted.sent(restarted.b))
    failed = one(pair.a.events(HandshakeFailed))
    assert failed.reason == "policy"
    assert "changed its mind" in failed.detail
    assert pair.a.consumed == [key_id(1)]


def test_invalid_points_and_kem_keys_are_dropped_like_any_forgery() -> None:
    low_order = [
        bytes(32),
        (1).to_bytes(32, "little"),
        (2**255 - 19).to_bytes(32, "little"),
        bytes.fromhex(
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
        ),
        bytes.fromhex(
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
        ),
    ]
    for point in low_order:
        pair = Pair()
        pair.start()
        m1 = pair.sent(pair.a)
        forged = remake_macs(m1[0][:16] + point + m1[0][48:], pair.london.public)
        pair.deliver(pair.b, [forged, *m1[1:]])
        assert pair.b.machine.dropped() == {"authentication": 1}
        pair.deliver(pair.b, m1)
        m2 = pair.sent(pair.b)
        forged = remake_mac1(m2[0][:16] + point + m2[0][48:], pair.paris.public)
        pair.deliver(pair.a, [forged, *m2[1:]])
        assert pair.a.machine.dropped() == {"authentication": 1}
        pair.deliver(pair.a, m2)
        pair.pump()
        pair.assert_agreed(1)


def test_driver_that_cannot_get_the_key_ends_the_handshake_at_once() -> None:
    pair = Pair(policy=Policy.REQUIRED, keys=2)
    pair.start()
    pair.a.stock.clear()
    pair.pump()
    assert one(pair.a.events(HandshakeFailed)).reason == "qkd"
    assert not pair.a.machine._core.holders


def test_answers_to_handshakes_that_are_gone_do_nothing() -> None:
    pair = Pair(keys=2)
    pair.handshake()
    machine = pair.b.machine
    for handshake in (bytes(8), *machine._core.holders):
        machine.accept_initiation(handshake, plane_offer=b"x")
        machine.refuse_initiation(handshake, Status.NOT_READY)
        machine.confirm(handshake, now=pair.now)
        machine.commit(handshake, now=pair.now)
        machine.provide_qkd_key(handshake, Secret(bytes(32)), now=pair.now)
        machine.refuse_qkd_key(handshake, "x")
        machine.abort(handshake, "x")
    assert pair.sent(pair.b) == []
    assert not pair.b.events(HandshakeFailed)
    pair.handshake()
