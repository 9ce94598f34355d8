"""One tunnel's dealings with the key store, both as initiator and responder."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.events.bus import publish
from gateway.events.tunnels import OfferedKeysUsed, OffersUnreleased, OffersUnretired
from gateway.handshake.noise.symmetric import QKDKey
from gateway.keystore.base import Choice
from gateway.secret import Secret
from gateway.tunnels.context import Context
from gateway.wire.payloads import MAX_OFFERED_KEYS, Policy

OFFERED: Final = MAX_OFFERED_KEYS // 2
"""Keys offered in an M1: enough that two stocks a few keys apart meet."""


FRESH_INTERVAL: Final = 30.0
"""Seconds until fresh keys are drawn again for a peer that knew none of those offered:
its KME may be away, and ours must not be emptied meanwhile."""


class KeyOffers:
    """Reserves, consumes, retires and releases keys of one tunnel's link."""

    def __init__(
        self, context: Context, tunnel: str, link: str | None, policy: Policy
    ) -> None:
        self._context = context
        self._tunnel = tunnel
        self._link = link if policy is not Policy.OFF else None
        self._unknown = False
        self._fresh_at = float("-inf")

    def note_unknown(self, *, unknown: bool) -> None:
        """Note whether the peer had none of the keys offered, and had used none.

        Its store may be new, or an old copy. The two stocks would be compared over the
        control channel, which a tunnel that requires QKD has only after a handshake:
        so the next one offers keys that are drawn for it.
        """
        self._unknown = unknown

    async def reserve(self, holder: str, *, draw: bool = True) -> Sequence[UUID]:
        """Reserve keys to offer; empty when there are none or none are wanted.

        Args:
            holder: Who reserves.
            draw: Whether to ask the link's source where the stock has none.
        """
        if self._link is None:
            return ()
        if self._unknown and draw:
            fresh = await self._reserve_fresh(self._link, holder)
            if fresh:
                return fresh
        offered = await self._reserve(self._link, holder)
        if not offered and draw:
            # Whatever this brings: others may have filled the stock meanwhile.
            await self._draw(self._link)
            offered = await self._reserve(self._link, holder)
        return offered

    async def choose(
        self, offered: Sequence[UUID], holder: str
    ) -> tuple[QKDKey | None, frozenset[UUID]]:
        """Reserve one of the keys offered; also name those already used up here."""
        if self._link is None or not offered:
            return None, frozenset()
        worker = self._context.store_worker
        choice = await worker.run_quick(self._choose, offered, holder)
        if choice.key_id is None:
            await self._fetch(offered)
            choice = await worker.run_quick(self._choose, offered, holder)
        if choice.key_id is None or choice.key is None:
            return None, choice.used
        return QKDKey(choice.key_id, choice.key), choice.used

    async def consume(self, key_id: UUID, holder: str) -> Secret:
        """Consume a reserved key, durably.

        Raises:
            KeyStoreError: It cannot be marked as used, so it may not be used.
        """
        if self._link is None:
            raise KeyStoreError(f"tunnel {self._tunnel} has no QKD link")
        store = self._context.store
        return await self._context.store_worker.run(
            store.uses.consume, self._link, key_id, holder=holder
        )

    async def release(self, holder: str) -> None:
        """Give back what was not consumed."""
        if self._link is None:
            return
        try:
            store = self._context.store
            await self._context.store_worker.run_quick(store.uses.release, holder)
        except KeyStoreError as error:
            publish(OffersUnreleased(self._tunnel, error.message))

    async def retire(self, offered: Sequence[UUID], used: Sequence[UUID]) -> None:
        """Drop keys that the peer has used up; leap ahead if it used all we have."""
        if self._link is None or not used:
            return
        await self._context.store_worker.run(self._retire, offered, used)

    def _choose(self, offered: Sequence[UUID], holder: str) -> Choice:
        assert self._link is not None  # noqa: S101  # the callers have checked
        return self._context.store.uses.reserve_first(
            self._link, offered, holder=holder
        )

    async def _fetch(self, offered: Sequence[UUID]) -> int:
        """Ask the link's source for what the peer offers.

        In a task of its own, for it waits with a timeout (see `gateway.tunnels.eager`).
        """
        assert self._link is not None  # noqa: S101  # the callers have checked
        links = self._context.links
        return await asyncio.create_task(links.fetch_now(self._link, offered))

    async def _draw(self, link: str) -> int:
        """Ask the link's source for keys, likewise."""
        return await asyncio.create_task(self._context.links.draw_now(link))

    async def _reserve_fresh(self, link: str, holder: str) -> Sequence[UUID]:
        """Draw keys for this handshake alone, and reserve them."""
        now = self._context.clock()
        if now - self._fresh_at < FRESH_INTERVAL:
            return ()
        self._fresh_at = now
        drawn = await asyncio.create_task(self._context.links.draw_fresh(link))
        store, worker = self._context.store, self._context.store_worker
        reserved = []
        for key_id in drawn:
            choice = await worker.run_quick(
                store.uses.reserve_first, link, [key_id], holder=holder
            )
            if choice.key is not None:
                choice.key.wipe()
                reserved.append(key_id)
        return reserved

    async def _reserve(self, link: str, holder: str) -> Sequence[UUID]:
        """Reserve this tunnel's share of a stock that others draw on too."""
        store, worker = self._context.store, self._context.store_worker
        status = await worker.run_quick(store.stocks.status, link)
        share = status.available // self._context.links.shares(link)
        count = max(1, min(OFFERED, share))
        return await worker.run_quick(store.uses.reserve, link, count, holder=holder)

    def _retire(self, offered: Sequence[UUID], used: Sequence[UUID]) -> None:
        assert self._link is not None  # noqa: S101  # the callers have checked
        store = self._context.store
        try:
            store.ledger.retire(self._link, used)
            source = self._context.links.sources.get(self._link)
            if source is not None and len(used) == len(offered):
                source.resync(store, used)
        except KeyStoreError as error:
            publish(OffersUnretired(self._tunnel, self._link, error.message))
            return
        publish(OfferedKeysUsed(self._tunnel, self._link, len(used), len(offered)))
