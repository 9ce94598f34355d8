"""A stock that may be an old copy counts as confirmed only after a comparison."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from gateway.config.model import LinkSource
from gateway.errors import KeyStoreError
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.qkd.test_stock_in_step import LINK, Ends, keys, until

NUMBERS = range(1, 301)


@pytest.fixture
async def filled(bench: SQLiteBench, peer: SQLiteBench) -> AsyncIterator[Ends]:
    """Both ends hold the same keys, and ``a`` does not trust its own store."""
    both = Ends(bench, peer, LinkSource.FILE)
    for store in (bench.store, peer.store):
        store.intake.add(LINK, keys(NUMBERS))
    yield both
    for end in tuple(both.channel.keepers):
        await both.stop(end)


async def test_what_both_hold_is_confirmed_again(filled: Ends) -> None:
    filled.channel.up = False
    keeper = await filled.start("a")
    await filled.start("b")
    await keeper.suspect()
    assert filled.confirmed("a") == 0
    filled.channel.up = True
    await until(lambda: filled.confirmed("a") == len(NUMBERS), "trust")


@pytest.mark.parametrize("used", [1, 150, 300])
async def test_one_key_that_the_peer_has_used_condemns_them_all(
    filled: Ends, used: int, caplog: pytest.LogCaptureFixture
) -> None:
    filled.store("b").ledger.retire(LINK, [UUID(int=used)])
    keeper = await filled.start("a")
    await keeper.suspect()
    await filled.start("b")
    await until(lambda: not filled.all_held("a"), "end of the old stock")
    assert filled.confirmed("a") == 0
    await until(lambda: "the key store is an old copy" in caplog.text, "alarm")


async def test_none_is_confirmed_before_all_are_compared(filled: Ends) -> None:
    """The last page tells: until then not one may be used."""
    filled.store("b").ledger.retire(LINK, [UUID(int=NUMBERS[-1])])
    keeper = await filled.start("a")
    await keeper.suspect()
    seen = set()
    await filled.start("b")

    def ended() -> bool:
        seen.add(filled.confirmed("a"))
        return not filled.all_held("a")

    await until(ended, "end of the old stock")
    assert seen == {0}


async def test_keys_that_come_later_are_not_condemned(filled: Ends) -> None:
    filled.store("b").ledger.retire(LINK, [UUID(int=1)])
    keeper = await filled.start("a")
    await keeper.suspect()
    await filled.start("b")
    await until(lambda: not filled.all_held("a"), "end of the old stock")
    for end in "ab":
        filled.store(end).intake.add(LINK, keys(range(1000, 1010)), confirmed=False)
    for end in "ab":
        filled.channel.keepers[end].changed_by_hand()
    await until(lambda: filled.confirmed("a") == 10, "trust in new keys")
    await keeper.suspect()
    await until(lambda: filled.confirmed("a") == 10, "trust after another look")


async def test_an_empty_stock_may_be_suspected(filled: Ends) -> None:
    filled.store("a").stocks.purge(LINK, all_keys=True)
    keeper = await filled.start("a")
    await filled.start("b")
    await keeper.suspect()
    await keeper.suspect()
    await until(lambda: keeper.status().compared_ago_s is not None, "comparison")


async def test_a_store_that_fails_meanwhile_is_suspected_again(
    filled: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.channel.up = False
    keeper = await filled.start("a")
    store = filled.store("a")

    def fail(*_: object) -> int:
        raise KeyStoreError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(store.ledger, "doubt", fail)
        with pytest.raises(KeyStoreError):
            await keeper.suspect()
    assert filled.confirmed("a") == len(NUMBERS)
    await keeper.suspect()
    assert filled.confirmed("a") == 0
