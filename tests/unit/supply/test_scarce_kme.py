"""Two stocks of one end at a KME that has little, now and then."""

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import SourceFault
from gateway.supply.turns import SharedKME
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.kme_pair import MemoryKME, SharedPool
from tests.unit.supply.stepped import Site, Stepper

STOCKS = ("satellite", "lux>sin")
DRIBBLE = 6
"""Keys that come at once: fewer than one call asks for."""


class OneEnd(Stepper):
    """Two stocks of one end; no tunnel is up."""

    def __init__(self, bench: SQLiteBench, kmes: dict[str, MemoryKME]) -> None:
        super().__init__()
        self.clock.benches.append(bench)
        self.store = bench.store
        shared = SharedKME()
        for stock, kme in kmes.items():
            link = LinkConfig(
                stock,
                LinkSource.ETSI014,
                target=40,
                low_water=4,
                kme=KMEConfig((), "a", "b", batch=16, requests_per_minute=6000.0),
            )
            self.sites[stock] = Site(
                self.clock,
                link,
                bench,
                kme,
                send=lambda message: False,
                draws=True,
                shared=shared,
            )

    def drops(self, pool: SharedPool, rounds: int) -> dict[str, int]:
        """Let keys come in small lots; return what each stock has of them."""
        for _ in range(rounds):
            pool.left += DRIBBLE
            self.until(lambda: not pool.left, "drawing of all keys")
        self.run(20.0)
        return {stock: self.store.stocks.status(stock).available for stock in STOCKS}


def test_neither_starves_while_the_other_fills(bench: SQLiteBench) -> None:
    pool = SharedPool(left=0)
    got = OneEnd(bench, {one: MemoryKME(pool) for one in STOCKS}).drops(pool, 6)
    assert sum(got.values()) == 6 * DRIBBLE
    # Turns are taken by who has less: they are one lot apart at most.
    assert abs(got["satellite"] - got["lux>sin"]) <= DRIBBLE


def test_one_that_is_out_of_order_holds_nobody_up(bench: SQLiteBench) -> None:
    pool = SharedPool(left=0)
    kmes = {stock: MemoryKME(pool) for stock in STOCKS}
    kmes["lux>sin"].fault = SourceFault.UNAUTHORIZED
    got = OneEnd(bench, kmes).drops(pool, 3)
    assert got == {"satellite": 3 * DRIBBLE, "lux>sin": 0}
