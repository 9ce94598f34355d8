"""`qkd_every`: which epochs need a fresh QKD key, and who decides."""

import pytest

from gateway.handshake.events import HandshakeFailed, HandshakeRefused
from gateway.handshake.freshness import aged, is_due, qkd_age
from gateway.handshake.noise.symmetric import Chain
from gateway.secret import Secret
from gateway.wire.payloads import Policy, Status
from tests.unit.handshake.pair import TUNNEL, End, Pair

REQUIRED = Policy.REQUIRED
PREFERRED = Policy.PREFERRED


def chain(age: int | None) -> Chain:
    return Chain(b"c" * 16, Secret(b"s" * 48), age)


@pytest.mark.parametrize(
    ("held", "fresh", "age"),
    [
        (None, False, None),
        (None, True, 0),
        (chain(None), False, None),
        (chain(None), True, 0),
        (chain(0), False, 1),
        (chain(7), False, 8),
        (chain(7), True, 0),
    ],
)
def test_the_count(held: Chain | None, fresh: bool, age: int | None) -> None:
    assert qkd_age(held, fresh=fresh) == age


@pytest.mark.parametrize(
    ("held", "every", "due"),
    [
        (None, 10, True),
        (chain(None), 10, True),
        (chain(0), 1, True),
        (chain(0), 2, False),
        (chain(2), 4, False),
        (chain(3), 4, True),
        (chain(9), 4, True),
    ],
)
def test_when_a_key_is_due(held: Chain | None, every: int, due: bool) -> None:
    assert is_due(held, every) is due


def test_a_chain_kept_beside_a_newer_one_ages() -> None:
    assert aged(chain(2)).qkd_age == 3
    assert aged(chain(None)).qkd_age is None


def ages(end: End) -> list[int | None]:
    return [epoch.qkd_age for epoch in end.committed.values()]


@pytest.mark.parametrize("policy", [REQUIRED, PREFERRED])
def test_every_fourth_epoch_takes_a_key(policy: Policy) -> None:
    pair = Pair(policy=policy, every=4, keys=20)
    for _ in range(20):
        pair.handshake()
    for end in (pair.a, pair.b):
        assert len(end.consumed) == 5
        assert ages(end) == [0, 1, 2, 3] * 5
        assert ["qkd" in e.sources for e in end.committed.values()] == [
            True,
            False,
            False,
            False,
        ] * 5
        assert all(
            "chain" in epoch.sources for n, epoch in end.committed.items() if n > 1
        )


@pytest.mark.parametrize(("every", "responder_every"), [(2, 5), (5, 2)])
def test_the_stricter_end_decides_where_they_differ(
    every: int, responder_every: int
) -> None:
    pair = Pair(policy=REQUIRED, every=every, responder_every=responder_every, keys=9)
    for _ in range(6):
        pair.handshake()
    assert ages(pair.a) == ages(pair.b) == [0, 1, 0, 1, 0, 1]


def test_a_stricter_responder_refuses_an_epoch_that_only_the_initiator_allows() -> None:
    pair = Pair(policy=REQUIRED, every=5, responder_every=2, keys=1)
    pair.handshake()
    pair.handshake()
    pair.start()  # the stock is used up, which the initiator's own count would allow
    pair.pump()
    (refused,) = pair.a.events(HandshakeRefused)
    assert isinstance(refused, HandshakeRefused)
    assert refused.status is Status.QKD_UNAVAILABLE
    assert (refused.terms.qkd_every, pair.a_parameters.qkd_every) == (2, 5)
    assert ages(pair.b) == [0, 1]


def test_a_stricter_initiator_refuses_too_whatever_the_responder_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A responder whose own count, and reading of ours, never finds a key due."""
    pair = Pair(policy=REQUIRED, every=2, responder_every=9, keys=9)
    pair.handshake()
    for name in ("is_wanted", "is_required"):
        monkeypatch.setattr(f"gateway.handshake.responder.{name}", lambda *_args: False)
    pair.handshake()
    pair.start()
    pair.pump()
    (failed,) = pair.a.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "policy"
    assert "qkd = required, qkd_every = 2 here" in failed.detail
    assert ages(pair.a) == [0, 1]


def test_a_responder_that_drops_the_chain_gets_no_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It mixes neither chain nor key, where the initiator's own count asks for none."""
    pair = Pair(policy=REQUIRED, every=9, keys=9)
    pair.handshake()
    for name in ("is_wanted", "is_required", "_matching_chain"):
        monkeypatch.setattr(f"gateway.handshake.responder.{name}", lambda *_args: None)
    pair.start()
    pair.pump()
    (failed,) = pair.a.events(HandshakeFailed)
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason == "policy"
    assert "qkd = required, qkd_every = 9 here" in failed.detail
    assert ages(pair.a) == [0]


def test_a_responder_refuses_what_the_initiator_could_not_accept() -> None:
    pair = Pair(
        policy=REQUIRED,
        responder_policy=PREFERRED,
        every=2,
        responder_every=5,
        keys=1,
    )
    for _ in range(2):
        pair.handshake()
    pair.start()
    pair.pump()
    (refused,) = pair.a.events(HandshakeRefused)
    assert isinstance(refused, HandshakeRefused)
    assert refused.status is Status.QKD_UNAVAILABLE
    assert ages(pair.b) == [0, 1]


def test_an_initiator_that_never_offers_is_refused_when_a_key_is_due() -> None:
    pair = Pair(policy=REQUIRED, every=4, keys=9)
    pair.handshake()
    for _ in range(3):
        pair.start(offer=0)
        pair.pump()
    assert ages(pair.b) == [0, 1, 2, 3]
    for _ in range(5):
        pair.start(offer=0)
        pair.pump()
    assert len(pair.a.events(HandshakeRefused)) == 5
    assert ages(pair.b) == [0, 1, 2, 3]
    # It is told nothing that would have it go on otherwise: with a key it may.
    pair.handshake()
    assert ages(pair.b) == [0, 1, 2, 3, 0]


def test_an_initiator_that_lies_about_its_terms_gains_nothing() -> None:
    """It says "off" or "every 60,000th", and believes so itself."""
    pair = Pair(
        policy=PREFERRED,
        responder_policy=REQUIRED,
        every=60_000,
        responder_every=3,
        keys=1,
    )
    for _ in range(3):
        pair.handshake()
    pair.start()
    pair.pump()
    assert len(pair.a.events(HandshakeRefused)) == 1
    assert ages(pair.b) == [0, 1, 2]


def restart(pair: Pair, *, initiator: bool) -> None:
    end = pair.a if initiator else pair.b
    parameters = pair.a_parameters if initiator else pair.b_parameters
    committed = end.machine.committed(TUNNEL)
    end.machine.remove_tunnel(TUNNEL)
    end.machine.add_tunnel(parameters, committed=committed)


@pytest.mark.parametrize("initiator", [True, False])
@pytest.mark.parametrize("policy", [REQUIRED, PREFERRED])
def test_a_lost_chain_makes_a_fresh_key_due_at_once(
    policy: Policy, initiator: bool
) -> None:
    pair = Pair(policy=policy, every=10, keys=9)
    pair.handshake()
    pair.handshake()
    restart(pair, initiator=initiator)
    assert pair.a.machine.qkd_due(TUNNEL) is initiator
    pair.handshake()
    pair.handshake()
    assert ages(pair.a) == ages(pair.b) == [0, 1, 0, 1]


@pytest.mark.parametrize("initiator", [True, False])
def test_a_lost_chain_and_no_key_is_no_epoch(initiator: bool) -> None:
    pair = Pair(policy=REQUIRED, every=10, keys=1)
    pair.handshake()
    restart(pair, initiator=initiator)
    pair.start()
    pair.pump()
    assert len(pair.a.events(HandshakeRefused)) == 1
    assert ages(pair.b) == [0]


def test_what_fails_does_not_count() -> None:
    pair = Pair(policy=REQUIRED, every=3, keys=9)
    pair.handshake()
    for _ in range(6):
        pair.start()
        pair.sent(pair.a)  # lost
        pair.advance(20.0)
        pair.sent(pair.a)
    pair.handshake()
    assert ages(pair.a) == ages(pair.b) == [0, 1]


def test_who_drops_every_m4_cannot_stretch_a_key() -> None:
    """Each commit of the responder's counts, though its peer mixes one old chain."""
    pair = Pair(policy=REQUIRED, every=3, keys=9)
    pair.handshake()
    for _ in range(4):
        pair.start(offer=0)
        pair.deliver(pair.b, pair.sent(pair.a))
        pair.deliver(pair.a, pair.sent(pair.b))
        pair.deliver(pair.b, pair.sent(pair.a))
        pair.sent(pair.b)  # M4, or a refusal: lost
        pair.advance(20.0)
        pair.sent(pair.a)
    assert ages(pair.a) == [0]
    assert ages(pair.b) == [0, 1, 2]
    pair.handshake()
    assert (ages(pair.a), ages(pair.b)) == ([0, 0], [0, 1, 2, 0])


def test_preferred_goes_on_and_takes_the_next_key_there_is() -> None:
    pair = Pair(policy=PREFERRED, every=2, keys=1)
    for _ in range(4):
        pair.handshake()
    assert ages(pair.b) == [0, 1, 2, 3]
    for end in (pair.a, pair.b):
        end.stock.update(dict.fromkeys(Pair(keys=5).a.stock, b"k" * 32))
        for used in end.consumed:
            end.stock.pop(used, None)
    pair.handshake()
    pair.handshake()
    assert ages(pair.b) == [0, 1, 2, 3, 0, 1]


def test_a_key_due_more_often_after_a_reload() -> None:
    pair = Pair(policy=REQUIRED, every=10, keys=9)
    for _ in range(3):
        pair.handshake()
    stricter = Pair(policy=REQUIRED, every=2).b_parameters
    pair.b.machine.update_tunnel(stricter)
    pair.handshake()
    assert ages(pair.b) == [0, 1, 2, 0]
