"""Nodes with their drivers over real sockets: what fails, and what is left of it."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import KeyStoreError, RelayError, RelayFault
from gateway.relay import node
from gateway.relay.driver import MAX_REQUESTS
from gateway.relay.events import (
    BundleArrived,
    BundleDelivered,
    RelayedKeys,
)
from tests.unit.relay.bench import make_pads
from tests.unit.relay.site import Site, Sites, until

if TYPE_CHECKING:
    from gateway.keystore.base import NewKey

ROUTE = ("redu", "lux", "sin")


def nothing_left(site: Site) -> bool:
    """Whether neither node nor driver has anything under way."""
    node, driver = site.node, site.driver
    return not (
        node._departures._under_way
        or node._arrivals._arriving
        or node._forwarded
        or node._delivered
        or driver._under_way
        or driver._requests
        or driver._cancelled
    )


async def expect_failure(site: Site, fault: RelayFault, where: str) -> None:
    with pytest.raises(RelayError) as caught:
        await site.driver.request([ROUTE], 3)
    assert (caught.value.fault, caught.value.node) == (fault, where)
    assert nothing_left(site)
    assert not site.sink.keys


async def test_keys_are_the_origins_result_and_the_destinations_stock(
    sites: Sites,
) -> None:
    redu, sin = sites.at["redu"], sites.at["sin"]
    relayed = await redu.driver.request([ROUTE], 3)
    assert relayed.confirmed
    assert relayed.peer == "sin"
    assert {k.key_id: k.key.expose() for k in relayed.keys} == sin.sink.keys
    assert not redu.sink.keys
    assert isinstance(redu.events[-1], BundleDelivered)
    assert isinstance(sin.events[-1], BundleArrived)
    assert all(nothing_left(site) for site in sites.at.values())


async def test_many_requests_both_ways_at_once(ring_sites: Sites) -> None:
    a, d = ring_sites.at["a"], ring_sites.at["d"]
    both = [("a", "b", "d"), ("a", "c", "d")]
    back = [tuple(reversed(route)) for route in both]
    asked = [a.driver.request(both, 2) for _ in range(6)]
    asked += [d.driver.request(back[:1], 1) for _ in range(6)]
    got = await asyncio.gather(*asked)
    from_a = {k.key_id: k.key.expose() for each in got[:6] for k in each.keys}
    from_d = {k.key_id: k.key.expose() for each in got[6:] for k in each.keys}
    assert (len(from_a), len(from_d)) == (12, 6)
    assert d.sink.keys == from_a
    assert a.sink.keys == from_d


async def test_a_neighbour_that_is_not_there_is_named_at_once(sites: Sites) -> None:
    await sites.at["sin"].transport.stop()
    lux = sites.at["lux"]
    await until(lambda: not lux.transport.is_connected("sin"))
    async with asyncio.timeout(2):  # not the seconds that answers are waited for
        await expect_failure(sites.at["redu"], RelayFault.LOST, "sin")
    await lux.transport.stop()
    await until(lambda: not sites.at["redu"].transport.is_connected("lux"))
    async with asyncio.timeout(2):
        await expect_failure(sites.at["redu"], RelayFault.LOST, "lux")


@pytest.mark.parametrize("dies", ["lux", "sin"])
async def test_a_neighbour_that_vanishes_mid_relay_is_named(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    monkeypatch.setattr(node, "HOP_TIMEOUT", 0.5)
    victim = sites.at[dies]

    def vanish(_peer: str, _data: bytes) -> None:
        """Take the message, and be gone."""

    monkeypatch.setattr(victim.driver, "receive", vanish)
    await expect_failure(sites.at["redu"], RelayFault.LOST, dies)
    monkeypatch.undo()
    relayed = await sites.at["redu"].driver.request([ROUTE], 3)
    keys = {k.key_id: k.key.expose() for k in relayed.keys}
    assert keys.items() <= sites.at["sin"].sink.keys.items()


async def test_a_hop_out_of_pads_is_named(sites: Sites) -> None:
    sites.at["lux"].store.stocks.purge("lux>sin", all_keys=True)
    await expect_failure(sites.at["redu"], RelayFault.PADS_EXHAUSTED, "lux")
    sites.at["redu"].store.stocks.purge("redu>lux", all_keys=True)
    await expect_failure(sites.at["redu"], RelayFault.PADS_EXHAUSTED, "redu")


async def test_a_hop_out_of_step_is_named_and_heals(sites: Sites) -> None:
    lux = sites.at["lux"]
    lux.store.stocks.purge("lux>sin", all_keys=True)
    lux.store.intake.add("lux>sin", make_pads("only here", 0, 9))
    await expect_failure(sites.at["redu"], RelayFault.OUT_OF_STEP, "sin")
    assert sites.at["sin"].faults() == [RelayFault.OUT_OF_STEP]
    lux.store.stocks.purge("lux>sin", all_keys=True)
    sites.fill(10)
    relayed = await sites.at["redu"].driver.request([ROUTE], 3)
    assert {k.key_id for k in relayed.keys} == set(sites.at["sin"].sink.keys)


@pytest.mark.parametrize("end", ["redu", "lux", "sin"])
async def test_a_store_that_fails_is_named(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise KeyStoreError("the disk of the key store is full", "free some space")

    monkeypatch.setattr(sites.at[end].store.uses, "consume_many", fail)
    if end == "redu":
        with pytest.raises(KeyStoreError, match="is full"):
            await sites.at["redu"].driver.request([ROUTE], 3)
    else:
        await expect_failure(sites.at["redu"], RelayFault.STORE, end)
    assert all(nothing_left(site) for site in sites.at.values())
    monkeypatch.undo()
    await sites.at["redu"].driver.request([ROUTE], 3)


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_request_leaves_nothing(sites: Sites, turns: int) -> None:
    """At any turn of the event loop; some fall after the keys have come."""
    redu = sites.at["redu"]
    asking = asyncio.create_task(redu.driver.request([ROUTE], 3))
    for _ in range(turns**2):
        await asyncio.sleep(0)
    shares = [
        share
        for departure in redu.node._departures._under_way.values()
        for row in departure.shares
        for share in row
    ]
    if asking.cancel():
        with pytest.raises(asyncio.CancelledError):
            await asking
    await until(lambda: nothing_left(redu))
    await until(lambda: all(map(nothing_left, sites.at.values())))
    assert not any(len(share) for share in shares)


async def test_keys_that_come_as_the_request_is_cancelled_are_erased(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    redu = sites.at["redu"]
    taken: list[NewKey] = []
    note = redu.driver._note_delivered

    def cancel(relayed: RelayedKeys) -> None:
        request = redu.driver._under_way[relayed.bundle]
        note(relayed)
        assert request.future.done()
        taken.extend(relayed.keys)
        asking.cancel()

    monkeypatch.setattr(redu.driver, "_note_delivered", cancel)
    asking = asyncio.create_task(redu.driver.request([ROUTE], 3))
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(taken) == 3
    assert not any(len(key.key) for key in taken)


async def test_stopping_fails_who_waits(sites: Sites) -> None:
    redu = sites.at["redu"]
    await sites.at["lux"].driver.stop()
    asked = [asyncio.create_task(redu.driver.request([ROUTE], 1)) for _ in range(3)]
    await until(lambda: len(redu.driver._under_way) == 3)
    await redu.driver.stop()
    for result in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(result, RelayError)
        assert result.fault is RelayFault.LOST
    assert nothing_left(redu)
    with pytest.raises(RelayError, match="stopped"):
        await redu.driver.request([ROUTE], 1)


async def test_a_stop_is_heard_while_a_turn_is_taken(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = sites.at["redu"].driver
    take_turn = driver._take_turn
    stopping: list[asyncio.Task[None]] = []

    async def stop_meanwhile() -> float | None:
        stopping.append(asyncio.create_task(driver.stop()))
        await asyncio.sleep(0)
        return await take_turn()

    monkeypatch.setattr(driver, "_take_turn", stop_meanwhile)
    driver.receive("lux", b"no message")
    await until(lambda: bool(stopping))
    await asyncio.wait_for(stopping[0], 5.0)
    assert not driver.is_running


async def test_bounds_of_requests(sites: Sites) -> None:
    redu = sites.at["redu"]
    for routes, count in (([ROUTE], 0), ([ROUTE], 129), ([], 1), ([ROUTE] * 9, 1)):
        with pytest.raises(ValueError, match="a bundle has"):
            await redu.driver.request(routes, count)
    asked = [
        asyncio.create_task(redu.driver.request([("redu", "mars")], 1))
        for _ in range(MAX_REQUESTS + 3)
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    faults = [result.fault for result in results if isinstance(result, RelayError)]
    assert faults.count(RelayFault.BUSY) == 3
    assert faults.count(RelayFault.UNKNOWN_NODE) == MAX_REQUESTS
