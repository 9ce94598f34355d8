"""Where pads come from: real KMEs over mutual TLS, or an operator's files; and how
stocks of pads and relayed links are shown."""

import base64
import os
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from doubles.kme_pair import KMEPair

from gateway.cli.network import render
from gateway.cli.render import daemon_status, link_table
from gateway.cli.render_qkd import qkd_link_table, qkd_status
from gateway.control.protocol import encode_result
from gateway.errors import ControlError
from gateway.secret import Secret
from tests.unit.daemon.kme_ends import SAES
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
KEYS = 1_500


def run_line(
    folder: Path,
    trial: Callable[[Sites], Coroutine[Any, Any, None]],
    change: Callable[[Sites], None] = lambda _: None,
) -> None:
    sites = Sites(folder, LINE, [("redu", "sin")], pads=60)
    change(sites)

    async def whole() -> None:
        try:
            await trial(sites)
        finally:
            await sites.stop()

    run_fast(whole())


def full(sites: Sites) -> bool:
    return in_step(sites, FAR) and sites["redu"].stock(FAR) >= 13


# -- KMEs


def use_kmes(sites: Sites, link: str, pair: KMEPair) -> None:
    """Have both ends of a link fetch its keys from a pair of KMEs."""
    for name, letter, kme in zip(
        link.split("-"), "ab", (pair.alice, pair.bob), strict=True
    ):
        ours = pair.credentials[SAES[letter]]
        sites[name].tables[f"links.{link}"] = {
            "source": "etsi014",
            "kme": kme.url,
            "sae_id": SAES[letter],
            "peer_sae_id": SAES["b" if letter == "a" else "a"],
            "ca": str(pair.ca),
            "certificate": str(ours.certificate),
            "private_key": str(ours.private_key),
            "target": 20,
            "low_water": 4,
            "batch": 16,
            "timeout": 20.0,
            "requests_per_minute": 6000.0,
        }


def test_pads_from_kmes(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = {f"{a}-{b}": KMEPair(short_folder / f"kme-{a}-{b}") for a, b in LINE}

    async def trial(sites: Sites) -> None:
        try:
            for link, pair in pairs.items():
                await pair.__aenter__()
                await pair.make_keys(KEYS)
                use_kmes(sites, link, pair)
            await sites.start()
            await eventually(lambda: full(sites), "stock")
            await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
            await spend(sites, FAR)
            await eventually(lambda: full(sites), "stock again")

            (shown,) = await sites["redu"].call("qkd.status", link="redu>lux")
            assert shown["draws"]
            assert shown["kme"]["source"] == pairs["lux-redu"].bob.url
            assert shown["supply"]["drawn"] >= shown["stock"]["consumed"] > 0
            (shown,) = await sites["lux"].call("qkd.status", link="redu>lux")
            assert not shown["draws"]
            assert shown["supply"]["fetched"] > 0

            # A KME is gone: keys are relayed from stock, then no more; and it heals.
            await pairs["lux-sin"].alice.stop()
            while True:
                await spend(sites, FAR)
                await eventually(lambda: settled(sites), "all that can come")
                if sites["redu"].stock(FAR) < 13:
                    break
            assert "lux" in await error_of(sites["redu"], FAR)
        finally:
            for pair in pairs.values():
                await pair.__aexit__(None, None, None)

    def settled(sites: Sites) -> bool:
        keeper = sites["redu"].service.links.keepers[FAR]
        return full(sites) or keeper.status().error != ""

    run_line(short_folder, trial)
    record.check()
    assert not record.leaks(caplog.text)


# -- By hand


def new_keys(count: int) -> list[dict[str, str]]:
    return [
        {"key_ID": str(uuid.uuid4()), "key": base64.b64encode(os.urandom(32)).decode()}
        for _ in range(count)
    ]


def lifted(keys: list[dict[str, str]]) -> list[dict[str, object]]:
    """Return keys as they come out of a request; the daemon overwrites them."""
    return [
        {"key_ID": each["key_ID"], "key": Secret(base64.b64decode(each["key"]))}
        for each in keys
    ]


def by_hand(sites: Sites) -> None:
    for site in sites.by_name.values():
        for a, b in LINE:
            if f"links.{a}-{b}" in site.tables:
                site.tables[f"links.{a}-{b}"] = {"source": "file", "low_water": 2}
                # The tunnel between neighbours only tells of pads.
                site.tables[f"tunnels.{a}-{b}"]["qkd"] = "off"
                del site.tables[f"tunnels.{a}-{b}"]["link"]


def test_pads_imported_by_hand(short_folder: Path, record: Record) -> None:
    async def import_both(sites: Sites, stock: str, count: int) -> None:
        keys = new_keys(count)
        for name in stock.split(">"):
            report = await sites[name].call(
                "keystore.import", link=stock, keys=lifted(keys)
            )
            assert report == {"added": count, "refused": []}

    async def trial(sites: Sites) -> None:
        await sites.start()
        redu = sites["redu"]

        async def said() -> bool:
            return "for 1 keys" in await error_of(redu, FAR)

        await eventually(said, "what is wrong")
        await import_both(sites, "redu>lux", 40)
        await import_both(sites, "lux>sin", 40)
        await eventually(lambda: full(sites), "stock")
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
        # A key under two names would be a pad in two places.
        keys = new_keys(1)
        for stock, reason in (("redu>lux", None), ("lux>redu", "other-link")):
            report = await redu.call("keystore.import", link=stock, keys=lifted(keys))
            reasons = [one["reason"] for one in report["refused"]]
            assert reasons == ([reason] if reason else [])
        # At one end only, it is never used.
        assert (
            redu.stock("redu>lux")
            == redu.service.store.stocks.status("redu>lux").available - 1
        )
        with pytest.raises(ControlError, match="no link named lux>mars"):
            await redu.call("keystore.import", link="lux>mars", keys=lifted(keys))

    run_line(short_folder, trial, by_hand)
    record.check()


# -- Shown


def test_everything_is_shown(short_folder: Path, record: Record) -> None:
    async def trial(sites: Sites) -> None:
        await sites["redu"].start()
        await check_shown(sites["redu"])  # with nobody there
        for name in ("lux", "sin"):
            await sites[name].start()
        await eventually(lambda: full(sites), "stock")
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
        for site in sites.by_name.values():
            await check_shown(site)
        redu, sin = sites["redu"], sites["sin"]

        rows = {one["link"]: one for one in await redu.call("qkd.links")}
        assert set(rows) == {FAR, "lux-redu", "lux>redu", "redu>lux"}
        assert rows[FAR]["route"] == "relay to sin"
        assert rows[FAR]["draws"]
        assert rows["redu>lux"]["draws"]
        assert not rows["lux>redu"]["draws"]
        assert rows["redu>lux"]["simulated"]
        assert {one["link"]: one["draws"] for one in await sin.call("qkd.links")}[
            FAR
        ] is False

        (far,) = await redu.call("qkd.status", link=FAR)
        assert far["scheduled_rate"] > 0
        assert far["scheduled_empty_s"] > 0
        assert far["kme"]["notes"] == ["redu > lux > sin"]
        (pads,) = await redu.call("qkd.status", link="redu>lux")
        assert (pads["scheduled_rate"], pads["scheduled_empty_s"]) == (0, None)

        fetched = await redu.call("qkd.fetch", link=FAR, count=3)
        assert (fetched["drawn"], fetched["error"]) == (3, "")
        for link in ("lux>redu", "redu>lux"):
            with pytest.raises(ControlError):
                await redu.call("qkd.test", link=link)
        with pytest.raises(ControlError, match="its keys are relayed"):
            await redu.call("qkd.test", link=FAR)
        with pytest.raises(ControlError, match="this end draws no keys"):
            await sin.call("qkd.fetch", link=FAR)

    run_line(short_folder, trial)
    record.check()


async def check_shown(site: Site) -> None:
    """Call what shows, and have it printed."""
    links = await site.call("qkd.links")
    table = qkd_link_table(links)
    stored = link_table(await site.call("keystore.status"))
    status = await site.call("status")
    printed = daemon_status(status)
    network = await site.call("network")
    for one in links:
        assert one["link"] in table
        assert one["link"] in stored
        assert one["link"] in printed
    for one in await site.call("qkd.status"):
        assert one["link"] in qkd_status(one)
    assert network["node"] in render(network)
    for result in (links, status, network):
        encode_result(1, result)
