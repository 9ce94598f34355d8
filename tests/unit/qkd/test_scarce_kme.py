"""Two stocks of one end at a KME that has little, now and then."""

import asyncio

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import SourceFault
from gateway.supply.link import LinkSupply
from gateway.supply.turns import SharedKME
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.qkd.kme_pair import MemoryKME, SharedPool

SPEED = 200.0
"""How much faster than real time these tests run."""

STOCKS = ("satellite", "lux>sin")
DRIBBLE = 6
"""Keys that come at once: fewer than one call asks for."""


def make_keeper(
    stock: str, kme: MemoryKME, bench: SQLiteBench, shared: SharedKME | None
) -> LinkSupply:
    loop = asyncio.get_running_loop()
    keeper = LinkSupply(
        LinkConfig(
            stock,
            LinkSource.ETSI014,
            target=40,
            low_water=4,
            kme=KMEConfig((), "a", "b", batch=16, requests_per_minute=6000.0),
        ),
        kme,
        bench.store,
        asyncio.to_thread,
        send=lambda message, tunnel: False,
        clock=lambda: loop.time() * SPEED,
        mtu=1200,
        shared=shared,
    )
    keeper.set_draws(draws=True)
    return keeper


async def drops(pool: SharedPool, bench: SQLiteBench, rounds: int) -> dict[str, int]:
    """Let keys come in small lots; return what each stock has after all are drawn."""
    for _ in range(rounds):
        pool.left += DRIBBLE
        for _ in range(1000):
            if not pool.left:
                break
            await asyncio.sleep(0.01)
        assert not pool.left
    await asyncio.sleep(0.1)
    return {stock: bench.store.stocks.status(stock).available for stock in STOCKS}


async def test_neither_starves_while_the_other_fills(bench: SQLiteBench) -> None:
    pool, shared = SharedPool(left=0), SharedKME()
    keepers = [make_keeper(one, MemoryKME(pool), bench, shared) for one in STOCKS]
    for keeper in keepers:
        keeper.start()
    got = await drops(pool, bench, 6)
    for keeper in keepers:
        await keeper.stop()
    assert sum(got.values()) == 6 * DRIBBLE
    # Turns are taken by who has less: they are one lot apart at most.
    assert abs(got["satellite"] - got["lux>sin"]) <= DRIBBLE


async def test_one_that_is_out_of_order_holds_nobody_up(bench: SQLiteBench) -> None:
    pool, shared = SharedPool(left=0), SharedKME()
    kmes = {stock: MemoryKME(pool) for stock in STOCKS}
    kmes["lux>sin"].fault = SourceFault.UNAUTHORIZED
    keepers = [make_keeper(one, kmes[one], bench, shared) for one in STOCKS]
    for keeper in keepers:
        keeper.start()
    got = await drops(pool, bench, 3)
    for keeper in keepers:
        await keeper.stop()
    assert got == {"satellite": 3 * DRIBBLE, "lux>sin": 0}
