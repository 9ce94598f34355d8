"""One tunnel's dealings with the key store, both as initiator and responder."""

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.daemon.context import Context
from gateway.errors import KeyStoreError
from gateway.handshake.symmetric import QKDKey
from gateway.secret import Secret
from gateway.wire.payloads import MAX_OFFERED_KEYS, Policy

logger = logging.getLogger(__name__)

OFFERED: Final = MAX_OFFERED_KEYS // 2
"""Keys offered in an M1: enough that two stocks a few keys apart meet."""


class TunnelStock:
    """Reserves, consumes, retires and releases keys of one tunnel's link."""

    def __init__(
        self, context: Context, tunnel: str, link: str | None, policy: Policy
    ) -> None:
        self._context = context
        self._tunnel = tunnel
        self._link = link if policy is not Policy.OFF else None

    async def reserve(self, holder: str) -> Sequence[UUID]:
        """Reserve keys to offer; empty when there are none or none are wanted."""
        if self._link is None:
            return ()
        store = self._context.store
        return await self._context.store_worker.run(
            store.reserve, self._link, OFFERED, holder=holder
        )

    async def choose(
        self, offered: Sequence[UUID], holder: str
    ) -> tuple[QKDKey | None, frozenset[UUID]]:
        """Reserve one of the keys offered; also name those already used up here."""
        if self._link is None or not offered:
            return None, frozenset()
        return await self._context.store_worker.run(self._choose, offered, holder)

    async def consume(self, key_id: UUID, holder: str) -> Secret:
        """Consume a reserved key, durably.

        Raises:
            KeyStoreError: It cannot be marked as used, so it may not be used.
        """
        if self._link is None:
            raise KeyStoreError(f"tunnel {self._tunnel} has no QKD link")
        store = self._context.store
        return await self._context.store_worker.run(
            store.consume, self._link, key_id, holder=holder
        )

    async def release(self, holder: str) -> None:
        """Give back what was not consumed."""
        if self._link is None:
            return
        try:
            await self._context.store_worker.run(self._context.store.release, holder)
        except KeyStoreError as error:
            logger.warning(
                "cannot release keys: %s", error.message, extra={"tunnel": self._tunnel}
            )

    async def retire(self, offered: Sequence[UUID], used: Sequence[UUID]) -> None:
        """Drop keys that the peer has used up; leap ahead if it used all we have."""
        if self._link is None or not used:
            return
        await self._context.store_worker.run(self._retire, offered, used)

    def _choose(
        self, offered: Sequence[UUID], holder: str
    ) -> tuple[QKDKey | None, frozenset[UUID]]:
        assert self._link is not None  # noqa: S101  # the callers have checked
        store = self._context.store
        choice = store.reserve_first(self._link, offered, holder=holder)
        source = self._context.sources.get(self._link)
        if choice.key_id is None and source is not None:
            source.ensure(store, offered)
            choice = store.reserve_first(self._link, offered, holder=holder)
        if choice.key_id is None or choice.key is None:
            return None, choice.used
        return QKDKey(choice.key_id, choice.key), choice.used

    def _retire(self, offered: Sequence[UUID], used: Sequence[UUID]) -> None:
        assert self._link is not None  # noqa: S101  # the callers have checked
        store = self._context.store
        try:
            store.retire(self._link, used)
            source = self._context.sources.get(self._link)
            if source is not None and len(used) == len(offered):
                source.resync(store, used)
        except KeyStoreError as error:
            logger.warning(
                "cannot retire keys the peer has used: %s",
                error.message,
                extra={"tunnel": self._tunnel, "link": self._link},
            )
            return
        logger.warning(
            "the peer had used %d of %d keys offered; they are retired",
            len(used),
            len(offered),
            extra={"tunnel": self._tunnel, "link": self._link, "event": "keys-retired"},
        )
