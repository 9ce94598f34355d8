"""The simulated link: equal at both ends, and they find each other again."""

import logging
from uuid import UUID

import pytest

from gateway.keystore.base import KeyStore
from gateway.secret import Secret
from gateway.sources.base import KeySource
from gateway.sources.simulated.source import (
    COUNTER_BITS,
    OVERFLOW,
    KeySequence,
    SimulatedLink,
)
from tests.keystore_contract import make_keys
from tests.unit.keystore.sqlite_bench import SQLiteBench

SEED = Secret(bytes(range(32)))
LINK = "paris"
OFFER = 8


def simulated(
    rate: float = 1.0,
    capacity: int = 100,
    low_water: int = 20,
    lifetime: float | None = None,
) -> SimulatedLink:
    return SimulatedLink(
        LINK,
        SEED,
        rate=rate,
        capacity=capacity,
        low_water=low_water,
        lifetime=lifetime,
    )


def stock(store: KeyStore) -> int:
    return store.stocks.status(LINK).available


def counters(store: KeyStore, count: int) -> list[int]:
    """Counters of the oldest keys in stock."""
    sequence = KeySequence(SEED, LINK)
    found = [
        sequence.counter(key) for key in store.uses.reserve(LINK, count, holder="look")
    ]
    store.uses.release("look")
    return [counter for counter in found if counter is not None]


def meet(
    ours: SQLiteBench, our_link: KeySource, peer: SQLiteBench, peer_link: KeySource
) -> bool:
    """One handshake, we initiate: whether both ends used a key, the same one."""
    offered = ours.store.uses.reserve(LINK, OFFER, holder="i")
    choice = peer.store.uses.reserve_first(LINK, offered, holder="r")
    if choice.key_id is None and peer_link.ensure(peer.store, offered):
        choice = peer.store.uses.reserve_first(LINK, offered, holder="r")
    if choice.key_id is not None:
        mine = ours.store.uses.consume(LINK, choice.key_id, holder="i")
        theirs = peer.store.uses.consume(LINK, choice.key_id, holder="r")
        assert mine == theirs == choice.key
    ours.store.uses.release("i")
    peer.store.uses.release("r")
    ours.store.ledger.retire(LINK, list(choice.used))
    if offered and choice.used == set(offered):
        our_link.resync(ours.store, offered)
    return choice.key_id is not None


def test_both_ends_derive_the_same_keys() -> None:
    ours, theirs = KeySequence(SEED, LINK), KeySequence(SEED, LINK)
    keys = [ours.key(counter) for counter in range(100)]
    assert keys == [theirs.key(counter) for counter in range(100)]
    assert len({key.key.expose() for key in keys}) == 100
    assert len({key.key_id for key in keys}) == 100


@pytest.mark.parametrize(
    "other", [KeySequence(SEED, "oslo"), KeySequence(Secret(bytes(32)), LINK)]
)
def test_links_and_seeds_have_nothing_in_common(other: KeySequence) -> None:
    sequence = KeySequence(SEED, LINK)
    assert sequence.key(5).key != other.key(5).key
    assert sequence.key_id(5) != other.key_id(5)
    assert other.counter(sequence.key_id(5)) is None


@pytest.mark.parametrize("counter", [0, 1, 1 << 20, (1 << COUNTER_BITS) - 1])
def test_the_counter_stands_in_the_key_id(counter: int) -> None:
    sequence = KeySequence(SEED, LINK)
    key_id = sequence.key_id(counter)
    assert (key_id.version, key_id.variant) == (8, UUID(int=1 << 63).variant)
    assert sequence.counter(key_id) == counter
    for bit in range(COUNTER_BITS, 128):
        assert sequence.counter(UUID(int=key_id.int ^ 1 << bit)) is None


def test_says_that_it_is_simulated(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        link = simulated()
    assert "NOT quantum keys" in link.description
    assert "NOT quantum keys" in caplog.text
    assert SEED.expose().hex() not in caplog.text


def test_starts_with_some_stock_then_fills_at_the_rate(bench: SQLiteBench) -> None:
    link = simulated(rate=0.5)
    assert link.link == LINK
    assert link.fill(bench.store, 100.0) == 20
    added = [link.fill(bench.store, 100.0 + second) for second in range(1, 9)]
    assert added == [0, 1, 0, 1, 0, 1, 0, 1]
    assert counters(bench.store, 100) == list(range(24))


def test_stops_at_capacity_and_saves_nothing_up(bench: SQLiteBench) -> None:
    link = simulated(rate=10.0, capacity=50)
    link.fill(bench.store, 0.0)
    link.fill(bench.store, 60.0)
    assert stock(bench.store) == 50
    link.fill(bench.store, 600.0)
    bench.store.ledger.retire(LINK, bench.store.uses.reserve(LINK, 40, holder="a"))
    assert link.fill(bench.store, 600.1) <= 2
    assert link.fill(bench.store, 601.1) == 10


def test_reserved_keys_take_up_room(bench: SQLiteBench) -> None:
    link = simulated(rate=10.0, capacity=20)
    link.fill(bench.store, 0.0)
    bench.store.uses.reserve(LINK, 20, holder="a")
    assert link.fill(bench.store, 100.0) == 0


def test_a_clock_set_back_adds_nothing(bench: SQLiteBench) -> None:
    link = simulated(rate=10.0)
    link.fill(bench.store, 1000.0)
    assert link.fill(bench.store, 10.0) == 0
    assert link.fill(bench.store, 11.0) == 10


def test_keys_get_their_lifetime(bench: SQLiteBench) -> None:
    simulated(lifetime=60).fill(bench.store, 0.0)
    bench.advance(60)
    assert (stock(bench.store), bench.store.stocks.status(LINK).expired) == (0, 20)


def test_continues_after_a_restart(bench: SQLiteBench) -> None:
    simulated().fill(bench.store, 0.0)
    bench.store.ledger.retire(LINK, bench.store.uses.reserve(LINK, 20, holder="a"))
    bench.restart()
    assert simulated().fill(bench.store, 5.0) == 20
    assert counters(bench.store, 100) == list(range(20, 40))


def test_moves_on_when_other_keys_came_last(bench: SQLiteBench) -> None:
    simulated().fill(bench.store, 0.0)
    bench.store.ledger.retire(LINK, bench.store.uses.reserve(LINK, 20, holder="a"))
    bench.store.intake.add(LINK, make_keys(0, 1))
    link = simulated(rate=30.0)
    for second in range(3):
        link.fill(bench.store, float(second))
    assert stock(bench.store) > 20


def test_ends_that_start_together_meet_at_once(
    bench: SQLiteBench, peer: SQLiteBench
) -> None:
    ours, theirs = simulated(), simulated()
    ours.fill(bench.store, 0.0)
    theirs.fill(peer.store, 5000.0)
    assert all(meet(bench, ours, peer, theirs) for _ in range(20))
    assert not meet(bench, ours, peer, theirs)


@pytest.mark.parametrize("early_initiates", [True, False])
def test_an_end_that_starts_late_meets_at_once(
    bench: SQLiteBench, peer: SQLiteBench, early_initiates: bool
) -> None:
    early, late = simulated(rate=10.0), simulated(rate=10.0)
    for second in range(60):
        early.fill(bench.store, float(second))
    late.fill(peer.store, 0.0)
    for second in range(1, 30):
        if early_initiates:
            assert meet(bench, early, peer, late)
        else:
            assert meet(peer, late, bench, early)
        early.fill(bench.store, 60.0 + second)
        late.fill(peer.store, float(second))


def test_a_responder_that_lost_its_store_jumps_forward(
    bench: SQLiteBench, peer: SQLiteBench
) -> None:
    ours, theirs = simulated(capacity=5000), simulated()
    ours.fill(bench.store, 0.0)
    ours.fill(bench.store, 4000.0)
    bench.store.ledger.retire(
        LINK, bench.store.uses.reserve(LINK, 3000, holder="spent")
    )
    theirs.fill(peer.store, 0.0)
    assert all(meet(bench, ours, peer, theirs) for _ in range(50))


@pytest.mark.parametrize("spent", [10, 100, 3000])
def test_an_initiator_that_lost_its_store_leaps_past_the_other(
    bench: SQLiteBench, peer: SQLiteBench, spent: int
) -> None:
    ours, theirs = simulated(), simulated(rate=100.0, capacity=5000)
    theirs.fill(peer.store, 0.0)
    theirs.fill(peer.store, 50.0)
    peer.store.ledger.retire(LINK, peer.store.uses.reserve(LINK, spent, holder="spent"))
    ours.fill(bench.store, 0.0)
    tries = [meet(bench, ours, peer, theirs) for _ in range(12)]
    assert all(tries[6:]), tries


def test_an_initiator_with_an_old_backup_uses_no_key_again(
    bench: SQLiteBench, peer: SQLiteBench
) -> None:
    ours, theirs = simulated(), simulated()
    ours.fill(bench.store, 0.0)
    theirs.fill(peer.store, 0.0)
    bench.close()
    backup = bench.path.read_bytes()
    bench.store = bench._open()
    assert all(meet(bench, ours, peer, theirs) for _ in range(15))
    bench.close()
    bench.path.write_bytes(backup)
    bench.store = bench._open()
    ours = simulated()
    consumed, left = peer.store.stocks.status(LINK).consumed, stock(peer.store)
    tries = [meet(bench, ours, peer, theirs) for _ in range(12)]
    # `consume` at the peer, which remembers, would have refused any used key; and it
    # retires what the other end has leapt over.
    assert peer.store.stocks.status(LINK).consumed == consumed + sum(tries) + left
    assert all(tries[6:]), tries


@pytest.mark.parametrize("leaper", ["initiator", "responder"])
def test_ends_with_full_stores_meet_after_one_leapt(
    bench: SQLiteBench, peer: SQLiteBench, leaper: str
) -> None:
    ours, theirs = simulated(capacity=50), simulated(capacity=50)
    for second in (0.0, 100.0):
        ours.fill(bench.store, second)
        theirs.fill(peer.store, second)
    assert stock(bench.store) == stock(peer.store) == 50
    if leaper == "initiator":
        # As after an old backup: the peer has used all that was offered.
        ours.resync(bench.store, bench.store.uses.reserve(LINK, OFFER, holder="x"))
    else:
        # An old backup of the responder's: none of its keys is left at the peer.
        bench.store.stocks.purge(LINK, all_keys=True)
        ours.fill(bench.store, 200.0)
    for second in range(100):
        assert meet(bench, ours, peer, theirs)
        ours.fill(bench.store, 200.0 + second)
        theirs.fill(peer.store, 200.0 + second)


def test_ensure_ignores_what_is_not_ahead_or_not_ours(bench: SQLiteBench) -> None:
    link = simulated()
    link.fill(bench.store, 0.0)
    sequence, stranger = KeySequence(SEED, LINK), KeySequence(SEED, "oslo")
    offered = [sequence.key_id(3), stranger.key_id(500), make_keys(0, 1)[0].key_id]
    assert link.ensure(bench.store, offered) == 0
    assert link.ensure(bench.store, []) == 0
    assert link.resync(bench.store, [stranger.key_id(1)]) == 0
    assert stock(bench.store) == 20


def test_what_the_peer_has_no_more_is_given_up(bench: SQLiteBench) -> None:
    """It offers its oldest: of what is older it has none, but for other handshakes'."""
    link = simulated(capacity=50)
    for second in (0.0, 100.0):
        link.fill(bench.store, second)
    bench.store.intake.add(LINK, make_keys(0, 2))
    sequence = KeySequence(SEED, LINK)
    about = bench.store.uses.reserve(LINK, 1, holder="a handshake")
    offered = [sequence.key_id(1000 + number) for number in range(4)]
    assert link.ensure(bench.store, offered, others=960) == 4
    assert counters(bench.store, 100) == [*range(40, 50), *range(1000, 1004)]
    assert bench.store.stocks.status(LINK).reserved == 1
    bench.store.uses.consume(LINK, about[0], holder="a handshake")
    offered = [sequence.key_id(2000)]
    assert link.ensure(bench.store, offered) == 1
    assert counters(bench.store, 100) == [2000]
    assert stock(bench.store) == 3  # what came by hand stays
    # Never again, whatever is offered.
    for number in (0, 45, 1003):
        assert not bench.store.uses.reserve_first(
            LINK, [sequence.key_id(number)], holder="b"
        ).key_id


def test_two_handshakes_in_the_other_order(bench: SQLiteBench) -> None:
    """Without a store it jumps to the second's keys, and lacks the first's then."""
    link = simulated()
    sequence = KeySequence(SEED, LINK)
    later, earlier = range(104, 108), range(100, 104)
    for offered in (later, earlier):
        key_ids = [sequence.key_id(number) for number in offered]
        assert link.ensure(bench.store, key_ids, others=4) == 4
        choice = bench.store.uses.reserve_first(LINK, key_ids, holder=str(offered))
        assert choice.key_id == key_ids[0]
    bench.restart()
    simulated().fill(bench.store, 0.0)
    assert set(counters(bench.store, 100)) >= {*later, *earlier}


def test_what_another_handshake_is_about_tells_nothing_of_older_keys(
    bench: SQLiteBench,
) -> None:
    link = simulated()
    link.fill(bench.store, 0.0)
    sequence = KeySequence(SEED, LINK)
    assert bench.store.uses.reserve_first(
        LINK, [sequence.key_id(7)], holder="other"
    ).key_id
    assert link.ensure(bench.store, [sequence.key_id(7)]) == 0
    assert stock(bench.store) == 19


def test_a_jump_has_bounds(bench: SQLiteBench) -> None:
    link = simulated(capacity=50)
    link.fill(bench.store, 0.0)
    sequence = KeySequence(SEED, LINK)
    far = (1 << COUNTER_BITS) - 10
    span = [sequence.key_id(100), sequence.key_id(far)]
    assert link.ensure(bench.store, span, others=100) == 30
    offered = [sequence.key_id(1000 + number) for number in range(OFFER)]
    while link.ensure(bench.store, offered, others=COUNTER_BITS << 32):
        offered = [
            sequence.key_id(n + OFFER) for n in map(sequence.counter, offered) if n
        ]
    assert stock(bench.store) == 50 + OVERFLOW
    bench.store.stocks.purge(LINK, all_keys=True)
    assert link.ensure(bench.store, [sequence.key_id(far)]) == 1
    assert link.fill(bench.store, 50.0) == 9
    assert link.fill(bench.store, 99.0) == 0


def test_a_full_stock_is_topped_up_in_lots(bench: SQLiteBench) -> None:
    """Each taking-in is a durable write: not one for each key that is used."""
    link = simulated(rate=10.0, capacity=50)
    link.fill(bench.store, 0.0)
    link.fill(bench.store, 10.0)
    added = []
    for second in range(1, 11):
        bench.store.ledger.retire(LINK, bench.store.uses.reserve(LINK, 1, holder="a"))
        added.append(link.fill(bench.store, 10.0 + second))
    assert added == [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]
    # One that is not full takes what comes.
    bench.store.ledger.retire(LINK, bench.store.uses.reserve(LINK, 20, holder="a"))
    assert link.fill(bench.store, 20.1) > 0
