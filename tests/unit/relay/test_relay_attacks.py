"""Messages that somebody forges, repeats, reorders or cuts, over real sockets."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import RelayError, RelayFault
from gateway.keystore.base import KeyStanding
from gateway.relay import turn
from gateway.relay.driver import MAX_WAITING
from gateway.relay.events import (
    MessageRefused,
)
from gateway.relay.frames import encode_frame, encode_hello
from gateway.relay.messages import RelayKeys, decode_message
from gateway.relay.refusals import TOLD, WINDOW, Refusals
from tests.unit.relay.bench import carried
from tests.unit.relay.site import HOST, Site, Sites, until

ROUTE = ("redu", "lux", "sin")


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


async def test_replayed_messages_change_nothing(sites: Sites) -> None:
    await sites.at["redu"].driver.request([ROUTE], 3)
    spent = {
        name: site.store.stocks.status("redu>lux") for name, site in sites.at.items()
    }
    keys = dict(sites.at["sin"].sink.keys)
    for at in ("lux", "sin"):
        ((peer, data),) = batches(sites.at[at])
        await attack(sites, peer, at, data, data)
        await until(
            lambda at=at: sites.at[at].faults() == [RelayFault.REPLAYED] * 2  # type: ignore[misc]
        )
    assert sites.at["sin"].sink.keys == keys
    assert spent == {
        name: site.store.stocks.status("redu>lux") for name, site in sites.at.items()
    }
    await sites.at["redu"].driver.request([ROUTE], 3)


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
    sites: Sites, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The true message is held back, altered copies come first, then it comes."""
    redu, lux = sites.at["redu"], sites.at["lux"]
    held: list[tuple[str, bytes]] = []
    take = lux.driver.receive
    monkeypatch.setattr(lux.driver, "receive", lambda *each: held.append(each))
    asking = asyncio.create_task(redu.driver.request([ROUTE], 3))
    await until(lambda: bool(held))
    monkeypatch.setattr(lux.driver, "receive", take)
    (true,) = held
    await attack(sites, "redu", "lux", *[TAMPERINGS[how](true[1])] * 3)
    await until(lambda: len(lux.faults()) == 3)
    assert set(lux.faults()) <= {RelayFault.FORGED, RelayFault.MALFORMED}
    used = carried(true[1])
    standing = lux.store.ledger.standing("redu>lux", [used.mac_id, used.answer_id])
    assert standing == [KeyStanding.HELD] * 2
    assert lux.store.stocks.status("redu>lux").consumed == 0
    lux.driver.receive(*true)
    relayed = await asking
    assert {k.key_id: k.key.expose() for k in relayed.keys} == (
        sites.at["sin"].sink.keys
    )


async def test_messages_in_another_order_are_all_taken(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    redu, lux = sites.at["redu"], sites.at["lux"]
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
    assert keys == sites.at["sin"].sink.keys
    assert len(keys) == 8


async def test_a_flood_is_bounded_and_told_in_few_words(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    lux = sites.at["lux"]
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
    await sites.at["redu"].driver.request([ROUTE], 3)


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
