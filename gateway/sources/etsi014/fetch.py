"""Batches fetched by key_ID when some of them may be missing.

A KME that lacks one key of a request answers for all of them that "one or more keys
specified are not found": which, the standard does not tell. The batch is halved until
the missing ones stand alone, within a bounded number of calls; what is undecided then
is left over, and asked for again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from gateway.errors import KeySourceError, SourceFault
from gateway.sources.base import Delivery
from gateway.sources.etsi014.container import Contents
from gateway.sources.http.verdicts import DEC_KEYS

if TYPE_CHECKING:
    from gateway.keystore.base import NewKey, Refusal

MAX_CALLS: Final = 31
"""Calls of one fetch, besides one for a key_ID in the other case: two missing keys
among 128 take at most 27. Each fetch decides about one key at least, as long as a
batch has fewer than 2**30."""


class Fetch:
    """One fetch of a batch.

    Args:
        source: The KME, as errors name it.
        key_ids: Those wanted, none twice.
        is_single: Says whether only one key a call can be asked for, as it stands.
    """

    def __init__(
        self, source: str, key_ids: Sequence[UUID], is_single: Callable[[], bool]
    ) -> None:
        self._source = source
        self._parts = deque([tuple(key_ids)])
        self._is_single = is_single
        self._keys: list[NewKey] = []
        self._missing: list[UUID] = []
        self._refused: list[Refusal] = []
        self._is_json = True

    async def run(
        self, call: Callable[[Sequence[UUID]], Awaitable[Contents]], limit: float
    ) -> None:
        """Fetch what can be.

        Args:
            call: Fetches one part; raises `KeySourceError`.
            limit: Seconds for all calls together.

        Raises:
            KeySourceError: Nothing could be decided about any key.
        """
        failure: KeySourceError | None = None
        is_late = False
        try:
            async with asyncio.timeout(limit):
                failure = await self._run(call)
        except TimeoutError:
            is_late = True
        if is_late and not self._has_decided:
            raise KeySourceError(
                "no whole answer in time",
                source=self._source,
                call=DEC_KEYS,
                fault=SourceFault.TIMEOUT,
            )
        if failure is not None and not self._has_decided:
            raise failure

    def delivery(self) -> Delivery:
        """Return what is decided."""
        return Delivery(
            tuple(self._keys),
            tuple(self._missing),
            tuple(self._refused),
            is_json=self._is_json,
        )

    @property
    def _has_decided(self) -> bool:
        return bool(self._keys or self._missing or self._refused)

    async def _run(
        self, call: Callable[[Sequence[UUID]], Awaitable[Contents]]
    ) -> KeySourceError | None:
        calls = 0
        while self._parts and calls < MAX_CALLS:
            part = self._parts.popleft()
            if len(part) > 1 and self._is_single():
                self._parts.extendleft((key_id,) for key_id in reversed(part))
                continue
            calls += 1
            try:
                contents = await call(part)
            except KeySourceError as error:
                if len(part) > 1 and self._is_single():
                    self._parts.appendleft(part)  # it was learned just now
                elif error.fault is not SourceFault.MISSING:
                    return error
                else:
                    self._is_json &= error.is_json
                    self._divide(part)
            else:
                self._take(part, contents)
        return None

    def _divide(self, part: tuple[UUID, ...]) -> None:
        if len(part) == 1:
            self._missing += part
            return
        half = len(part) // 2
        self._parts.extendleft((part[half:], part[:half]))

    def _take(self, part: tuple[UUID, ...], contents: Contents) -> None:
        self._keys += contents.keys
        self._refused += contents.refused
        known = {str(key.key_id) for key in contents.keys}
        known |= {refusal.key_id for refusal in contents.refused}
        self._missing += (key_id for key_id in part if str(key_id) not in known)
