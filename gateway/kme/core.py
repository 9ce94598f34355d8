"""A KME without HTTP: keys drawn, delivered, and kept in step with its peer.

The order that gives no key twice and none that the other end lacks: the peer has noted
a drawing durably, then it is durable here, and only then the master SAE is answered.
Whatever fails on the way costs keys at most.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import ParamSpec, TypeVar
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.kme.keys import PoolSequence
from gateway.kme.link import KmeLinkStatus
from gateway.kme.marks import (
    BehindError,
    DrawnKeys,
    Half,
    Marks,
    NotFoundError,
    NotNamedError,
)
from gateway.kme.peer import PeerClient, PeerError
from gateway.kme.peer_messages import MarksMessage
from gateway.kme.pool import Pool
from gateway.kme.refusals import KEYS_NOT_FOUND, RefusedError
from gateway.kme.requests import KeyLimits, KeyRequest
from gateway.kme.settings import MAX_KEY_SIZE, MIN_KEY_SIZE, End, KMESettings
from gateway.secret import Secret

P = ParamSpec("P")
T = TypeVar("T")

RETRY_AFTER = 1
"""Seconds that an SAE is told to wait when the pool is empty or the peer away."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key on its way to an SAE."""

    key_id: UUID
    key: Secret


def half_of(end: End) -> Half:
    """Return the half of the sequence that an end's SAEs draw from."""
    return Half.ALICE if end is End.ALICE else Half.BOB


class KMECore:
    """One KME. Its methods are called from one event loop.

    Args:
        settings: What the operator wrote.
        sequence: The link's keys.
        pool: Counters; used from one thread of this core's own, and closed by it.
        peer: The other end.
    """

    def __init__(
        self,
        settings: KMESettings,
        sequence: PoolSequence,
        pool: Pool,
        peer: PeerClient,
    ) -> None:
        self.settings = settings
        self.peer = peer
        self.peer_capacity = settings.max_key_count
        self.link_status: KmeLinkStatus | None = None
        self.drawn_keys = 0
        self.delivered_keys = 0
        self._sequence = sequence
        self._pool = pool
        self._disk = ThreadPoolExecutor(1, "kme-pool")
        self._drawing = asyncio.Lock()

    @property
    def limits(self) -> KeyLimits:
        """What SAEs can ask for."""
        return KeyLimits(
            self.settings.key_size,
            MIN_KEY_SIZE,
            MAX_KEY_SIZE,
            self.settings.max_key_per_request,
        )

    @property
    def marks(self) -> Marks:
        """How far the sequence has come, as far as this end knows."""
        return self._pool.marks

    @property
    def own(self) -> Half:
        """The half that this end's SAEs draw from."""
        return self._pool.own

    @property
    def stored(self) -> int:
        """Keys that SAEs of this end can draw."""
        return self._pool.marks.stock(self._pool.own)

    @property
    def waiting(self) -> int:
        """Keys that wait for slave SAEs of this end."""
        return self._pool.waiting

    async def close(self) -> None:
        """Finish what is under way on the disk, and close pool and connections."""
        await self.peer.close()
        await self._on_disk(self._pool.close)
        self._disk.shutdown()

    async def draw(
        self, master: str, slave: str, request: KeyRequest
    ) -> list[GivenKey]:
        """Draw keys for a master SAE of this end and a slave SAE of the other.

        Raises:
            RefusedError: There are not so many, or the peer cannot be told.
        """
        units = -(-request.size // self.settings.key_size)
        async with self._drawing:
            drawing = await self._announced(master, slave, request, units)
            await self._on_disk_or_refuse(self._pool.draw, drawing)
        self.drawn_keys += drawing.number
        return [
            self._given(self.own.counter(index), drawing.size)
            for index in drawing.indexes
        ]

    async def fetch(
        self, slave: str, master: str, key_ids: Sequence[UUID]
    ) -> list[GivenKey]:
        """Deliver keys that a master SAE of the other end has drawn.

        Raises:
            RefusedError: One of them is unknown, delivered, or for another SAE.
        """
        counters = [self._sequence.counter(key_id) for key_id in key_ids]
        known = [counter for counter in counters if counter is not None]
        if len(known) != len(counters):
            raise RefusedError(HTTPStatus.BAD_REQUEST, KEYS_NOT_FOUND)
        try:
            sizes = await self._on_disk_or_refuse(
                self._pool.deliver, slave, master, known
            )
        except NotNamedError:
            raise RefusedError.unauthorized() from None
        except NotFoundError:
            raise RefusedError(HTTPStatus.BAD_REQUEST, KEYS_NOT_FOUND) from None
        self.delivered_keys += len(sizes)
        return [
            self._given(counter, size)
            for counter, size in zip(known, sizes, strict=True)
        ]

    async def expect(self, drawing: DrawnKeys) -> None:
        """Note durably what an SAE of the other end draws.

        Raises:
            BehindError: It was drawn before.
            RefusedError: The disk does not take it.
        """
        await self._on_disk_or_refuse(self._pool.expect, drawing)

    async def merge(self, marks: Marks) -> Marks:
        """Take over what the other end knows.

        Raises:
            RefusedError: The disk does not take it.
        """
        return await self._on_disk_or_refuse(self._pool.merge, marks)

    def message(
        self, marks: Marks | None = None, link: KmeLinkStatus | None = None
    ) -> MarksMessage:
        """Return what the peer is told of this end."""
        return MarksMessage(
            self._sequence.link_id,
            marks or self.marks,
            self.settings.max_key_count,
            self.settings.key_size,
            link,
        )

    def is_same_link(self, link_id: str) -> bool:
        """Whether the peer has the same seed."""
        return link_id == self._sequence.link_id

    async def _announced(
        self, master: str, slave: str, request: KeyRequest, units: int
    ) -> DrawnKeys:
        """Find keys that were not drawn, and have the peer note them."""
        # Twice: once more after the peer has said where we really are.
        for _ in range(2):
            if self.stored < request.number * units:
                raise RefusedError.unavailable(
                    f"not enough keys: {self.stored} stored of {self.settings.key_size}"
                    " bits",
                    retry_after=RETRY_AFTER,
                )
            drawing = DrawnKeys(
                self.marks.drawn[self.own],
                request.number,
                units,
                request.size,
                master,
                slave,
            )
            try:
                await self.peer.announce(drawing)
            except BehindError as error:
                _log.warning(
                    "the peer KME knows %d keys to be drawn that this one does not:"
                    " skipping them (an answer was lost, or an old pool is back)",
                    error.drawn - drawing.first,
                )
                behind = DrawnKeys(error.drawn, 0, 1, 0, master, slave)
                await self._on_disk_or_refuse(self._pool.draw, behind)
                continue
            except PeerError as error:
                _log.warning("no keys for %r: %s", master, error)
                if error.refused:
                    raise RefusedError.unauthorized() from None
                raise RefusedError.unavailable(
                    "the peer KME is not reachable", retry_after=RETRY_AFTER
                ) from None
            return drawing
        raise RefusedError.unavailable(
            "the peer KME is not in step", retry_after=RETRY_AFTER
        )

    def _given(self, counter: int, size: int) -> GivenKey:
        return GivenKey(
            self._sequence.key_id(counter), self._sequence.key(counter, size)
        )

    async def _on_disk(
        self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: call(*args, **kwargs))

    async def _on_disk_or_refuse(
        self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await self._on_disk(call, *args, **kwargs)
        except KeyStoreError as error:
            _log.error("key pool: %s", error.message)
            message = "the key pool cannot be written"
        raise RefusedError.unavailable(message, retry_after=RETRY_AFTER)
