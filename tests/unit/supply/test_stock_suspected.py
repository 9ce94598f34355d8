"""A stock that may be an old copy counts as confirmed only after a comparison."""

from uuid import UUID

import pytest

from gateway.config.model import LinkSource
from gateway.errors import KeyStoreError
from gateway.supply.machine import Lane
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.stepped import Site
from tests.unit.supply.test_stock_in_step import LINK, Ends, keys

NUMBERS = range(1, 301)


@pytest.fixture
def filled(bench: SQLiteBench, peer: SQLiteBench) -> Ends:
    """Both ends hold the same keys, and ``a`` does not trust its own store."""
    both = Ends(bench, peer, LinkSource.FILE)
    for store in (bench.store, peer.store):
        store.intake.add(LINK, keys(NUMBERS))
    return both


def suspect(ends: Ends, site: Site) -> None:
    ends.do(site, Lane.LEADING, site.machine.suspect())


def test_what_both_hold_is_confirmed_again(filled: Ends) -> None:
    filled.wire.up = False
    keeper = filled.start("a")
    filled.start("b")
    suspect(filled, keeper)
    assert filled.confirmed("a") == 0
    filled.wire.up = True
    filled.until(lambda: filled.confirmed("a") == len(NUMBERS), "trust")


@pytest.mark.parametrize("used", [1, 150, 300])
def test_one_key_that_the_peer_has_used_condemns_them_all(
    filled: Ends, used: int, caplog: pytest.LogCaptureFixture
) -> None:
    filled.store("b").ledger.retire(LINK, [UUID(int=used)])
    keeper = filled.start("a")
    suspect(filled, keeper)
    filled.start("b")
    filled.until(lambda: not filled.all_held("a"), "end of the old stock")
    assert filled.confirmed("a") == 0
    filled.until(lambda: "the key store is an old copy" in caplog.text, "alarm")


def test_none_is_confirmed_before_all_are_compared(filled: Ends) -> None:
    """The last page tells: until then not one may be used."""
    filled.store("b").ledger.retire(LINK, [UUID(int=NUMBERS[-1])])
    keeper = filled.start("a")
    suspect(filled, keeper)
    seen = set()
    filled.start("b")

    def ended() -> bool:
        seen.add(filled.confirmed("a"))
        return not filled.all_held("a")

    filled.until(ended, "end of the old stock")
    assert seen == {0}


def test_keys_that_come_later_are_not_condemned(filled: Ends) -> None:
    filled.store("b").ledger.retire(LINK, [UUID(int=1)])
    keeper = filled.start("a")
    suspect(filled, keeper)
    filled.start("b")
    filled.until(lambda: not filled.all_held("a"), "end of the old stock")
    for end in "ab":
        filled.store(end).intake.add(LINK, keys(range(1000, 1010)), confirmed=False)
    for end in "ab":
        filled.sites[end].changed_by_hand()
    filled.until(lambda: filled.confirmed("a") == 10, "trust in new keys")
    suspect(filled, keeper)
    filled.until(lambda: filled.confirmed("a") == 10, "trust after another look")


def test_an_empty_stock_may_be_suspected(filled: Ends) -> None:
    filled.store("a").stocks.purge(LINK, all_keys=True)
    keeper = filled.start("a")
    filled.start("b")
    suspect(filled, keeper)
    suspect(filled, keeper)
    filled.until(lambda: keeper.status().compared_ago_s is not None, "comparison")


def test_a_store_that_fails_meanwhile_is_suspected_again(
    filled: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.wire.up = False
    keeper = filled.start("a")
    store = filled.store("a")

    def fail(*_: object) -> int:
        raise KeyStoreError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(store.ledger, "doubt", fail)
        with pytest.raises(KeyStoreError):
            suspect(filled, keeper)
    assert filled.confirmed("a") == len(NUMBERS)
    suspect(filled, keeper)
    assert filled.confirmed("a") == 0
