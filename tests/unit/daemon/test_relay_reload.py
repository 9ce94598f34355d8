"""A network that is changed while it runs, and a relay that cannot listen at first."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.cli.network import render
from gateway.cli.render import daemon_status
from gateway.errors import ConfigError
from gateway.wire.network import PadDirection, PadStock
from gateway.wire.stock import StockPage
from tests.ports import free_ports
from tests.unit.daemon.conftest import tasks_but_this
from tests.unit.daemon.network_runs import (
    Record,
    error_of,
    eventually,
    in_force,
    in_step,
    record,
    run_fast,
    spend,
)
from tests.unit.daemon.network_sites import Site, Sites

__all__ = ["record"]

LINE = (("lux", "redu"), ("lux", "sin"))
FAR = "redu-sin"


async def reload(site: Site) -> None:
    site.write()
    await site.call("reload")


def full(sites: Sites) -> bool:
    return in_step(sites, FAR) and sites["redu"].stock(FAR) >= 13


def run_line(
    folder: Path,
    trial: Callable[[Sites], Coroutine[Any, Any, None]],
    *,
    wait: bool = True,
) -> None:
    sites = Sites(folder, LINE, [("redu", "sin")], pads=60)

    async def whole() -> None:
        try:
            if wait:
                await sites.start()
                await eventually(lambda: full(sites), "stock")
            await trial(sites)
        finally:
            await sites.stop()
        assert not tasks_but_this()

    run_fast(whole())


def test_a_relay_that_moves(short_folder: Path, record: Record, no_leaks: None) -> None:
    async def trial(sites: Sites) -> None:
        lux = sites["lux"]
        (port,) = free_ports(1)
        lux.tables["relay"]["listen"] = [f"127.0.0.1:{port}"]
        await reload(lux)
        await spend(sites, FAR)
        for name in ("redu", "sin"):
            sites[name].tables["relay.neighbours.lux"]["endpoint"] = f"127.0.0.1:{port}"
            await reload(sites[name])
        await eventually(lambda: full(sites), "stock over the new address")

    run_line(short_folder, trial)
    record.check()


def test_many_reloads_while_keys_are_relayed(
    short_folder: Path, record: Record, no_leaks: None
) -> None:
    """Each makes node and transport anew; one runs at a time, and none is left."""

    async def trial(sites: Sites) -> None:
        for turn in range(12):
            await spend(sites, FAR)
            await asyncio.sleep(turn / 4)
            for site in sites.by_name.values():
                for table in ("lux", "redu", "sin"):
                    neighbour = site.tables.get(f"relay.neighbours.{table}")
                    if neighbour is not None:
                        neighbour["pads"] = 60 + turn
                site.write()
            await asyncio.gather(
                *(site.call("reload") for site in sites.by_name.values())
            )
        await eventually(lambda: full(sites), "stock")
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")

    run_line(short_folder, trial)
    record.check()


def test_a_network_that_goes_and_comes(short_folder: Path, record: Record) -> None:
    async def trial(sites: Sites) -> None:
        redu = sites["redu"]
        kept = {
            name: redu.tables.pop(name)
            for name in (
                "relay",
                "relay.neighbours.lux",
                f"links.{FAR}",
                f"tunnels.{FAR}",
            )
        }
        await reload(redu)
        assert redu.service.relaying.driver is None
        shown = await redu.call("network")
        assert shown["node"] == ""
        assert "no table [relay]" in render(shown)
        assert [one["link"] for one in await redu.call("qkd.links")] == ["lux-redu"]
        # What is left in stock is shown, as of any link that was removed.
        stored = {one["link"] for one in await redu.call("keystore.status")}
        assert {"redu>lux", "lux>redu", FAR} <= stored
        assert redu.in_force("lux-redu")

        redu.tables |= kept
        await reload(redu)
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
        await spend(sites, FAR)
        await eventually(lambda: full(sites), "stock")

    run_line(short_folder, trial)
    record.check()


def test_a_neighbour_that_goes(short_folder: Path, record: Record) -> None:
    async def trial(sites: Sites) -> None:
        lux = sites["lux"]
        tables = ("relay.neighbours.sin", "links.lux-sin", "tunnels.lux-sin")
        kept = {name: lux.tables.pop(name) for name in tables}
        pairs = lux.tables["relay"]["links"]
        lux.tables["relay"]["links"] = [["lux", "redu"]]
        await reload(lux)
        assert "sin" not in lux.service.relaying.view._nodes  # type: ignore[union-attr]
        await spend(sites, FAR)

        async def said() -> bool:
            return "for 1 keys" in await error_of(sites["redu"], FAR)

        await eventually(said, "what is wrong")
        lux.tables |= kept
        lux.tables["relay"]["links"] = pairs
        await reload(lux)
        await eventually(lambda: full(sites), "stock")

    run_line(short_folder, trial)
    record.check()


def test_a_port_that_is_taken(short_folder: Path, record: Record) -> None:
    async def trial(sites: Sites) -> None:
        lux = sites["lux"]
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", lux.relay_port))
            other.listen()
            await sites.start()
            await eventually(lambda: in_force(sites, "lux-redu"), "a tunnel")
            shown = await lux.call("network")
            assert "the relay cannot listen on 127.0.0.1" in shown["trouble"]
            assert shown["trouble"] in render(shown)
            status = await lux.call("status")
            (warning,) = [one for one in status["warnings"] if "listen" in one]
            assert warning in " ".join(daemon_status(status).split())
            await asyncio.sleep(25.0)
            assert (await lux.call("network"))["trouble"]
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
        assert (await lux.call("network"))["trouble"] == ""

    run_line(short_folder, trial, wait=False)
    record.check()


def test_a_reload_that_fails_changes_nothing(short_folder: Path) -> None:
    async def trial(sites: Sites) -> None:
        lux = sites["lux"]
        relaying, links = lux.service.relaying, lux.service.links
        before = relaying.config, dict(links.keepers), dict(links.configs)
        (lux.folder / "lux-redu.seed").write_text("no seed\n")
        lux.tables["relay.neighbours.redu"]["pads"] = 80
        with pytest.raises(ConfigError):
            await reload(lux)
        assert (relaying.config, links.keepers, links.configs) == before
        await spend(sites, FAR)

    run_line(short_folder, trial)


def test_a_neighbour_says_nothing_of_the_pads_that_we_draw(short_folder: Path) -> None:
    """Only the end that sends under pads lists them: the other one answers."""

    async def trial(sites: Sites) -> None:
        redu = sites["redu"]
        relaying, store = redu.service.relaying, redu.service.store
        held = set(store.ledger.held("redu>lux", after=None, count=1000))
        assert held
        # The tunnel is lux's to start.
        nothing = StockPage(7, UUID(int=0), UUID(int=2**128 - 1), ())
        relaying.receive("lux-redu", PadStock(PadDirection.FROM_RESPONDER, nothing))
        for _ in range(20):
            await asyncio.sleep(0.05)
        assert held <= set(store.ledger.held("redu>lux", after=None, count=1000))

    run_line(short_folder, trial)
