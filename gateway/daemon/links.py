"""QKD links of one daemon: sources that fill the store, and alarms on its stock."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.config.model import LinkConfig, LinkSource
from gateway.daemon.workers import Worker
from gateway.errors import KeyStoreError
from gateway.keystore.alarms import StockAlarm, next_alarm
from gateway.keystore.base import KeyStore, StockStatus
from gateway.qkd.base import KeySource
from gateway.qkd.seed import load_seed
from gateway.qkd.simulated import SimulatedLink

logger = logging.getLogger(__name__)

FILL_INTERVAL: Final = 1.0
"""Seconds between fillings; a slow source's keys wait no longer than that."""

MAINTAIN_TURNS: Final = 10
"""Fillings between two maintenances of the store: what an erased key leaves in the
log is gone within ten seconds."""


class Links:
    """Every configured link of this gateway."""

    def __init__(self, store: KeyStore, worker: Worker) -> None:
        self._store = store
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self.configs: dict[str, LinkConfig] = {}
        self.sources: dict[str, KeySource] = {}
        self.alarms: dict[str, StockAlarm] = {}
        self.statuses: dict[str, StockStatus] = {}

    def configure(self, configs: dict[str, LinkConfig]) -> None:
        """Use these links from now on; unchanged ones keep their sources.

        Raises:
            KeyStoreError: A simulated link's seed cannot be read.
        """
        sources: dict[str, KeySource] = {}
        for name, config in configs.items():
            if config == self.configs.get(name) and name in self.sources:
                sources[name] = self.sources[name]
            elif (source := _make_source(config)) is not None:
                sources[name] = source
                logger.warning(
                    "link %s: %s",
                    name,
                    source.description,
                    extra={"link": name, "event": "simulated-link"},
                )
        self.configs = dict(configs)
        self.sources.clear()
        self.sources.update(sources)
        self.alarms = {name: self.alarms.get(name, StockAlarm.OK) for name in configs}

    async def start(self, clock: Callable[[], float]) -> None:
        """Fill once, then keep filling in the background."""
        await self._turn(clock())
        self._task = asyncio.get_running_loop().create_task(self._run(clock))

    async def stop(self) -> None:
        """Stop filling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def simulated(self) -> list[str]:
        """Name the links whose keys are no quantum keys, and say so."""
        return [
            f"link {name}: {self.sources[name].description}"
            for name, config in sorted(self.configs.items())
            if config.source is LinkSource.SIMULATED and name in self.sources
        ]

    async def refresh(self, name: str) -> StockStatus:
        """Read one link's stock now."""
        status = await self._worker.run(self._store.status, name)
        if name in self.configs:
            self._note(name, status)
        return status

    async def _run(self, clock: Callable[[], float]) -> None:
        turns = 0
        while True:
            await asyncio.sleep(FILL_INTERVAL)
            turns += 1
            await self._turn(clock())
            if turns % MAINTAIN_TURNS == 0:
                await self._maintain()

    async def _turn(self, now: float) -> None:
        for name in tuple(self.configs):
            try:
                source = self.sources.get(name)
                if source is not None:
                    await self._worker.run(source.fill, self._store, now)
                await self.refresh(name)
            except KeyStoreError as error:
                logger.warning("link %s: %s", name, error.message, extra={"link": name})

    async def _maintain(self) -> None:
        try:
            await self._worker.run(self._store.maintain)
        except KeyStoreError as error:
            logger.warning("key store: %s", error.message)

    def _note(self, name: str, status: StockStatus) -> None:
        """Keep the status; say so when the alarm changes."""
        before = self.alarms.get(name, StockAlarm.OK)
        after = next_alarm(before, status, self.configs[name].low_water)
        self.statuses[name] = status
        self.alarms[name] = after
        if after is not before:
            logger.log(
                logging.INFO if after is StockAlarm.OK else logging.WARNING,
                "stock is %s: %d keys available",
                after.value,
                status.available,
                extra={"link": name, "event": f"stock-{after.value}"},
            )


def _make_source(config: LinkConfig) -> KeySource | None:
    if config.source is not LinkSource.SIMULATED or config.seed_file is None:
        return None
    return SimulatedLink(
        config.name,
        load_seed(config.seed_file),
        rate=config.rate,
        capacity=config.capacity,
        low_water=config.low_water,
        lifetime=config.key_lifetime,
    )
