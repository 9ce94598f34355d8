"""Gateways that share no quantum link, and get their keys over trusted nodes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.wire.control import RotateReason
from tests.unit.daemon.network_sites import Sites
from tests.unit.daemon.services import until

LINE = (("lux", "redu"), ("lux", "sin"))
FAR = "redu-sin"


@pytest.fixture
async def line(short_folder: Path) -> AsyncIterator[Sites]:
    """Redu - Luxembourg - Singapore."""
    sites = Sites(short_folder, LINE, [("redu", "sin")])
    yield sites
    await sites.stop()


def both(sites: Sites, tunnel: str = FAR) -> bool:
    return all(sites[name].in_force(tunnel) for name in tunnel.split("-"))


async def test_a_relayed_tunnel_comes_up_and_rotates(line: Sites) -> None:
    await line.start()
    await until(lambda: both(line), "the relayed tunnel", 20.0)
    redu, sin = line["redu"], line["sin"]
    used = set()
    for _ in range(3):
        first = await redu.call("tunnel.show", name=FAR)
        second = await sin.call("tunnel.show", name=FAR)
        assert "qkd" in first["sources"]
        assert first["key_id"] == second["key_id"]
        used.add(first["key_id"])
        epoch = first["epoch"]
        redu.service.tunnels.drivers[FAR].rotate(RotateReason.OPERATOR)

        def newer(after: int = epoch) -> bool:
            current = redu.service.tunnels.drivers[FAR].state.rotation.current
            return current is not None and current.number > after and both(line)

        await until(newer, "the next epoch", 20.0)
    assert len(used) == 3
    await until(lambda: redu.stock(FAR) >= 16, "stock kept ahead")
    held = redu.service.store.ledger.held(FAR, after=None, count=100)
    await until(lambda: sin.stock(FAR) >= 16, "the same at the other end")
    assert set(held) & set(sin.service.store.ledger.held(FAR, after=None, count=100))


async def test_the_network_is_shown_at_each_end(line: Sites) -> None:
    await line.start()
    await until(lambda: both(line), "the relayed tunnel", 20.0)
    shown = await line["redu"].call("network")
    assert shown["node"] == "redu"
    assert [one["node"] for one in shown["nodes"]] == ["lux", "redu", "sin"]
    (route,) = shown["routes"]
    assert route["link"] == FAR
    assert route["paths"] == [["redu", "lux", "sin"]]
    assert route["error"] == ""

    async def every_stock_is_told() -> bool:
        links = (await line["redu"].call("network"))["links"]
        told = [count for one in links for count in (one["pads"], one["pads_back"])]
        return len(told) == 2 * len(LINE) and all(told)

    await until(every_stock_is_told, "pads of both links, in both directions")
