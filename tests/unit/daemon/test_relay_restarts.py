"""Nodes that are stopped, or cut down, at odd moments while keys are relayed."""

import asyncio
import logging
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.unit.daemon.network_runs import (
    Record,
    eventually,
    in_force,
    in_step,
    record,
    run_fast,
    spend,
)
from tests.unit.daemon.network_sites import Site, Sites
from tests.unit.daemon.test_hour_of_kmes import Chance

__all__ = ["record"]

LINE = (("lux", "redu"), ("lux", "sin"))
FAR = "redu-sin"
SEEDS: Final = (1, 2)
ROUNDS: Final = 6
_KEY: Final = re.compile(r"QKD key ([0-9a-f-]{36})")


async def cut_down(site: Site) -> None:
    """Let a service go at once, as if it were killed: nothing is finished or said."""
    service = site.service
    relaying = service.relaying
    tasks = {*service._tasks, relaying._task, service.links._task}
    if relaying.driver is not None:
        tasks.add(relaying.driver._task)
    for keeper in service.links.keepers.values():
        tasks.update(keeper._tasks)
    for task in tasks:
        if task is not None:
            task.cancel()
    service.exchange.stop()
    service.status_line.stop()
    for driver in service.tunnels.drivers.values():
        await driver.stop()
    await asyncio.gather(*filter(None, tasks), return_exceptions=True)
    if relaying.transport is not None:
        await relaying.transport.stop()
    assert service._control is not None
    await service._control.stop()
    await service.holding.stop()  # whose sockets to the kernel a kill would close
    if service._guard is not None:
        await service._guard.stop()
    await service.fencing.close()
    service._plane_worker.stop()
    service.store_worker.stop()
    service.store.close()


class Epochs(logging.Handler):
    """The key of each epoch, as each end logged it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.keys: dict[tuple[str, int], list[str]] = defaultdict(list)

    def emit(self, record: logging.LogRecord) -> None:
        found = _KEY.search(record.getMessage())
        if getattr(record, "event", "") == "committed" and found:
            name = getattr(record, "tunnel", "")
            self.keys[name, getattr(record, "epoch", 0)].append(found[1])

    def check(self) -> None:
        """Each epoch has one key, and each key one epoch."""
        assert all(len(set(keys)) == 1 for keys in self.keys.values())
        used = Counter(keys[0] for keys in self.keys.values())
        assert used
        assert set(used.values()) == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_any_node_at_any_moment(
    short_folder: Path, record: Record, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    sites = Sites(short_folder, LINE, [("redu", "sin")], pads=80)
    chance = Chance(seed)

    async def trial() -> None:
        await sites.start()
        await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")
        for _ in range(ROUNDS):
            name = ("redu", "lux", "sin")[chance.below(3)]
            if sites["redu"].stock(FAR) > 8:
                await spend(sites, FAR)
            await asyncio.sleep(chance.below(3_000) / 1_000)
            if chance.below(2):
                await sites[name].service.stop()
            else:
                await cut_down(sites[name])
            await asyncio.sleep(chance.below(2) * 3.0)
            await sites[name].start()
            await eventually(lambda: full(sites), f"stock after {name}'s return")
            await eventually(lambda: in_force(sites, FAR), "the relayed tunnel")

    async def whole() -> None:
        try:
            await trial()
        finally:
            await sites.stop()

    epochs = Epochs()
    logging.getLogger("gateway").addHandler(epochs)
    caplog.set_level(logging.INFO, "gateway")
    try:
        run_fast(whole())
    finally:
        logging.getLogger("gateway").removeHandler(epochs)
    record.check()
    epochs.check()
    assert "the key store is an old copy" not in caplog.text
    assert not record.leaks(caplog.text)


def full(sites: Sites) -> bool:
    return in_step(sites, FAR) and sites["redu"].stock(FAR) >= 13
