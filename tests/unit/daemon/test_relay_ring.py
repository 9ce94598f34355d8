"""A ring of four: two disjoint paths, or the other way round."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.control import RotateReason
from tests.unit.daemon.network_runs import (
    Record,
    error_of,
    eventually,
    in_force,
    in_step,
    record,
    run_fast,
)
from tests.unit.daemon.network_sites import Sites

__all__ = ["record"]

RING = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))
FAR = "a-c"


def run_ring(
    folder: Path, trial: Callable[[Sites], Coroutine[Any, Any, None]], **keys: object
) -> None:
    """Start a ring whose ends `a` and `c` relay with these keys, and try it."""
    sites = Sites(folder, RING, [("a", "c")], pads=60)
    for name in ("a", "c"):
        sites[name].tables[f"links.{FAR}"] |= keys

    async def whole() -> None:
        try:
            await sites.start()
            await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
            await eventually(full(sites), "stock")
            await trial(sites)
        finally:
            await sites.stop()

    run_fast(whole())


def full(sites: Sites) -> Callable[[], bool]:
    return lambda: in_step(sites, FAR) and sites["a"].stock(FAR) >= 13


def drawn(sites: Sites) -> int:
    return sites["a"].service.links.keepers[FAR].status().drawn


async def rotate(sites: Sites) -> None:
    """Bring a new epoch with a QKD key into force."""
    before = (await sites["a"].call("tunnel.show", name=FAR))["epoch"]
    sites["a"].service.tunnels.drivers[FAR].rotate(RotateReason.OPERATOR)

    async def newer() -> bool:
        shown = await sites["a"].call("tunnel.show", name=FAR)
        return shown["epoch"] > before and in_force(sites, FAR)

    await eventually(newer, "a new epoch")
    shown = await sites["a"].call("tunnel.show", name=FAR)
    assert shown["qkd_key"] == "fresh"
    assert shown["key_id"] == (await sites["c"].call("tunnel.show", name=FAR))["key_id"]


def test_two_paths_need_both_and_heal(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    async def trial(sites: Sites) -> None:
        a = sites["a"]
        (route,) = (await a.call("network"))["routes"]
        ways = [["a", "b", "c"], ["a", "d", "c"]]
        assert sorted(route["paths"]) == ways
        taken = {message.route for message in record.batches("a")}
        assert taken == {tuple(way) for way in ways}
        carried = [{one.bundle for one in record.batches(name)} for name in "bd"]
        assert carried[0] & carried[1]

        await sites["b"].service.stop()

        async def said() -> bool:
            return "no 2 disjoint path" in await error_of(a, FAR)

        await eventually(said, "what is wrong")
        kept = a.stock(FAR)
        assert kept
        before = drawn(sites)
        for _ in range(2):
            await rotate(sites)  # from stock
        assert a.stock(FAR) < kept
        while a.stock(FAR) > 4:
            await rotate(sites)
        error = await error_of(a, FAR)
        assert "nothing can be sent to b" in error
        assert drawn(sites) == before

        await sites["b"].start()
        await eventually(lambda: drawn(sites) > before, "keys over both paths")
        await eventually(full(sites), "stock")
        await rotate(sites)
        assert await error_of(a, FAR) == " |  | "

    run_ring(short_folder, trial, paths=2)
    record.check()
    assert not record.leaks(caplog.text)


def test_one_path_goes_the_other_way_round(short_folder: Path, record: Record) -> None:
    async def trial(sites: Sites) -> None:
        first = record.batches("a")[-1].route
        between, other = first[1], {"b": "d", "d": "b"}[first[1]]
        await sites[between].service.stop()
        before = drawn(sites)
        while drawn(sites) == before:
            await rotate(sites)
        assert record.batches("a")[-1].route == ("a", other, "c")
        (route,) = (await sites["a"].call("network"))["routes"]
        assert route["paths"] == [["a", other, "c"]]
        heard = {
            one["node"]: one["heard_ago_s"]
            for one in (await sites["a"].call("network"))["nodes"]
        }
        assert heard["c"] is not None

        # Now nothing is left; and then one comes back.
        await sites[other].service.stop()

        async def said() -> bool:
            return "no 1 disjoint path" in await error_of(sites["a"], FAR)

        await eventually(said, "what is wrong")
        while sites["a"].stock(FAR) > 4:
            await rotate(sites)
        await sites[between].start()
        await eventually(full(sites), "stock over the first way")
        assert record.batches("a")[-1].route == first

    run_ring(short_folder, trial)
    record.check()
