"""Two supply machines, two real stores, and a channel that may lose messages."""

import itertools
from collections.abc import Sequence
from uuid import UUID

import pytest

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import SourceFault
from gateway.keystore.base import KeyStanding, KeyStore, NewKey
from gateway.secret import Secret
from gateway.sources.base import Delivery
from gateway.supply.leader import COMPARE_ANYWAY
from gateway.supply.machine import Lane
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.kme_pair import MemoryKME, SharedPool
from tests.unit.supply.stepped import Site, Stepper

LINK = "fibre"
TARGET, BATCH = 200, 64


class Ends(Stepper):
    """Both ends of one link; ``a`` starts the handshakes."""

    def __init__(self, a: SQLiteBench, b: SQLiteBench, source: LinkSource) -> None:
        super().__init__()
        self.pool = SharedPool()
        self.kmes = {"a": MemoryKME(self.pool), "b": MemoryKME(self.pool)}
        self.benches = {"a": a, "b": b}
        self.clock.benches += (a, b)
        self.source = source
        self._runs = itertools.count(1, 1000)

    def store(self, end: str) -> KeyStore:
        return self.benches[end].store

    def config(self) -> LinkConfig:
        fetched = self.source is LinkSource.ETSI014
        kme = KMEConfig((), "a", "b", batch=BATCH, requests_per_minute=600.0)
        return LinkConfig(
            LINK, self.source, target=TARGET, kme=kme if fetched else None
        )

    def start(self, end: str) -> Site:
        site = Site(
            self.clock,
            self.config(),
            self.benches[end],
            self.kmes[end] if self.source is LinkSource.ETSI014 else None,
            send=self.wire.sender("b" if end == "a" else "a"),
            draws=end == "a",
            run=next(self._runs),
        )
        self.sites[end] = site
        return site

    def stop(self, end: str) -> None:
        del self.sites[end]

    def all_held(self, end: str) -> set[UUID]:
        return set(self.store(end).ledger.held(LINK, after=None, count=100_000))

    def confirmed(self, end: str) -> int:
        status = self.store(end).stocks.status(LINK)
        return status.available - status.unconfirmed

    def is_filled(self) -> bool:
        """Whether no more is drawn: what was let go of last may be less than a batch,
        for which nothing is asked.
        """
        return self.confirmed("a") > TARGET - BATCH

    def in_step(self, count: int) -> bool:
        same = self.all_held("a") == self.all_held("b")
        return same and self.confirmed("a") == count == len(self.all_held("a"))


@pytest.fixture
def ends(bench: SQLiteBench, peer: SQLiteBench) -> Ends:
    return Ends(bench, peer, LinkSource.ETSI014)


@pytest.fixture
def by_hand(bench: SQLiteBench, peer: SQLiteBench) -> Ends:
    return Ends(bench, peer, LinkSource.FILE)


def keys(numbers: Sequence[int]) -> list[NewKey]:
    return [NewKey(UUID(int=n), Secret(n.to_bytes(32))) for n in numbers]


def start_both(ends: Ends) -> tuple[Site, Site]:
    return ends.start("a"), ends.start("b")


def test_stock_fills_to_its_target_at_both_ends(ends: Ends) -> None:
    first, second = start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    assert first.status().drawn == TARGET == second.status().fetched
    assert not second.status().drawn
    assert ends.kmes["a"].drawn == 4
    # What was drawn is what the other end has, byte for byte.
    for key_id in ends.store("a").uses.reserve(LINK, 5, holder="x"):
        choice = ends.store("b").uses.reserve_first(LINK, [key_id], holder="y")
        ours = ends.store("a").uses.consume(LINK, key_id, holder="x")
        theirs = ends.store("b").uses.consume(LINK, key_id, holder="y")
        assert choice.key_id == key_id
        assert ours.expose() == theirs.expose()


def test_a_channel_that_loses_every_third_message(ends: Ends) -> None:
    ends.wire.drops = itertools.cycle((False, False, True))
    start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")


def test_nothing_is_confirmed_before_the_peer_holds_it(ends: Ends) -> None:
    ends.wire.up = False
    first = ends.start("a")
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "keys drawn")
    assert ends.confirmed("a") == 0
    ends.start("b")
    ends.wire.up = True
    first.machine.connected()
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")


def test_a_batch_is_drawn_only_when_a_batch_is_missing(ends: Ends) -> None:
    first, _ = start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    calls = ends.kmes["a"].drawn
    store = ends.store("a")
    for key_id in store.uses.reserve(LINK, 63, holder="x"):
        store.uses.consume(LINK, key_id, holder="x")
    first.machine.taken()
    ends.run(8.0)
    assert ends.kmes["a"].drawn == calls
    (last,) = store.uses.reserve(LINK, 1, holder="x")
    store.uses.consume(LINK, last, holder="x")
    first.machine.taken()
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "a new batch")
    assert ends.kmes["a"].drawn == calls + 1


def test_a_dead_kme_eats_only_stock_and_is_taken_up_again(ends: Ends) -> None:
    first, _ = start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    ends.kmes["a"].fault = SourceFault.UNREACHABLE
    store = ends.store("a")
    for key_id in store.uses.reserve(LINK, 100, holder="x"):
        store.uses.consume(LINK, key_id, holder="x")
    first.machine.taken()
    ends.until(lambda: bool(first.status().error), "the trouble in the status")
    calls = ends.kmes["a"].drawn
    ends.run(40.0)
    # 40 s of back-off from 2 s on: a handful of calls, not hundreds.
    assert 1 <= ends.kmes["a"].drawn - calls <= 8
    assert ends.confirmed("a") == TARGET - 100
    ends.kmes["a"].fault = None
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "new keys")
    assert not first.status().error


def test_a_peer_whose_kme_is_down_gets_its_keys_later(ends: Ends) -> None:
    ends.kmes["b"].fault = SourceFault.TIMEOUT
    _, second = start_both(ends)
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "keys drawn")
    ends.until(lambda: bool(second.status().error), "the trouble in the status")
    assert ends.confirmed("a") == 0
    ends.kmes["b"].fault = None
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")


def test_keys_that_the_peers_kme_never_has_are_given_up(ends: Ends) -> None:
    ends.kmes["b"].forgetful = True
    start_both(ends)
    ends.until(
        lambda: ends.store("a").stocks.status(LINK).consumed >= TARGET, "retirement"
    )
    assert not ends.all_held("b")
    ends.kmes["b"].forgetful = False
    ends.until(ends.is_filled, "good keys")


def test_kmes_that_disagree_are_found_out_before_use(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    ends.kmes["b"].lying = True
    _, second = start_both(ends)
    ends.until(lambda: second.status().refused.get("differs", 0) >= TARGET, "alarm")
    assert ends.confirmed("a") == ends.confirmed("b") == 0
    assert any("differs" in record.getMessage() for record in caplog.records)
    ends.kmes["b"].lying = False
    ends.until(ends.is_filled, "good keys")


def test_a_key_twice_is_refused_and_alarmed(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = keys([1]), keys([2])
    same_bytes = [NewKey(UUID(int=3), first[0].key)]
    ends.store("a").intake.add(LINK, first)
    ends.kmes["a"].fixed = Delivery((*first, *second, *same_bytes))
    keeper = ends.start("a")
    ends.until(lambda: keeper.status().drawn >= 1, "a draw")
    assert keeper.status().refused == {"duplicate": 1, "same-bytes": 1}
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "refused 2 keys" in errors[0]
    assert ends.store("a").ledger.standing(LINK, [UUID(int=3)]) == [KeyStanding.UNKNOWN]


def test_an_end_that_lost_its_store_is_filled_anew(ends: Ends) -> None:
    start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    ends.stop("b")
    before = ends.all_held("b")
    ends.store("b").stocks.purge(LINK, all_keys=True)
    ends.start("b")

    # Its KME gave those keys once and never again: both ends must let go of them.
    def filled() -> bool:
        return ends.is_filled() and ends.in_step(ends.confirmed("a"))

    ends.until(
        lambda: not before & ends.all_held("a") and filled(), "full stock of new keys"
    )


def test_keys_that_only_the_answering_end_has_are_retired(ends: Ends) -> None:
    start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    before = ends.all_held("b")
    ends.stop("a")
    ends.store("a").stocks.purge(LINK, all_keys=True)
    ends.start("a")
    ends.until(lambda: ends.in_step(TARGET), "full stock of new keys")
    assert not before & ends.all_held("b")


def test_equal_counts_of_different_keys_are_found_within_a_day(ends: Ends) -> None:
    """One end used a key whose confirmation was lost, the other lost another by age."""
    start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    ours, theirs = sorted(ends.all_held("a"))[:2]
    ends.store("a").ledger.retire(LINK, [ours])
    ends.store("b").ledger.retire(LINK, [theirs])
    assert ends.confirmed("a") == ends.confirmed("b")
    ends.clock.advance(COMPARE_ANYWAY)
    ends.until(lambda: ends.in_step(TARGET - 2), "comparison")
    assert not {ours, theirs} & ends.all_held("a")


def test_a_restored_backup_uses_no_key_again(ends: Ends) -> None:
    start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    # The answering end used ten keys that the restored initiator believes to have.
    used = sorted(ends.all_held("b"))[:10]
    ends.stop("a")
    ends.store("b").ledger.retire(LINK, used)
    ends.start("a")
    ends.until(lambda: not set(used) & ends.all_held("a"), "the used keys' retirement")
    standing = ends.store("a").ledger.standing(LINK, used)
    assert set(standing) == {KeyStanding.USED}


def test_a_link_by_hand_confirms_what_both_imported(by_hand: Ends) -> None:
    first, second = start_both(by_hand)
    by_hand.store("a").intake.add(LINK, keys(range(1, 301)), confirmed=False)
    first.changed_by_hand()
    by_hand.run(12.0)
    assert by_hand.confirmed("a") == 0
    by_hand.store("b").intake.add(LINK, keys(range(101, 401)), confirmed=False)
    second.changed_by_hand()
    by_hand.until(lambda: by_hand.confirmed("a") == 200, "the common keys")
    by_hand.until(lambda: by_hand.confirmed("b") == 200, "the same at the peer")
    # Nothing is thrown away: the other file may be imported yet.
    assert len(by_hand.all_held("a")) == len(by_hand.all_held("b")) == 300


def test_an_empty_stock_is_drawn_from_on_demand(ends: Ends) -> None:
    ends.wire.up = False
    first = ends.start("a")
    first.machine.set_draws(draws=False)
    second = ends.start("b")

    def draw_now() -> int:
        return len(ends.do(first, Lane.URGENT, first.machine.draw_urgently()))

    assert draw_now() == 4
    offered = ends.store("a").uses.reserve(LINK, 4, holder="x")
    assert len(offered) == 4
    assert ends.do(second, Lane.FOLLOWING, second.machine.fetch(offered)) == 4
    assert ends.store("b").uses.reserve_first(LINK, offered, holder="y").key_id
    ends.kmes["a"].fault = SourceFault.EMPTY
    assert draw_now() == 0
    # And a KME that has just failed costs the next handshake no time.
    calls = ends.kmes["a"].drawn
    assert draw_now() == 0
    assert ends.kmes["a"].drawn == calls


def test_capacity_bounds_what_a_peer_can_announce(ends: Ends) -> None:
    first, second = start_both(ends)
    ends.until(lambda: ends.in_step(TARGET), "full stock in step")
    held = len(ends.all_held("b"))
    room = second.config.capacity - held
    # Not confirmed: a comparison, if one comes, has no say in them.
    ends.store("b").intake.add(LINK, keys(range(1, room + 1)), confirmed=False)
    for key_id in ends.store("a").uses.reserve(LINK, 64, holder="x"):
        ends.store("a").uses.consume(LINK, key_id, holder="x")
    first.machine.taken()
    ends.until(lambda: len(ends.all_held("a")) == TARGET, "a new batch")
    ends.run(12.0)
    assert len(ends.all_held("b")) == second.config.capacity
