"""Two keepers, two real stores, and a channel between them that may lose messages."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from uuid import UUID

import pytest

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import SourceFault
from gateway.keystore.base import KeyStanding, KeyStore, NewKey
from gateway.secret import Secret
from gateway.sources.base import Delivery
from gateway.supply import leader as herald
from gateway.supply.link import LinkSupply
from gateway.wire.control import StockMessage, decode_control, encode_control
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.qkd.kme_pair import MemoryKME, SharedPool

LINK = "fibre"
SPEED = 40.0
"""How much faster than real time these tests run."""

TARGET, BATCH = 200, 64
MTU = 1_200
PATIENCE = 100.0
"""Seconds to wait, at most, for what takes one or two on an idle machine."""


class Channel:
    """Carries messages as bytes between two keepers, or loses them."""

    def __init__(self) -> None:
        self.up = True
        self.drops: Iterator[bool] = itertools.repeat(False)
        self.keepers: dict[str, LinkSupply] = {}
        self.sent = 0

    def sender(self, to: str) -> Callable[[StockMessage, str | None], bool]:
        def send(message: StockMessage, tunnel: str | None) -> bool:
            if not self.up or to not in self.keepers:
                return False
            self.sent += 1
            data = encode_control(message)
            assert len(data) <= MTU
            if not next(self.drops):
                asyncio.get_running_loop().call_soon(self._arrive, to, data)
            return True

        return send

    def _arrive(self, to: str, data: bytes) -> None:
        message = decode_control(data)
        assert not isinstance(message, type(None))
        if to in self.keepers:
            self.keepers[to].receive(message, "tunnel")  # type: ignore[arg-type]  # only these are sent


class Ends:
    """Both ends of one link; ``a`` starts the handshakes."""

    def __init__(self, a: SQLiteBench, b: SQLiteBench, source: LinkSource) -> None:
        self.pool = SharedPool()
        self.kmes = {"a": MemoryKME(self.pool), "b": MemoryKME(self.pool)}
        self.benches = {"a": a, "b": b}
        self.channel = Channel()
        self.source = source

    def store(self, end: str) -> KeyStore:
        return self.benches[end].store

    def config(self) -> LinkConfig:
        fetched = self.source is LinkSource.ETSI014
        kme = KMEConfig((), "a", "b", batch=BATCH, requests_per_minute=600.0)
        return LinkConfig(
            LINK, self.source, target=TARGET, kme=kme if fetched else None
        )

    async def start(self, end: str) -> LinkSupply:
        loop = asyncio.get_running_loop()

        async def run(
            call: Callable[..., object], *args: object, **kw: object
        ) -> object:
            return await asyncio.to_thread(call, *args, **kw)

        keeper = LinkSupply(
            self.config(),
            self.kmes[end] if self.source is LinkSource.ETSI014 else None,
            self.store(end),
            asyncio.to_thread,
            send=self.channel.sender("b" if end == "a" else "a"),
            clock=lambda: loop.time() * SPEED,
            mtu=MTU,
        )
        self.channel.keepers[end] = keeper
        keeper.set_draws(draws=end == "a")
        keeper.start()
        return keeper

    async def stop(self, end: str) -> None:
        await self.channel.keepers.pop(end).stop()

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


async def until(
    condition: Callable[[], bool], what: str, seconds: float = PATIENCE
) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"no {what} within {seconds} s")


@pytest.fixture
async def ends(bench: SQLiteBench, peer: SQLiteBench) -> AsyncIterator[Ends]:
    both = Ends(bench, peer, LinkSource.ETSI014)
    yield both
    for end in tuple(both.channel.keepers):
        await both.stop(end)


@pytest.fixture
async def by_hand(bench: SQLiteBench, peer: SQLiteBench) -> AsyncIterator[Ends]:
    both = Ends(bench, peer, LinkSource.FILE)
    yield both
    for end in tuple(both.channel.keepers):
        await both.stop(end)


def keys(numbers: Sequence[int]) -> list[NewKey]:
    return [NewKey(UUID(int=n), Secret(n.to_bytes(32))) for n in numbers]


async def start_both(ends: Ends) -> tuple[LinkSupply, LinkSupply]:
    return await ends.start("a"), await ends.start("b")


async def test_stock_fills_to_its_target_at_both_ends(ends: Ends) -> None:
    first, second = await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
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


async def test_a_channel_that_loses_every_third_message(ends: Ends) -> None:
    ends.channel.drops = itertools.cycle((False, False, True))
    await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")


async def test_nothing_is_confirmed_before_the_peer_holds_it(ends: Ends) -> None:
    ends.channel.up = False
    first = await ends.start("a")
    await until(lambda: len(ends.all_held("a")) == TARGET, "keys drawn")
    assert ends.confirmed("a") == 0
    await ends.start("b")
    ends.channel.up = True
    first.connected()
    await until(lambda: ends.in_step(TARGET), "full stock in step")


async def test_a_batch_is_drawn_only_when_a_batch_is_missing(ends: Ends) -> None:
    first, _ = await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    calls = ends.kmes["a"].drawn
    store = ends.store("a")
    for key_id in store.uses.reserve(LINK, 63, holder="x"):
        store.uses.consume(LINK, key_id, holder="x")
    first.taken()
    await asyncio.sleep(0.2)
    assert ends.kmes["a"].drawn == calls
    (last,) = store.uses.reserve(LINK, 1, holder="x")
    store.uses.consume(LINK, last, holder="x")
    first.taken()
    await until(lambda: len(ends.all_held("a")) == TARGET, "a new batch")
    assert ends.kmes["a"].drawn == calls + 1


async def test_a_dead_kme_eats_only_stock_and_is_taken_up_again(ends: Ends) -> None:
    first, _ = await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    ends.kmes["a"].fault = SourceFault.UNREACHABLE
    store = ends.store("a")
    for key_id in store.uses.reserve(LINK, 100, holder="x"):
        store.uses.consume(LINK, key_id, holder="x")
    first.taken()
    await until(lambda: bool(first.status().error), "the trouble in the status")
    calls = ends.kmes["a"].drawn
    await asyncio.sleep(1.0)
    # 40 s of back-off from 2 s on: a handful of calls, not hundreds.
    assert 1 <= ends.kmes["a"].drawn - calls <= 8
    assert ends.confirmed("a") == TARGET - 100
    ends.kmes["a"].fault = None
    await until(lambda: len(ends.all_held("a")) == TARGET, "new keys")
    assert not first.status().error


async def test_a_peer_whose_kme_is_down_gets_its_keys_later(ends: Ends) -> None:
    ends.kmes["b"].fault = SourceFault.TIMEOUT
    _, second = await start_both(ends)
    await until(lambda: len(ends.all_held("a")) == TARGET, "keys drawn")
    await until(lambda: bool(second.status().error), "the trouble in the status")
    assert ends.confirmed("a") == 0
    ends.kmes["b"].fault = None
    await until(lambda: ends.in_step(TARGET), "full stock in step")


async def test_keys_that_the_peers_kme_never_has_are_given_up(ends: Ends) -> None:
    ends.kmes["b"].forgetful = True
    await start_both(ends)
    await until(
        lambda: ends.store("a").stocks.status(LINK).consumed >= TARGET, "retirement"
    )
    assert not ends.all_held("b")
    ends.kmes["b"].forgetful = False
    await until(ends.is_filled, "good keys")


async def test_kmes_that_disagree_are_found_out_before_use(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    ends.kmes["b"].lying = True
    _, second = await start_both(ends)
    await until(lambda: second.status().refused.get("differs", 0) >= TARGET, "alarm")
    assert ends.confirmed("a") == ends.confirmed("b") == 0
    assert any("differs" in record.getMessage() for record in caplog.records)
    ends.kmes["b"].lying = False
    await until(ends.is_filled, "good keys")


async def test_a_key_twice_is_refused_and_alarmed(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = keys([1]), keys([2])
    same_bytes = [NewKey(UUID(int=3), first[0].key)]
    ends.store("a").intake.add(LINK, first)
    ends.kmes["a"].fixed = Delivery((*first, *second, *same_bytes))
    keeper = await ends.start("a")
    await until(lambda: keeper.status().drawn >= 1, "a draw")
    assert keeper.status().refused == {"duplicate": 1, "same-bytes": 1}
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "refused 2 keys" in errors[0]
    assert ends.store("a").ledger.standing(LINK, [UUID(int=3)]) == [KeyStanding.UNKNOWN]


async def test_an_end_that_lost_its_store_is_filled_anew(ends: Ends) -> None:
    await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    await ends.stop("b")
    before = ends.all_held("b")
    ends.store("b").stocks.purge(LINK, all_keys=True)
    await ends.start("b")

    # Its KME gave those keys once and never again: both ends must let go of them.
    def filled() -> bool:
        return ends.is_filled() and ends.in_step(ends.confirmed("a"))

    await until(
        lambda: not before & ends.all_held("a") and filled(), "full stock of new keys"
    )


async def test_keys_that_only_the_answering_end_has_are_retired(ends: Ends) -> None:
    await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    before = ends.all_held("b")
    await ends.stop("a")
    ends.store("a").stocks.purge(LINK, all_keys=True)
    await ends.start("a")
    await until(lambda: ends.in_step(TARGET), "full stock of new keys")
    assert not before & ends.all_held("b")


async def test_equal_counts_of_different_keys_are_found_within_a_day(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One end used a key whose confirmation was lost, the other lost another by age."""
    monkeypatch.setattr(herald, "COMPARE_ANYWAY", 120.0)
    await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    ours, theirs = sorted(ends.all_held("a"))[:2]
    ends.store("a").ledger.retire(LINK, [ours])
    ends.store("b").ledger.retire(LINK, [theirs])
    assert ends.confirmed("a") == ends.confirmed("b")
    await until(lambda: ends.in_step(TARGET - 2), "comparison")
    assert not {ours, theirs} & ends.all_held("a")


async def test_a_restored_backup_uses_no_key_again(ends: Ends) -> None:
    await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    # The answering end used ten keys that the restored initiator believes to have.
    used = sorted(ends.all_held("b"))[:10]
    await ends.stop("a")
    ends.store("b").ledger.retire(LINK, used)
    await ends.start("a")
    await until(lambda: not set(used) & ends.all_held("a"), "the used keys' retirement")
    standing = ends.store("a").ledger.standing(LINK, used)
    assert set(standing) == {KeyStanding.USED}


async def test_a_link_by_hand_confirms_what_both_imported(by_hand: Ends) -> None:
    first, second = await start_both(by_hand)
    by_hand.store("a").intake.add(LINK, keys(range(1, 301)), confirmed=False)
    first.changed_by_hand()
    await asyncio.sleep(0.3)
    assert by_hand.confirmed("a") == 0
    by_hand.store("b").intake.add(LINK, keys(range(101, 401)), confirmed=False)
    second.changed_by_hand()
    await until(lambda: by_hand.confirmed("a") == 200, "the common keys")
    await until(lambda: by_hand.confirmed("b") == 200, "the same at the peer")
    # Nothing is thrown away: the other file may be imported yet.
    assert len(by_hand.all_held("a")) == len(by_hand.all_held("b")) == 300


async def test_an_empty_stock_is_drawn_from_on_demand(ends: Ends) -> None:
    ends.channel.up = False
    first = await ends.start("a")
    first.set_draws(draws=False)
    second = await ends.start("b")
    assert await first.draw_now() == 4
    offered = ends.store("a").uses.reserve(LINK, 4, holder="x")
    assert len(offered) == 4
    assert await second.fetch_now(offered) == 4
    assert ends.store("b").uses.reserve_first(LINK, offered, holder="y").key_id
    ends.kmes["a"].fault = SourceFault.EMPTY
    assert await first.draw_now() == 0
    # And a KME that has just failed costs the next handshake no time.
    ends.kmes["a"].fault, ends.kmes["a"].delay = None, 3600.0
    assert await first.draw_now() == 0


async def test_capacity_bounds_what_a_peer_can_announce(ends: Ends) -> None:
    first, second = await start_both(ends)
    await until(lambda: ends.in_step(TARGET), "full stock in step")
    held = len(ends.all_held("b"))
    room = second.config.capacity - held
    # Not confirmed: a comparison, if one comes, has no say in them.
    ends.store("b").intake.add(LINK, keys(range(1, room + 1)), confirmed=False)
    for key_id in ends.store("a").uses.reserve(LINK, 64, holder="x"):
        ends.store("a").uses.consume(LINK, key_id, holder="x")
    first.taken()
    await until(lambda: len(ends.all_held("a")) == TARGET, "a new batch")
    await asyncio.sleep(0.3)
    assert len(ends.all_held("b")) == second.config.capacity
