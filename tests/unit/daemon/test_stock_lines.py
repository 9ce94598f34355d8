"""What the log says of a stock: it counts what the alarm counts."""

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from gateway.config.model import LinkConfig, LinkSource
from gateway.errors import KeyStoreError
from gateway.host.bounded_log import BoundedLines
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStore, NewKey
from gateway.observe.alerts import link_alerts
from gateway.observe.status import report_link
from gateway.secret import Secret
from gateway.supply.alarms import StockAlarm
from gateway.supply.links import SETTLING, Links, LinkUser
from tests.unit.keystore.sqlite_bench import SQLiteBench

LINK = "fibre"
KEYS = [NewKey(UUID(int=n), Secret(n.to_bytes(32))) for n in range(1, 104)]


class Stock:
    """One link filled by hand, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.bench = SQLiteBench(folder)
        self.worker = Worker("store")
        self.links = Links(
            self.bench.store,
            self.worker,
            send=lambda _tunnel, _message: False,
            clock=lambda: self.now,
            control_mtu=1280,
        )
        self.links.configure({LINK: LinkConfig(LINK, LinkSource.FILE, low_water=20)})
        self.links.use({LINK: (LinkUser("paris", initiator=True),)})

    def close(self) -> None:
        self.worker.stop()
        self.bench.close()


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    made = Stock(tmp_path / "store")
    yield made
    made.close()


async def test_a_start_with_enough_unconfirmed_keys_is_no_alarm(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stock.bench.store.intake.add(LINK, KEYS, confirmed=False)
    await stock.links.refresh(LINK)
    assert stock.links.alarms[LINK] is StockAlarm.OK
    assert not caplog.records
    stock.bench.store.ledger.confirm(LINK, [key.key_id for key in KEYS])
    stock.now += SETTLING
    await stock.links.refresh(LINK)
    assert not caplog.records


async def test_keys_that_are_never_confirmed_are_counted_as_the_alarm_does(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stock.bench.store.intake.add(LINK, KEYS, confirmed=False)
    stock.bench.store.ledger.confirm(LINK, [key.key_id for key in KEYS[:3]])
    stock.now += SETTLING
    await stock.links.refresh(LINK)
    (record,) = caplog.records
    text = "stock is low: the peer is known to hold 3 of 103 keys"
    assert (record.levelname, record.getMessage()) == ("WARNING", text)
    assert vars(record)["link"] == LINK


async def test_a_start_with_few_keys_is_one(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    stock.bench.store.intake.add(LINK, KEYS[:19], confirmed=True)
    await stock.links.refresh(LINK)
    assert [record.getMessage() for record in caplog.records] == [
        "stock is low: 19 keys available"
    ]


async def test_a_stock_that_fills_is_not_empty_while_the_peer_has_not_answered(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    await stock.links.refresh(LINK)
    assert stock.links.alarms[LINK] is StockAlarm.EMPTY
    caplog.clear()
    stock.bench.store.intake.add(LINK, KEYS, confirmed=False)
    status = await stock.links.refresh(LINK)
    alarm = stock.links.alarms[LINK]
    assert alarm is StockAlarm.LOW
    assert [record.getMessage() for record in caplog.records] == [
        "stock is low: the peer is known to hold 0 of 103 keys"
    ]
    shown = report_link(stock.links.configs[LINK], status, alarm)
    assert (shown["available"], shown["unconfirmed"]) == (103, 103)
    (alert,) = link_alerts([shown], lambda _link: ("", ""))
    assert alert["text"].startswith("stock is low: 0 keys, fewer than ")


async def test_keys_of_a_link_that_no_tunnel_uses_need_no_confirmation(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    stock.links.use({})
    stock.bench.store.intake.add(LINK, KEYS, confirmed=False)
    stock.now += SETTLING
    await stock.links.refresh(LINK)
    assert stock.links.alarms[LINK] is StockAlarm.OK
    stock.bench.store.ledger.retire(LINK, [key.key_id for key in KEYS[:90]])
    await stock.links.refresh(LINK)
    assert [record.getMessage() for record in caplog.records] == [
        "stock is low: 13 keys available"
    ]


class Filling:
    """A source that fails, has nothing due, or brings keys, as told."""

    link = LINK
    description = "as told"

    def __init__(self, *turns: int | KeyStoreError) -> None:
        self._turns = list(turns)

    def fill(self, _store: KeyStore, _now: float) -> int:
        turn = self._turns.pop(0)
        if isinstance(turn, KeyStoreError):
            raise turn
        return turn

    def ensure(self, *_: object) -> int:
        raise NotImplementedError

    def resync(self, *_: object) -> int:
        raise NotImplementedError


@pytest.fixture
def bounded(stock: Stock, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The filter before journal and console."""
    found = BoundedLines(lambda: stock.now)
    caplog.handler.addFilter(found)
    yield
    caplog.handler.removeFilter(found)


@pytest.mark.usefixtures("bounded")
async def test_a_stock_is_kept_again_once_keys_come_in_again(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    """And not with each second in which no key was due, while the disk is full."""
    caplog.set_level(logging.INFO)
    stock.bench.store.intake.add(LINK, KEYS)
    full = KeyStoreError("no keys are taken in: the disk is full")
    stock.links.sources[LINK] = Filling(full, 0, full, 0, 0, full, 0, 4, 0)
    for _ in range(9):
        await stock.links._turn(stock.now)
        stock.now += 1.0
    said = [record.getMessage() for record in caplog.records]
    assert said == ["no keys are taken in: the disk is full", "its stock is kept again"]
