"""Pads of a neighbour that comes back are suspected anew."""

import asyncio
from pathlib import Path
from uuid import UUID

from gateway.config.model import (
    Endpoint,
    LinkConfig,
    LinkSource,
    NeighbourConfig,
    RelayConfig,
)
from gateway.host.workers import Worker
from gateway.keystore.base import NewKey
from gateway.relay.service import Relaying
from gateway.secret import Secret
from gateway.supply.links import Links
from tests.unit.keystore.sqlite_bench import SQLiteBench

STOCK = "redu>lux"
KEYS = [NewKey(UUID(int=n), Secret(n.to_bytes(32))) for n in range(1, 11)]


def relay(*neighbours: str) -> RelayConfig:
    listen = Endpoint("127.0.0.1", 7000)
    return RelayConfig(
        "redu",
        (listen,),
        forward=False,
        links=(("redu", "lux"),),
        neighbours={
            name: NeighbourConfig(name, "fibre", "tunnel", listen, 10)
            for name in neighbours
        },
    )


async def test_pads_of_a_neighbour_that_comes_back(tmp_path: Path) -> None:
    """What was suspected of them when it went was never settled."""
    bench, worker = SQLiteBench(tmp_path / "store"), Worker("store")
    clock = asyncio.get_running_loop().time
    links = Links(
        bench.store,
        worker,
        send=lambda _tunnel, _message: False,
        clock=clock,
        control_mtu=1280,
    )
    service = Relaying(
        bench.store,
        worker,
        send=lambda _tunnel, _message: False,
        initiates=lambda _tunnel: True,
        clock=clock,
    )
    service._links = links
    pads = {STOCK: LinkConfig(STOCK, LinkSource.FILE)}
    bench.store.intake.add(STOCK, KEYS)

    async def begin(config: RelayConfig) -> int:
        """Return how many pads may be used when the relay begins."""
        links.configure(pads if config.neighbours else {})
        await links.settle()
        bench.store.ledger.confirm(STOCK, [key.key_id for key in KEYS])
        await service._suspect_new(config)
        status = bench.store.stocks.status(STOCK)
        return status.available - status.unconfirmed

    try:
        assert await begin(relay("lux")) == 0
        assert await begin(relay("lux")) == len(KEYS)
        assert await begin(relay()) == len(KEYS)
        assert await begin(relay("lux")) == 0
    finally:
        await links.stop()
        worker.stop()
        bench.close()
