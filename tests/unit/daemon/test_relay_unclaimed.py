"""Relayed keys at their destination whose origin does not hold them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from gateway.config.model import LinkConfig, LinkSource, RouteConfig
from gateway.errors import KeyStoreError
from gateway.keystore.base import KeyStanding, NewKey
from gateway.relay.events import RelayedKeys
from gateway.relay.stocks import ON_THE_WAY, UNCLAIMED, Destination
from gateway.secret import Secret
from tests.unit.keystore.sqlite_bench import SQLiteBench

LINK = "redu-sin"
ROUTE = ("redu", "lux", "sin")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SQLiteBench]:
    made = SQLiteBench(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(bench: SQLiteBench, clock: Clock, paths: int = 1) -> Destination:
    link = LinkConfig(
        LINK, LinkSource.RELAY, route=RouteConfig("redu", paths=paths), capacity=50
    )
    destination = Destination({LINK: link}, bench.store)
    destination.clock = clock
    return destination


def relayed(
    *numbers: int, routes: tuple[tuple[str, ...], ...] = (ROUTE,)
) -> RelayedKeys:
    keys = tuple(NewKey(UUID(int=n), Secret((n + 1).to_bytes(32))) for n in numbers)
    return RelayedKeys(UUID(int=1), "redu", routes, keys, confirmed=False)


def held(bench: SQLiteBench) -> set[int]:
    return {one.int for one in bench.store.ledger.held(LINK, after=None, count=1_000)}


def never(_: str) -> bool:
    return False


def test_a_day_without_a_word_ends_them(bench: SQLiteBench, clock: Clock) -> None:
    destination = make(bench, clock)
    destination.take(relayed(1, 2, 3))
    bench.store.ledger.confirm(LINK, [UUID(int=2)])
    for hours in (0, 12, 23):
        destination.forget_unclaimed(never, clock.now + hours * 3_600.0)
    assert held(bench) == {1, 2, 3}
    destination.forget_unclaimed(never, clock.now + UNCLAIMED)
    assert held(bench) == {2}
    standing = bench.store.ledger.standing(LINK, [UUID(int=1)])
    assert standing == [KeyStanding.USED]  # so it cannot come back


def test_the_origin_itself_forgets_none(bench: SQLiteBench, clock: Clock) -> None:
    destination = make(bench, clock)
    destination.take(relayed(1))
    for now in (0.0, 10 * UNCLAIMED):
        destination.forget_unclaimed(lambda _: True, now)
    assert held(bench) == {1}


def test_keys_that_their_origin_does_not_list_go_after_a_while(
    bench: SQLiteBench, clock: Clock
) -> None:
    destination = make(bench, clock)
    destination.take(relayed(1, 2))
    destination.disown(LINK, [UUID(int=1), UUID(int=2)])
    assert held(bench) == {1, 2}  # the answer may be on its way
    destination.forget_unclaimed(never, clock.now)
    bench.store.ledger.confirm(LINK, [UUID(int=2)])  # and it was
    clock.now += ON_THE_WAY
    destination.take(relayed(3))
    destination.forget_unclaimed(never, clock.now)
    assert held(bench) == {2, 3}


def test_keys_of_an_earlier_run_go_at_once(bench: SQLiteBench, clock: Clock) -> None:
    make(bench, clock).take(relayed(1, 2))
    bench.store.ledger.confirm(LINK, [UUID(int=2)])
    make(bench, clock).disown(LINK, [UUID(int=1), UUID(int=2), UUID(int=9)])
    assert held(bench) == {2}  # confirmed ones are the keeper's business


def test_arrivals_are_remembered_for_a_minute_only(
    bench: SQLiteBench, clock: Clock
) -> None:
    destination = make(bench, clock)
    for turn in range(10):
        destination.take(relayed(*range(turn * 5, turn * 5 + 5)))
        clock.now += ON_THE_WAY / 2
    assert len(destination._arrived) <= 15


def test_a_full_stock_takes_all_or_none(bench: SQLiteBench, clock: Clock) -> None:
    destination = make(bench, clock)
    destination.take(relayed(*range(45)))
    with pytest.raises(KeyStoreError, match="stock of link redu-sin is full"):
        destination.take(relayed(*range(100, 106)))
    assert held(bench) == set(range(45))
    destination.take(relayed(*range(100, 105)))


def test_one_known_key_spoils_its_bundle(bench: SQLiteBench, clock: Clock) -> None:
    destination = make(bench, clock)
    destination.take(relayed(1))
    bench.store.ledger.retire(LINK, [UUID(int=1)])
    with pytest.raises(KeyStoreError, match="relayed keys were refused: used"):
        destination.take(relayed(1, 2))
    assert held(bench) == set()


@pytest.mark.parametrize("routes", [(ROUTE,), (ROUTE, ("redu", "sin"))])
def test_paths_are_counted(
    bench: SQLiteBench, clock: Clock, routes: tuple[tuple[str, ...], ...]
) -> None:
    destination = make(bench, clock, paths=2)
    if len(routes) == 1:
        with pytest.raises(KeyStoreError, match="other paths than configured"):
            destination.take(relayed(1, routes=routes))
    else:
        destination.take(relayed(1, routes=routes))
    assert held(bench) == ({1} if len(routes) > 1 else set())
