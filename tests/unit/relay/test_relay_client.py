"""The relay as a source of keys: which routes it takes, how much it asks for."""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from gateway.config.model import LinkConfig, LinkSource, RouteConfig
from gateway.errors import KeySourceError, RelayError, RelayFault
from gateway.relay.client import FAULTS, RelayClient, Routes
from gateway.relay.events import RelayedKeys
from gateway.relay.hop import PADS_OF_MESSAGE
from gateway.relay.view import STATE_LIFETIME, NetworkView
from gateway.wire.network import NodeState

RING = (("redu", "lux"), ("lux", "sin"), ("redu", "brux"), ("brux", "sin"))
UPPER, LOWER = ("redu", "lux", "sin"), ("redu", "brux", "sin")


class Network:
    """A ring seen from `redu`, whose relay takes what is asked or fails."""

    def __init__(self, **route: Any) -> None:
        self.now = 100.0
        self.fails: RelayError | None = None
        self.asked: list[tuple[Routes, int]] = []
        self.view = NetworkView("redu", RING, 0)
        config = RouteConfig("sin", **route)
        link = LinkConfig("redu-sin", LinkSource.RELAY, route=config)
        self.client = RelayClient(link, config, self.view, self.carry, lambda: self.now)

    def tell(self, lux: int, brux: int, own: int = 1000, serial: int = 1) -> None:
        self.view.set_own({"lux": own, "brux": own})
        for name, pads in (("lux", lux), ("brux", brux)):
            state = NodeState(name, serial, (("redu", 0), ("sin", pads)))
            assert self.view.receive(state, now=self.now)

    async def carry(self, routes: Routes, count: int) -> RelayedKeys:
        self.asked.append((routes, count))
        if self.fails is not None:
            raise self.fails
        return RelayedKeys(uuid4(), "sin", routes, (), confirmed=True)


async def test_a_batch_goes_the_cheapest_way() -> None:
    network = Network()
    network.tell(lux=200, brux=900)
    await network.client.get_keys(50)
    assert network.asked == [((LOWER,), 50)]


async def test_no_more_is_asked_for_than_a_batch_and_than_pads_last() -> None:
    network = Network(batch=64)
    network.tell(lux=900, brux=0)
    await network.client.get_keys(500)
    network.tell(lux=30, brux=0, serial=2)
    await network.client.get_keys(500)
    counts = [count for _, count in network.asked]
    assert counts == [64, 30 - PADS_OF_MESSAGE]


async def test_two_paths_are_disjoint_and_as_rich_as_the_poorer() -> None:
    network = Network(paths=2)
    network.tell(lux=40, brux=900)
    await network.client.get_keys(100)
    ((routes, count),) = network.asked
    assert set(routes) == {UPPER, LOWER}
    assert count == 40 - PADS_OF_MESSAGE
    assert network.client.description == "relayed by trusted nodes: 2 paths to sin"


async def test_the_operators_way_is_taken_though_another_is_cheaper() -> None:
    network = Network(via=(("lux",),))
    network.tell(lux=100, brux=900)
    await network.client.get_keys(50)
    assert network.asked == [((UPPER,), 50)]
    assert network.client.description.endswith(": redu > lux > sin")


async def test_the_operators_way_without_pads_says_how_many_there_are() -> None:
    network = Network(via=(("lux",),))
    network.tell(lux=PADS_OF_MESSAGE, brux=900)
    with pytest.raises(KeySourceError, match=f"{PADS_OF_MESSAGE} where") as caught:
        await network.client.get_keys(50)
    assert caught.value.fault is FAULTS[RelayFault.NO_PATH]
    assert "qgw network" in caught.value.hint
    assert network.asked == []


@pytest.mark.parametrize(
    ("way", "fault"), [("berlin", RelayFault.UNKNOWN_NODE), ("redu", RelayFault.LOOP)]
)
async def test_a_way_that_the_network_does_not_have(
    way: str, fault: RelayFault
) -> None:
    network = Network(via=((way,),))
    network.tell(lux=900, brux=900)
    with pytest.raises(KeySourceError) as caught:
        await network.client.get_keys(1)
    assert caught.value.fault is FAULTS[fault]


async def test_after_a_failure_the_next_batch_goes_round_the_node() -> None:
    network = Network()
    network.tell(lux=900, brux=100)
    network.fails = RelayError("no answer", fault=RelayFault.LOST, node="lux")
    with pytest.raises(KeySourceError) as caught:
        await network.client.get_keys(10)
    assert caught.value.fault is FAULTS[RelayFault.LOST]
    network.fails = None
    await network.client.get_keys(10)
    assert [routes for routes, _ in network.asked] == [(UPPER,), (LOWER,)]


async def test_a_status_counts_what_the_scarcest_hop_can_carry() -> None:
    network = Network(batch=64)
    network.tell(lux=70, brux=0)
    status = await network.client.get_status()
    assert (status.source_kme_id, status.target_kme_id) == ("redu", "sin")
    assert status.stored_key_count == 70 - PADS_OF_MESSAGE
    assert status.max_key_per_request == 64
    assert status.notes == ("redu > lux > sin",)


@pytest.mark.parametrize(
    "ask",
    [lambda client: client.get_status(), lambda client: client.get_keys(1)],
    ids=["status", "keys"],
)
async def test_no_way_is_an_empty_source(
    ask: Callable[[RelayClient], Coroutine[Any, Any, object]],
) -> None:
    network = Network()
    network.tell(lux=0, brux=0)
    with pytest.raises(KeySourceError) as caught:
        await ask(network.client)
    assert caught.value.fault is FAULTS[RelayFault.NO_PATH]


async def test_what_nobody_told_lately_holds_nothing_up() -> None:
    network = Network(via=(("lux",),))
    network.tell(lux=0, brux=0, own=80)
    network.now += STATE_LIFETIME
    assert (await network.client.get_status()).stored_key_count == (
        80 - PADS_OF_MESSAGE
    )


async def test_carried_keys_are_never_fetched_by_their_ids() -> None:
    network = Network()
    key_ids = [uuid4(), uuid4()]
    delivery = await network.client.get_keys_with_ids(key_ids)
    assert (delivery.keys, delivery.missing) == ((), tuple(key_ids))
    assert network.asked == []


def test_every_failure_of_the_relay_means_something_to_a_stock() -> None:
    assert set(FAULTS) == set(RelayFault)
