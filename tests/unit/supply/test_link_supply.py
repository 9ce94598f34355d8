"""The tasks of one link's supply: what handshakes wait for, and what a reload keeps."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStanding
from gateway.supply import link as link_module
from gateway.supply.link import LinkSupply
from gateway.supply.links import Links
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.kme_pair import MemoryKME, SharedPool
from tests.unit.supply.test_stock_in_step import LINK, keys

FETCHED = LinkConfig(LINK, LinkSource.ETSI014, kme=KMEConfig((), "a", "b"))


@pytest.fixture
def kme() -> MemoryKME:
    return MemoryKME(SharedPool())


@pytest_asyncio.fixture
async def supply(bench: SQLiteBench, kme: MemoryKME) -> AsyncIterator[LinkSupply]:
    made = LinkSupply(
        FETCHED,
        kme,
        bench.store,
        asyncio.to_thread,
        send=lambda _message, _tunnel: False,
        clock=asyncio.get_running_loop().time,
        mtu=1200,
    )
    yield made
    await made.stop()


async def test_keys_fetched_too_late_for_a_handshake_are_kept(
    supply: LinkSupply,
    kme: MemoryKME,
    bench: SQLiteBench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its KME gives them once: a fetch that were cut short would lose them."""
    monkeypatch.setattr(link_module, "ON_DEMAND", 0.05)
    offered = [key.key_id for key in kme.draw(4).keys]
    kme.delay = 0.3
    assert await supply.fetch_now(offered) == 0
    for _ in range(500):
        if KeyStanding.UNKNOWN not in bench.store.ledger.standing(LINK, offered):
            break
        await asyncio.sleep(0.02)
    assert set(bench.store.ledger.standing(LINK, offered)) == {KeyStanding.HELD}
    # What is there is asked for no more, however slow the KME is.
    kme.delay = 3600.0
    assert await supply.fetch_now(offered) == 0
    assert kme.fetched == 1


async def test_a_reload_of_a_link_goes_on_suspecting_its_stock(
    bench: SQLiteBench,
) -> None:
    worker = Worker("store")
    links = Links(
        bench.store,
        worker,
        send=lambda _tunnel, _message: False,
        clock=asyncio.get_running_loop().time,
        control_mtu=1280,
    )
    by_hand = LinkConfig(LINK, LinkSource.FILE)
    bench.store.intake.add(LINK, keys(range(1, 11)))
    links.configure({LINK: by_hand})
    try:
        await links.start()
        await links.suspect(LINK)
        before = links.keepers[LINK]
        links.configure({LINK: replace(by_hand, target=7)})
        await links.settle()
        after = links.keepers[LINK]
        assert after is not before
        assert after.hand_over() == before.hand_over()
        assert after.hand_over().suspicion is not None
    finally:
        await links.stop()
        worker.stop()
