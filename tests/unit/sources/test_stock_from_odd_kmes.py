"""A link's stock where its KME refuses, spoils or delays what is drawn, over TLS."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from doubles.kme_pair import KMEPair

from gateway.config.model import LinkConfig
from gateway.host.bounded_log import BoundedLines
from gateway.host.repeats import FIRST_REPEAT
from gateway.sources.clients import make_client
from gateway.supply import link as keeper_module
from gateway.supply.link import LinkSupply
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.sources.conftest import MakeKME, MakeLink, Waits
from tests.unit.sources.hostile import Asked, HostileKME, container, reply
from tests.unit.sources.odd_kmes import WORDS, FakeOddKME, OddKME, OwnOddKME
from tests.unit.sources.stepped_supply import SteppedSupply
from tests.unit.supply.stepped import Clock

MakeKeeper = Callable[[LinkConfig], LinkSupply]
MakeStepped = Callable[[LinkConfig], SteppedSupply]


@pytest.fixture
def clock(bench: SQLiteBench) -> Clock:
    made = Clock()
    made.benches.append(bench)
    return made


@pytest.fixture(autouse=True)
def bounded(clock: Clock, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The filter before journal and console, by the supply's clock."""
    found = BoundedLines(lambda: clock.now)
    caplog.handler.addFilter(found)
    yield
    caplog.handler.removeFilter(found)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SQLiteBench]:
    made = SQLiteBench(tmp_path / "store")
    yield made
    made.close()


@pytest_asyncio.fixture
async def make_keeper(
    bench: SQLiteBench, clock: Clock, waits: Waits
) -> AsyncIterator[MakeKeeper]:
    made: list[LinkSupply] = []

    def make(link: LinkConfig) -> LinkSupply:
        keeper = LinkSupply(
            link,
            make_client(link, patience=waits.patience),
            bench.store,
            asyncio.to_thread,
            send=lambda _message, _tunnel: False,
            clock=lambda: clock.now,
            mtu=1200,
        )
        keeper.set_draws(draws=True)
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        await keeper.stop()


@pytest_asyncio.fixture
async def make_stepped(
    bench: SQLiteBench, clock: Clock, waits: Waits
) -> AsyncIterator[MakeStepped]:
    made: list[SteppedSupply] = []

    def make(link: LinkConfig) -> SteppedSupply:
        client = make_client(link, patience=waits.patience)
        made.append(SteppedSupply(clock, link, client, bench))
        return made[-1]

    yield make
    for supply in made:
        await supply.stop()


@pytest_asyncio.fixture(params=["fake", "own"])
async def odd(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_kme: MakeKME,
    make_link: MakeLink,
) -> AsyncIterator[OddKME]:
    """Every row against both makes of odd KMEs."""
    if request.param == "fake":
        kme = await make_kme()
        yield FakeOddKME(kme, make_link(kme))
        return
    async with KMEPair(tmp_path / "pair", requests_per_second=0) as pair:
        yield OwnOddKME(pair)


async def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"no {what} within {seconds} s")


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "event", "").startswith(event)
    ]


@pytest.mark.parametrize("status", [400, 503])
async def test_all_but_the_kept_key_come_into_stock(
    odd: OddKME, make_stepped: MakeStepped, bench: SQLiteBench, status: int
) -> None:
    """40 keys in the KME, 64 wanted: 39 come, within the first minute."""
    await odd.add(40)
    odd.keep_one(status)
    supply = make_stepped(odd.link)
    await supply.until(lambda: odd.left == 1, "last key", 60.0)
    assert bench.store.stocks.status(odd.link.name).available == 39


async def test_a_handshake_gets_keys_though_a_batch_has_just_failed(
    odd: OddKME, make_keeper: MakeKeeper
) -> None:
    await odd.add(1)
    odd.keep_one(503)
    keeper = make_keeper(odd.link)
    assert not await keeper.draw(64)
    assert keeper.status().retry_in_s > 0
    await odd.add(40)
    assert await keeper.draw_now() == 1
    assert not keeper.status().error


async def test_a_handshake_does_not_wait_behind_a_slow_batch(
    kme: HostileKME, make_link: MakeLink, make_keeper: MakeKeeper
) -> None:
    released = asyncio.Event()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.members["number"] > 4:
            await released.wait()
        writer.write(kme.good_answer(asked))

    kme.replies["enc_keys"] = [answer]
    keeper = make_keeper(make_link(kme))
    batch = asyncio.create_task(keeper.draw(64))
    await until(lambda: len(kme.calls("enc_keys")) == 1, "batch under way")
    assert await keeper.draw_now() == 4
    released.set()
    assert await batch == 64


async def test_keys_that_come_too_late_for_a_handshake_are_kept(
    kme: HostileKME,
    make_link: MakeLink,
    make_keeper: MakeKeeper,
    bench: SQLiteBench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper_module, "ON_DEMAND", 0.1)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(kme.good_answer(asked))

    kme.replies["enc_keys"] = [answer]
    link = make_link(kme)
    assert await make_keeper(link).draw_now() == 0
    await until(
        lambda: bench.store.stocks.status(link.name).available == 4, "keys in stock"
    )


async def test_a_kme_that_is_away_costs_handshakes_nothing(
    kme: HostileKME, make_link: MakeLink, make_keeper: MakeKeeper
) -> None:
    keeper = make_keeper(make_link(kme))
    await kme.stop()
    assert not await keeper.draw(64)
    calls = keeper.status().calls
    assert await keeper.draw_now() == 0
    assert keeper.status().calls == calls


def unpadded(kme: HostileKME, count: int) -> bytes:
    document = container([kme.new_key() for _ in range(count)])
    for entry in document["keys"]:
        entry["key"] = entry["key"].rstrip("=")
    return reply(document)


async def test_keys_without_padding_are_drawn_singly_until_one_is_good(
    kme: HostileKME, make_link: MakeLink, make_stepped: MakeStepped, bench: SQLiteBench
) -> None:
    """The KME loses one batch, and then single keys; the fault is shown meanwhile."""
    is_good = False

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = asked.members["number"]
        writer.write(kme.good_answer(asked) if is_good else unpadded(kme, number))

    kme.replies["enc_keys"] = [answer]
    link = replace(make_link(kme), target=150)
    supply = make_stepped(link)
    await supply.until(lambda: len(kme.calls("enc_keys")) >= 4, "calls")
    asked = [one.members["number"] for one in kme.calls("enc_keys")]
    assert asked[0] == 64
    assert set(asked[1:]) == {1}
    status = supply.status()
    assert "no key that came can be used (1 malformed)" in status.error
    assert status.hint
    assert status.refused == {"malformed": 64 + len(asked) - 1}
    is_good = True
    await supply.until(
        lambda: bench.store.stocks.status(link.name).available >= 150 - 64,
        "a full stock",
    )
    assert not supply.status().error
    asked = [one.members["number"] for one in kme.calls("enc_keys")][len(asked) :]
    assert asked[:3] == [1, 2, 4]


async def test_keys_without_padding_cost_one_batch_and_single_keys(
    odd: OddKME, make_stepped: MakeStepped, bench: SQLiteBench
) -> None:
    """The fault is shown meanwhile; then all is well."""
    await odd.add(300)
    odd.leave_out_padding()
    link = replace(odd.link, target=50)
    supply = make_stepped(link)
    await supply.until(lambda: supply.status().calls >= 4, "calls")
    status = supply.status()
    assert "no key that came can be used" in status.error
    assert status.hint
    assert set(status.refused) == {"malformed"}
    assert 300 - odd.left <= 64 + supply.status().calls
    odd.be_honest()
    await supply.until(
        lambda: bench.store.stocks.status(link.name).available >= 50, "a full stock"
    )
    assert not supply.status().error


async def test_a_drained_kme_is_empty_and_told_once(
    odd: OddKME, make_stepped: MakeStepped, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys that come one by one make no alternation of warnings and all-clears."""
    caplog.set_level(logging.INFO)
    await odd.add(10)
    odd.keep_one(503)
    caplog.clear()
    supply = make_stepped(odd.link)
    for _ in range(30):
        await supply.run(2.0)
        await odd.add(1)
    elapsed = 60.0
    assert not lines(caplog, "kme-overloaded")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    # Where it fails all the time, at the start and after 10 s, 20 s more, 40 s more. On
    # a busy machine it may fail less often, and what was quiet for twice its pause is
    # said at once: then no more than one in 20 s. Each may have its end told.
    told = 2 + elapsed // (2 * FIRST_REPEAT)
    assert 1 <= len(lines(caplog, "kme-")) <= 2 * told


async def test_a_long_outage_is_repeated_with_its_age(
    odd: OddKME, make_stepped: MakeStepped, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await odd.add(100)
    odd.fail()
    supply = make_stepped(odd.link)
    await supply.until(lambda: len(lines(caplog, "kme-server")) >= 4, "repetition")
    told = lines(caplog, "kme-server")
    assert all(WORDS in line for line in told)
    assert "times)" not in told[0]
    assert any("times)" in line for line in told)
    assert any(", for 1m" in line or ", for 2m" in line for line in told)
    odd.be_honest()
    await supply.until(lambda: bool(lines(caplog, "kme-ok")), "all-clear")
    assert "the KME gives keys again after " in lines(caplog, "kme-ok")[-1]


async def test_a_dead_source_is_the_kmes_fault(
    kme: HostileKME,
    make_link: MakeLink,
    make_stepped: MakeStepped,
    bench: SQLiteBench,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Zeros for keys are refused, drawn one at a time, and said in the KME's name."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        keys = [(kme.new_key()[0], bytes(32)) for _ in range(asked.members["number"])]
        writer.write(reply(container(keys)))

    kme.replies["enc_keys"] = [answer]
    link = make_link(kme)
    supply = make_stepped(link)
    await supply.until(lambda: supply.status().calls >= 3, "calls")
    status = supply.status()
    assert bench.store.stocks.status(link.name).available == 0
    assert set(status.refused) == {"constant"}
    assert status.refused["constant"] <= 64 + status.calls
    assert kme.url in status.error
    assert "no key that came can be used (1 constant)" in status.error
    assert len(lines(caplog, "keys-refused")) == 1
