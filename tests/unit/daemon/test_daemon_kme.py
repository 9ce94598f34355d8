"""Gateways that take their keys from real KMEs over mutual TLS."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from gateway.kme.constant import ConstantLink
from gateway.wire.control import RotateReason
from gateway.wire.key_ids import key_id_text
from tests.unit.daemon.kme_ends import TARGET, KMESites, in_force, stock
from tests.unit.daemon.services import tunnel_keys, until
from tests.unit.daemon.test_daemon_rotation import rotate

POLICED = ("paris", "rome")


@pytest.fixture
async def sites(short_folder: Path) -> AsyncIterator[KMESites]:
    made = KMESites(short_folder)
    await made.start_kmes()
    yield made
    await made.stop()


def full(sites: KMESites) -> bool:
    return all(stock(end) >= TARGET - 1 for end in sites.ends.values())


def held(sites: KMESites, letter: str) -> set[UUID]:
    store = sites.ends[letter].service.store
    return set(store.ledger.held("fibre", after=None, count=1000))


async def start_gateways(sites: KMESites) -> None:
    for end in reversed(sites.ends.values()):
        await end.start()


async def test_the_first_epoch_draws_on_demand_and_stock_follows(
    sites: KMESites,
) -> None:
    await sites.pair.make_keys(2000)
    await start_gateways(sites)
    await until(lambda: in_force(sites), "the first epoch")
    status = [await end.status() for end in sites.ends.values()]
    assert status[0]["key_id"] == status[1]["key_id"] is not None
    await until(lambda: full(sites), "a full stock")
    await until(lambda: held(sites, "a") == held(sites, "b"), "the same at both ends")


@pytest.mark.parametrize("mode", ["upper-ids", "long-ids"])
async def test_kmes_that_name_keys_otherwise(
    sites: KMESites, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They take back nothing but what they wrote: an offer and an announcement say."""
    await sites.pair.make_keys(2000)
    for kme in (sites.pair.alice, sites.pair.bob):
        kme.misbehaviour.start(mode)
    await start_gateways(sites)
    await until(lambda: in_force(sites), "the first epoch")
    first, second = sites.ends.values()
    status = [await end.status() for end in (first, second)]
    assert status[0]["key_id"] == status[1]["key_id"] is not None
    await until(lambda: full(sites), "a full stock")
    await until(lambda: held(sites, "a") == held(sites, "b"), "the same at both ends")
    texts = {key_id_text(key_id) for key_id in held(sites, "a")}
    assert texts == {key_id_text(key_id) for key_id in held(sites, "b")}
    long = mode == "long-ids"
    assert all(len(t) == 70 if long else t == t.upper() for t in texts)
    await rotate((first, second))
    for end in (first, second):
        assert not end.driver.state.rotation.failures
    assert "refused" not in caplog.text


async def test_rotation_from_stock_asks_no_kme(sites: KMESites) -> None:
    await sites.pair.make_keys(2000)
    await start_gateways(sites)
    await until(lambda: in_force(sites), "the first epoch")
    first, second = sites.ends.values()
    await until(lambda: full(sites), "a full stock")
    for letter in "ab":
        await sites.stop_kme(letter)
    used = set()
    for _ in range(5):
        await rotate((first, second))
        status = [await end.status() for end in (first, second)]
        assert status[0]["key_id"] == status[1]["key_id"]
        used.add(status[0]["key_id"])
    assert len(used) == 5
    assert not first.driver.state.rotation.failures


async def test_two_tunnels_share_a_scarce_link(sites: KMESites) -> None:
    first, second = sites.ends.values()
    for end, peer in ((first, second), (second, first)):
        end.tunnel_keys["rome"] = tunnel_keys(end, peer, 1)
    # Alice's half: eight keys for both tunnels, and no more to come.
    await sites.pair.make_keys(16)
    await start_gateways(sites)

    def both_up(epoch: int) -> bool:
        drivers = [
            end.service.tunnels.drivers[n] for n in POLICED for end in (first, second)
        ]
        current = [driver.state.rotation.current for driver in drivers]
        return all(
            one is not None and one.number >= epoch and one.in_force_at is not None
            for one in current
        )

    for epoch in (1, 2, 3, 4):
        await until(partial(both_up, epoch), f"epoch {epoch}", 20.0)
        if epoch < 4:
            for name in POLICED:
                first.service.tunnels.drivers[name].rotate(RotateReason.OPERATOR)
    assert not any(
        first.service.tunnels.drivers[n].state.rotation.failures for n in POLICED
    )
    # Each of the eight keys keyed one epoch of one tunnel.
    assert first.service.store.stocks.status("fibre").consumed == 8


async def test_required_waits_for_a_kme_and_heals(sites: KMESites) -> None:
    # The KMEs are there, and have no keys.
    await start_gateways(sites)
    first = sites.ends["a"]
    await until(lambda: first.driver.state.rotation.failures > 0, "a failed attempt")
    status = await first.status()
    assert status["state"] == "connecting"
    assert "no QKD key in stock of link fibre" in status["reason"]
    assert all(end.plane.read_state("paris").blocked for end in sites.ends.values())
    await sites.pair.make_keys(500)
    await until(lambda: in_force(sites), "the tunnel", 30.0)


async def test_preferred_goes_on_without_and_says_why(
    sites: KMESites, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for end in sites.ends.values():
        end.tunnel_keys["paris"]["qkd"] = "preferred"
    await sites.stop_kme("a")
    await start_gateways(sites)
    await until(lambda: in_force(sites), "the first epoch")
    first, second = sites.ends.values()
    for end in (first, second):
        status = await end.status()
        assert status["key_id"] is None
        assert any("no fresh QKD key: " in fault for fault in status["faults"])
    missing = [r for r in caplog.records if getattr(r, "event", "") == "qkd-missing"]
    reasons = {record.getMessage().partition("): ")[2] for record in missing}
    assert "the peer offered none" in reasons
    assert any("no key in stock of link fibre: https://" in one for one in reasons)
    await sites.restart_kme("a")
    await sites.pair.make_keys(500)
    await until(lambda: stock(first) > 0, "stock", 30.0)
    await rotate((first, second))
    assert (await second.status())["key_id"] is not None
    restored = [r for r in caplog.records if getattr(r, "event", "") == "qkd-restored"]
    assert len(restored) == 2


async def test_an_eavesdropped_link_eats_stock_alone(short_folder: Path) -> None:
    made = KMESites(short_folder, ConstantLink(256 * 200.0))
    await made.start_kmes()
    try:
        await start_gateways(made)
        await until(lambda: in_force(made), "the first epoch", 20.0)
        first = made.ends["a"]
        await until(lambda: stock(first) >= TARGET - 1, "a full stock", 20.0)
        await made.pair.alice.switch_link("eavesdrop-on")
        before = stock(first)
        ends = (made.ends["a"], made.ends["b"])
        await rotate(ends)
        assert stock(first) >= before - 2
        assert (await first.status())["key_id"]
    finally:
        await made.stop()


async def test_a_responder_that_lost_its_store(sites: KMESites) -> None:
    """It knows no key that it is offered, and its KME gave them away: fresh ones do."""
    await sites.pair.make_keys(2000)
    await start_gateways(sites)
    await until(lambda: in_force(sites), "the first epoch")
    await until(lambda: full(sites), "a full stock")
    first, second = sites.ends.values()
    old = held(sites, "a")
    await second.stop()
    for file in second.folder.glob("keys.db*"):
        file.unlink()
    await second.start()
    before = (await first.status())["epoch"]
    await first.call("tunnel.rotate", name="paris")

    async def again() -> bool:
        status = [await end.status() for end in sites.ends.values()]
        return in_force(sites) and all(one["epoch"] > before for one in status)

    await until(again, "an epoch with a key that both have", 20.0)
    status = [await end.status() for end in sites.ends.values()]
    assert status[0]["key_id"] == status[1]["key_id"] is not None
    assert UUID(status[0]["key_id"]) not in old
    (shown,) = await first.call("qkd.status", link="fibre")
    assert shown["supply"]["drawn"] < 2 * TARGET  # not one batch for each attempt
