"""Nodes with their drivers over real sockets: what fails, and what is left of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.errors import KeyStoreError, RelayError, RelayFault
from gateway.keystore.base import KeyStanding, NewKey
from gateway.relay import connecting, node, turn
from gateway.relay.driver import MAX_REQUESTS, MAX_WAITING
from gateway.relay.events import (
    BundleArrived,
    BundleDelivered,
    MessageRefused,
    RelayedKeys,
)
from gateway.relay.framing import encode_frame, encode_hello
from gateway.relay.messages import RelayKeys, decode_message
from gateway.relay.refusals import TOLD, WINDOW, Refusals
from tests.unit.relay.bench import carried, make_pads
from tests.unit.relay.site import HOST, Site, Sites, until

ROUTE = ("redu", "lux", "sin")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are started one after the other need not wait for each other."""
    monkeypatch.setattr(connecting, "MIN_DELAY", 0.01)


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Sites]:
    """Redu, Luxembourg, Singapore."""
    sites = Sites(tmp_path, [("redu", "lux"), ("lux", "sin")])
    sites.fill(30)
    await sites.start()
    yield sites
    await sites.stop()


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Sites]:
    """Four in a ring."""
    sites = Sites(tmp_path, [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")])
    sites.fill(30)
    await sites.start()
    yield sites
    await sites.stop()


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
    chain: Sites,
) -> None:
    redu, sin = chain.at["redu"], chain.at["sin"]
    relayed = await redu.driver.request([ROUTE], 3)
    assert relayed.confirmed
    assert relayed.peer == "sin"
    assert {k.key_id: k.key.expose() for k in relayed.keys} == sin.sink.keys
    assert not redu.sink.keys
    assert isinstance(redu.events[-1], BundleDelivered)
    assert isinstance(sin.events[-1], BundleArrived)
    assert all(nothing_left(site) for site in chain.at.values())


async def test_many_requests_both_ways_at_once(ring: Sites) -> None:
    a, d = ring.at["a"], ring.at["d"]
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


async def test_a_neighbour_that_is_not_there_is_named_at_once(chain: Sites) -> None:
    await chain.at["sin"].transport.stop()
    lux = chain.at["lux"]
    await until(lambda: not lux.transport.is_connected("sin"))
    async with asyncio.timeout(2):  # not the seconds that answers are waited for
        await expect_failure(chain.at["redu"], RelayFault.LOST, "sin")
    await lux.transport.stop()
    await until(lambda: not chain.at["redu"].transport.is_connected("lux"))
    async with asyncio.timeout(2):
        await expect_failure(chain.at["redu"], RelayFault.LOST, "lux")


@pytest.mark.parametrize("dies", ["lux", "sin"])
async def test_a_neighbour_that_vanishes_mid_relay_is_named(
    chain: Sites, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    monkeypatch.setattr(node, "HOP_TIMEOUT", 0.5)
    victim = chain.at[dies]

    def vanish(_peer: str, _data: bytes) -> None:
        """Take the message, and be gone."""

    monkeypatch.setattr(victim.driver, "receive", vanish)
    await expect_failure(chain.at["redu"], RelayFault.LOST, dies)
    monkeypatch.undo()
    relayed = await chain.at["redu"].driver.request([ROUTE], 3)
    keys = {k.key_id: k.key.expose() for k in relayed.keys}
    assert keys.items() <= chain.at["sin"].sink.keys.items()


async def test_a_hop_out_of_pads_is_named(chain: Sites) -> None:
    chain.at["lux"].store.purge("lux>sin", all_keys=True)
    await expect_failure(chain.at["redu"], RelayFault.PADS_EXHAUSTED, "lux")
    chain.at["redu"].store.purge("redu>lux", all_keys=True)
    await expect_failure(chain.at["redu"], RelayFault.PADS_EXHAUSTED, "redu")


async def test_a_hop_out_of_step_is_named_and_heals(chain: Sites) -> None:
    lux = chain.at["lux"]
    lux.store.purge("lux>sin", all_keys=True)
    lux.store.add("lux>sin", make_pads("only here", 0, 9))
    await expect_failure(chain.at["redu"], RelayFault.OUT_OF_STEP, "sin")
    assert chain.at["sin"].faults() == [RelayFault.OUT_OF_STEP]
    lux.store.purge("lux>sin", all_keys=True)
    chain.fill(10)
    relayed = await chain.at["redu"].driver.request([ROUTE], 3)
    assert {k.key_id for k in relayed.keys} == set(chain.at["sin"].sink.keys)


@pytest.mark.parametrize("end", ["redu", "lux", "sin"])
async def test_a_store_that_fails_is_named(
    chain: Sites, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise KeyStoreError("the disk of the key store is full", "free some space")

    monkeypatch.setattr(chain.at[end].store, "consume_many", fail)
    if end == "redu":
        with pytest.raises(KeyStoreError, match="is full"):
            await chain.at["redu"].driver.request([ROUTE], 3)
    else:
        await expect_failure(chain.at["redu"], RelayFault.STORE, end)
    assert all(nothing_left(site) for site in chain.at.values())
    monkeypatch.undo()
    await chain.at["redu"].driver.request([ROUTE], 3)


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_request_leaves_nothing(chain: Sites, turns: int) -> None:
    """At any turn of the event loop; some fall after the keys have come."""
    redu = chain.at["redu"]
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
    await until(lambda: all(map(nothing_left, chain.at.values())))
    assert not any(len(share) for share in shares)


async def test_keys_that_come_as_the_request_is_cancelled_are_erased(
    chain: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    redu = chain.at["redu"]
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


async def test_stopping_fails_who_waits(chain: Sites) -> None:
    redu = chain.at["redu"]
    await chain.at["lux"].driver.stop()
    asked = [asyncio.create_task(redu.driver.request([ROUTE], 1)) for _ in range(3)]
    await until(lambda: len(redu.driver._under_way) == 3)
    await redu.driver.stop()
    for result in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(result, RelayError)
        assert result.fault is RelayFault.LOST
    assert nothing_left(redu)
    with pytest.raises(RelayError, match="stopped"):
        await redu.driver.request([ROUTE], 1)


async def test_bounds_of_requests(chain: Sites) -> None:
    redu = chain.at["redu"]
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


async def attack(sites: Sites, peer: str, at: str, *messages: bytes) -> None:
    """Send messages to one node in the name of another, from where that one is."""
    _, writer = await asyncio.open_connection(HOST, sites.ports[at])
    writer.write(encode_hello(peer) + b"".join(map(encode_frame, messages)))
    await writer.drain()
    seen = len(sites.at[at].received) + len(messages)
    await until(lambda: len(sites.at[at].received) >= seen)
    await until(lambda: not sites.at[at].driver._inbox)
    writer.close()


def batches(site: Site) -> list[tuple[str, bytes]]:
    return [
        (peer, data)
        for peer, data in site.received
        if isinstance(decode_message(data), RelayKeys)
    ]


async def test_replayed_messages_change_nothing(chain: Sites) -> None:
    await chain.at["redu"].driver.request([ROUTE], 3)
    spent = {name: site.store.status("redu>lux") for name, site in chain.at.items()}
    keys = dict(chain.at["sin"].sink.keys)
    for at in ("lux", "sin"):
        ((peer, data),) = batches(chain.at[at])
        await attack(chain, peer, at, data, data)
        await until(
            lambda at=at: chain.at[at].faults() == [RelayFault.REPLAYED] * 2  # type: ignore[misc]
        )
    assert chain.at["sin"].sink.keys == keys
    assert spent == {
        name: site.store.status("redu>lux") for name, site in chain.at.items()
    }
    await chain.at["redu"].driver.request([ROUTE], 3)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "a flipped key": lambda data: flip(data, len(data) - 20),
    "a flipped tag": lambda data: flip(data, len(data) - 1),
    "another bundle": lambda data: flip(data, 10),
    "truncated": lambda data: data[:-1],
    "prolonged": lambda data: data + b"\0",
    "the header alone": lambda data: data[:71],
    "noise": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("how", TAMPERINGS)
async def test_tampered_messages_cost_no_pad(
    chain: Sites, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The true message is held back, altered copies come first, then it comes."""
    redu, lux = chain.at["redu"], chain.at["lux"]
    held: list[tuple[str, bytes]] = []
    take = lux.driver.receive
    monkeypatch.setattr(lux.driver, "receive", lambda *each: held.append(each))
    asking = asyncio.create_task(redu.driver.request([ROUTE], 3))
    await until(lambda: bool(held))
    monkeypatch.setattr(lux.driver, "receive", take)
    (true,) = held
    await attack(chain, "redu", "lux", *[TAMPERINGS[how](true[1])] * 3)
    await until(lambda: len(lux.faults()) == 3)
    assert set(lux.faults()) <= {RelayFault.FORGED, RelayFault.MALFORMED}
    used = carried(true[1])
    standing = lux.store.standing("redu>lux", [used.mac_id, used.answer_id])
    assert standing == [KeyStanding.HELD] * 2
    assert lux.store.status("redu>lux").consumed == 0
    lux.driver.receive(*true)
    relayed = await asking
    assert {k.key_id: k.key.expose() for k in relayed.keys} == (
        chain.at["sin"].sink.keys
    )


async def test_messages_in_another_order_are_all_taken(
    chain: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    redu, lux = chain.at["redu"], chain.at["lux"]
    held: list[tuple[str, bytes]] = []
    take = lux.driver.receive
    monkeypatch.setattr(lux.driver, "receive", lambda *each: held.append(each))
    asked = [asyncio.create_task(redu.driver.request([ROUTE], 2)) for _ in range(4)]
    await until(lambda: len(held) == 4)
    monkeypatch.undo()
    for message in reversed(held):
        take(*message)
    got = await asyncio.gather(*asked)
    keys = {k.key_id: k.key.expose() for each in got for k in each.keys}
    assert keys == chain.at["sin"].sink.keys
    assert len(keys) == 8


async def test_a_flood_is_bounded_and_told_in_few_words(
    chain: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    lux = chain.at["lux"]
    monkeypatch.setattr(turn, "TURN", 0.0)
    for number in range(3 * MAX_WAITING):
        lux.driver.receive("redu", b"\1\1" + number.to_bytes(8))
        if number == 2 * MAX_WAITING:
            lux.driver.receive("sin", b"\1\1 another's queue is its own")
    assert lux.driver._waiting == {"redu": MAX_WAITING, "sin": 1}
    monkeypatch.undo()
    await until(lambda: not lux.driver._inbox)
    refused = [each for each in lux.events if isinstance(each, MessageRefused)]
    assert len([each for each in refused if each.peer == "redu"]) == TOLD
    assert len([each for each in refused if each.peer == "sin"]) == 1
    await chain.at["redu"].driver.request([ROUTE], 3)


def test_what_was_not_told_is_counted() -> None:
    refusals = Refusals()
    error = RelayError("it is bad", "look", fault=RelayFault.FORGED, node="x")
    event = MessageRefused("redu", error)
    told = [refusals.tell(event, now=1.0) for _ in range(TOLD + 7)]
    assert told == [event] * TOLD + [None] * 7
    other = MessageRefused("sin", error)
    assert refusals.tell(other, now=2.0) is other
    later = refusals.tell(event, now=1.0 + WINDOW)
    assert later is not None
    assert later.error.message == "it is bad; 7 more were refused before"
    assert (later.error.fault, later.error.node) == (RelayFault.FORGED, "x")
    assert refusals.tell(event, now=2.0 + WINDOW) is event
