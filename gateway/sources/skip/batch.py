"""A batch by a protocol that gives one key a call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar
from uuid import UUID

from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import NewKey, Refusal
from gateway.sources.base import Delivery
from gateway.sources.http.limits import MAX_CONNECTIONS

CONCURRENCY: Final = MAX_CONNECTIONS
"""Calls at a time: a batch of 64 keys takes 16 round trips, on kept connections."""

_Item = TypeVar("_Item")


class Batch:
    """Several calls, a few at a time; the first that fails keeps others from starting.

    Args:
        source: The key provider, as errors name it.
        limit: Seconds for all of them together.
    """

    def __init__(self, source: str, limit: float) -> None:
        self._source = source
        self._limit = limit
        self._seen: set[UUID] = set()
        self._keys: dict[UUID, NewKey] = {}
        self._refused: list[Refusal] = []
        self._error: KeySourceError | None = None
        self._missing: list[UUID] = []
        self._is_json = True

    def take(self, found: NewKey | Refusal) -> None:
        """Take in what one call brought; of two keys under one ID, neither."""
        if isinstance(found, Refusal):
            self._refused.append(found)
            return
        if found.key_id not in self._seen:
            self._seen.add(found.key_id)
            self._keys[found.key_id] = found
            return
        twin = Refusal(str(found.key_id), "duplicate")
        self._refused.append(twin)
        first = self._keys.get(found.key_id)
        if first is not None and first.key != found.key:
            del self._keys[found.key_id]
            self._refused.append(twin)

    def lack(self, key_id: UUID, *, is_json: bool) -> None:
        """Note a key that the key provider lacks, and whether it says so in JSON."""
        self._missing.append(key_id)
        self._is_json &= is_json

    def delivery(self) -> Delivery:
        """Return all that came."""
        return Delivery(
            tuple(self._keys.values()),
            tuple(self._missing),
            tuple(self._refused),
            is_json=self._is_json,
        )

    async def run(
        self, call: Callable[[_Item], Awaitable[None]], items: Iterable[_Item]
    ) -> None:
        """Make the calls.

        Raises:
            KeySourceError: The first failure, when nothing came at all.
        """
        waiting = deque(items)

        async def work() -> None:
            while waiting:
                try:
                    await call(waiting.popleft())
                except KeySourceError as error:
                    waiting.clear()
                    self._error = self._error or error

        is_late = False
        try:
            async with asyncio.timeout(self._limit), asyncio.TaskGroup() as group:
                for _worker in range(min(CONCURRENCY, len(waiting))):
                    group.create_task(work())
        except TimeoutError:
            is_late = True
        if self._keys or self._missing or self._refused:
            return
        if self._error is not None:
            raise self._error
        if is_late:
            raise KeySourceError(
                "no whole answer in time",
                source=self._source,
                call="key",
                fault=SourceFault.TIMEOUT,
            )
