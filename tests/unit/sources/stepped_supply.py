"""One end's supply at a real KME, under a clock that is stepped when nothing is due."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.model import LinkConfig
from gateway.sources.base import KeyClient
from gateway.supply.driver import StoreCalls, perform
from gateway.supply.machine import RECURRING, SupplyMachine, SupplyStatus
from gateway.supply.requests import (
    DrawKeys,
    FetchKeys,
    ReadClock,
    Send,
    StoreRequest,
    SupplyRequest,
)
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.stepped import MTU, PATIENCE, Clock


class SteppedSupply:
    """Draws keys as fast as it may; no tunnel is up. Calls take what they take."""

    def __init__(
        self, clock: Clock, link: LinkConfig, client: KeyClient, bench: SQLiteBench
    ) -> None:
        self._clock = clock
        self._client = client
        self._calls = StoreCalls(link, bench.store)
        self._machine = SupplyMachine(
            link, client.description, mtu=MTU, run=1, chance=lambda: 0.5
        )
        self._machine.set_draws(draws=True)

    def status(self) -> SupplyStatus:
        return self._machine.status(now=self._clock.now)

    async def run(
        self, seconds: float, enough: Callable[[], bool] = lambda: False
    ) -> bool:
        """Let that much time pass, or less if it is enough before; say if it is."""
        end = self._clock.now + seconds
        while True:
            for lane in RECURRING:
                if self._machine.get_timer(lane) <= self._clock.now:
                    await perform(self._machine.work(lane), self._answer)
                    if enough():
                        return True
            due = min(self._machine.get_timer(lane) for lane in RECURRING)
            if due > end:
                self._clock.advance(end - self._clock.now)
                return enough()
            self._clock.advance(max(0.0, due - self._clock.now))

    async def until(
        self, enough: Callable[[], bool], what: str, seconds: float = PATIENCE
    ) -> None:
        if not await self.run(seconds, enough):
            pytest.fail(f"no {what} within {seconds} s")

    async def stop(self) -> None:
        await self._client.close()

    async def _answer(self, request: SupplyRequest[Any]) -> object:
        match request:
            case ReadClock():
                return self._clock.now
            case Send():
                return False
            case StoreRequest():
                return self._calls.answer(request)
            case DrawKeys(count):
                return await self._client.get_keys(count)
            case FetchKeys(key_ids):
                return await self._client.get_keys_with_ids(key_ids)
            case _:
                raise TypeError(f"nothing answers {request!r}")
