"""What keeps a line of three from relaying is named where it happened and at the end
that asked, and leaves no key at only one end."""

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

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


async def change(site: Site, table: str, **keys: object) -> None:
    """Change a table of the configuration, None for none, and reload."""
    for key, value in keys.items():
        if value is None:
            del site.tables[table][key]
        else:
            site.tables[table][key] = value
    site.write()
    await site.call("reload")


class Refused:
    """One reason for which nothing is relayed, and what is said of it.

    Args:
        sites: The line.
        caplog: What is logged, by all.
    """

    def __init__(self, sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
        self.sites = sites
        self.caplog = caplog

    async def expect(self, fault: str, *there: str) -> None:
        """Wait for the error at the origin, and for what is logged where it happened.

        No key may be at one end only, and be offered.
        """
        self.caplog.clear()
        await spend(self.sites, FAR)
        redu = self.sites["redu"]

        async def said() -> bool:
            if redu.stock(FAR):  # came from a batch that was under way before
                await spend(self.sites, FAR)
            return fault in await error_of(redu, FAR)

        await eventually(said, fault)
        for text in there:
            assert text in self.caplog.text
        assert redu.stock(FAR) == 0
        assert not redu.service.store.ledger.held(FAR, after=None, count=9)

    async def heal(self) -> None:
        """Wait until keys are relayed again, in step at both ends."""
        await eventually(
            lambda: in_step(self.sites, FAR) and self.sites["redu"].stock(FAR) >= 13,
            "keys again",
        )

        async def silent() -> bool:
            return await error_of(self.sites["redu"], FAR) == " |  | "

        await eventually(silent, "no error any more")


def run_line(
    folder: Path, trial: Callable[[Sites], Coroutine[Any, Any, None]], pads: int = 60
) -> None:
    sites = Sites(folder, LINE, [("redu", "sin")], pads=pads)

    async def whole() -> None:
        try:
            await sites.start()
            await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
            await trial(sites)
        finally:
            await sites.stop()

    run_fast(whole())


def test_each_reason_is_named_and_heals(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")

    async def trial(sites: Sites) -> None:
        refused = Refused(sites, caplog)
        lux, sin = sites["lux"], sites["sin"]
        far = f"links.{FAR}"

        await change(lux, "relay", forward=False)
        await refused.expect(
            "could not be relayed: unknown-node at lux",
            "refused a relay message of redu",
        )
        await change(lux, "relay", forward=True)
        await refused.heal()

        await change(sin, far, paths=2)
        await refused.expect(
            "could not be relayed: store at sin", "came over other paths"
        )
        await change(sin, far, paths=None)
        await refused.heal()

        await change(sin, far, target=3, low_water=1, capacity=7)
        await refused.expect(
            "could not be relayed: store at sin", f"the stock of link {FAR} is full"
        )
        await change(sin, far, target=20, low_water=4, capacity=None)
        await refused.heal()

        tunnel, link = sin.tables[f"tunnels.{FAR}"], sin.tables.pop(far)
        tunnel["qkd"] = "off"
        del tunnel["link"]
        sin.write()
        await sin.call("reload")
        await refused_without_link(refused)
        sin.tables[far] = link
        tunnel |= {"qkd": "required", "link": FAR}
        sin.write()
        await sin.call("reload")
        await refused.heal()

    run_line(short_folder, trial)
    record.check()
    assert not record.leaks(caplog.text)


async def refused_without_link(refused: Refused) -> None:
    redu = refused.sites["redu"]
    await redu.call("keystore.purge", link=FAR, all=True)

    async def said() -> bool:
        error = await error_of(redu, FAR)
        return "could not be relayed: store at sin" in error

    await eventually(said, "the error")
    text = "keys came from node redu, to which no link is configured"
    await eventually(lambda: text in refused.caplog.text, text)
    assert redu.stock(FAR) == 0


def test_other_ways_are_refused(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    """The destination of a ring insists on the way that it was told."""
    ring = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))
    sites = Sites(short_folder, ring, [("a", "c")], pads=60)
    sites["a"].tables["links.a-c"]["via"] = ["b"]
    sites["c"].tables["links.a-c"]["via"] = ["d"]

    async def whole() -> None:
        try:
            await sites.start()

            async def said() -> bool:
                return "store at c" in await error_of(sites["a"], "a-c")

            await eventually(said, "the error")
            assert "came over other paths than configured: a > b > c" in caplog.text
            assert not sites["a"].service.store.ledger.held("a-c", after=None, count=9)
            assert not sites["c"].service.store.ledger.held("a-c", after=None, count=9)
            await change(sites["c"], "links.a-c", via=["b"])
            await eventually(lambda: in_force(sites, "a-c"), "the relayed tunnel")
        finally:
            await sites.stop()

    run_fast(whole())
    assert {one.route for one in record.batches()} == {("a", "b", "c")}


def test_a_hop_without_pads(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    async def trial(sites: Sites) -> None:
        refused = Refused(sites, caplog)
        redu, lux = sites["redu"], sites["lux"]
        for name in ("lux", "sin"):
            await change(sites[name], "links.lux-sin", rate=0.001)
        for name in ("sin", "lux"):
            await sites[name].call("keystore.purge", link="lux>sin", all=True)

        async def said() -> bool:
            if redu.stock(FAR) > 4:
                await spend(sites, FAR)
            return "pads for 1 keys" in await error_of(redu, FAR)

        await eventually(said, "the error")
        (route,) = (await redu.call("network"))["routes"]
        assert (route["paths"], route["error"] != "") == ([], True)
        # Told the truth too late, an origin asks for what a node between lacks.
        await change(sites["redu"], f"links.{FAR}", via=["lux"])
        for name in ("lux", "sin"):
            await change(sites[name], "links.lux-sin", rate=2000.0)
        await eventually(lambda: lux.stock("lux>sin") > 50, "pads")
        await refused.heal()

    run_line(short_folder, trial)
    record.check()
