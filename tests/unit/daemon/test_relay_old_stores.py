"""A node whose key store is brought back from a backup uses no pad a second time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.daemon.network_runs import (
    Record,
    bring_store_back,
    eventually,
    in_force,
    in_step,
    keep_store,
    record,
    run_fast,
    spend,
)
from tests.unit.daemon.network_sites import Sites

__all__ = ["record"]

LINE = (("lux", "redu"), ("lux", "sin"))
FAR = "redu-sin"


@pytest.mark.parametrize("name", ["redu", "lux", "sin"])
def test_an_old_store(
    short_folder: Path,
    record: Record,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """Origin, relay and destination each come back as they were some time ago."""
    sites = Sites(short_folder, LINE, [("redu", "sin")], pads=120)

    async def trial() -> None:
        await sites.start()
        await eventually(lambda: in_step(sites, FAR), "stock")
        site = sites[name]
        await site.service.stop()
        keep_store(site, short_folder / "backup")
        await site.start()
        await eventually(full(sites), "a full stock")
        before = len(record.batches())
        while len(record.batches()) < before + 6:
            await spend(sites, FAR)
            await eventually(full(sites), "a full stock again")
        await site.service.stop()
        bring_store_back(site, short_folder / "backup")
        await site.start()
        await eventually(full(sites), "a full stock after all")
        await spend(sites, FAR)
        await eventually(full(sites), "a full stock relayed anew")
        await eventually(lambda: in_force(sites, FAR), "the tunnel")

    async def whole() -> None:
        try:
            await trial()
        finally:
            await sites.stop()

    run_fast(whole())
    record.check()
    assert ("the key store is an old copy" in caplog.text) == (name != "sin")
    assert not record.leaks(caplog.text)


def full(sites: Sites) -> Callable[[], bool]:
    def is_full() -> bool:
        return sites["redu"].stock(FAR) >= 13 and in_step(sites, FAR)

    return is_full
