"""The end that follows: answers about its stock, keys fetched by ID (``dec_keys``)."""

import asyncio
import hmac
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from gateway.errors import KeySourceError, KeyStoreError
from gateway.keystore.base import KeyStanding, KeyStore, Refusal
from gateway.keystore.calls import RunBlocking
from gateway.keystore.check import check_of
from gateway.sources.base import Delivery, KeyClient
from gateway.supply.budget import CallBudget
from gateway.supply.drawing import fault_of, unusable
from gateway.supply.intake import StockIntake
from gateway.supply.outage import LinkLog, Outage
from gateway.wire.stock import (
    Holding,
    StockAnnounce,
    StockAnswer,
    StockPage,
)

logger = logging.getLogger(__name__)

MAX_CALLS: Final = 64
"""Calls to a KME for one message: one key each, from a KME that allows no more."""

SPAN_PAGE: Final = 256
"""Keys of ours that are read at once when a page is compared."""

_HOLDINGS: Final = {
    KeyStanding.UNKNOWN: Holding.UNKNOWN,
    KeyStanding.HELD: Holding.HELD,
    KeyStanding.USED: Holding.USED,
}


class Follower:
    """The answering end of one link.

    Args:
        client: Fetches keys, or None for a link that is filled by hand.
        intake: Takes them in.
        store: Where they go.
        run: Calls the store.
        budget: Calls that the peer's announcements may cost; pauses after failures.
        clock: Monotonic seconds.
        unlisted: Told, in the store's thread, of unused keys that the peer, which
            draws all of them, does not hold; None if it need not be told.

    Attributes:
        fetched: Keys fetched since the start.
        last_error: What the last call objected to, None after a success.
    """

    def __init__(
        self,
        client: KeyClient | None,
        intake: StockIntake,
        store: KeyStore,
        run: RunBlocking,
        budget: CallBudget,
        clock: Callable[[], float],
        unlisted: Callable[[Sequence[UUID]], None] | None = None,
    ) -> None:
        self.fetched = 0
        self.last_error: KeySourceError | KeyStoreError | None = None
        self._client = client
        self._intake = intake
        self._store = store
        self._run = run
        self._budget = budget
        self._clock = clock
        self._unlisted = unlisted
        self._turn = asyncio.Lock()
        self._log = LinkLog(logger, intake.config.name)
        self._outage = Outage(self._log, "kme-fetch")

    async def answer(self, message: StockAnnounce | StockPage, run: int) -> StockAnswer:
        """Answer an announcement or a page.

        Args:
            message: It.
            run: What tells the peer that this is the same stock as before.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        refused: dict[UUID, Holding] = {}
        if isinstance(message, StockAnnounce):
            key_ids = tuple(key.key_id for key in message.keys)
            checks = {
                key.key_id: key.check
                for key in message.keys
                if self._intake.config.checked
            }
            refused = await self._fetch(await self._unknown(key_ids), checks)
        else:
            # Nothing is fetched for a page: it tells no check values.
            key_ids = message.key_ids
            await self._compare(message)
        standings = await self._standing(key_ids)
        if key_ids:
            await self._run(
                self._store.ledger.confirm, self._intake.config.name, key_ids
            )
        status = await self._run(self._store.stocks.status, self._intake.config.name)
        return StockAnswer(
            serial=message.serial,
            run=run,
            available=min(status.available, 2**32 - 1),
            holdings=tuple(
                refused.get(key_id, _HOLDINGS[standing])
                for key_id, standing in zip(key_ids, standings, strict=True)
            ),
        )

    async def fetch(self, key_ids: Sequence[UUID]) -> int:
        """Fetch keys that a handshake offers and we lack; return how many came.

        Never raises; what went wrong is in `last_error`.
        """
        before = self.fetched
        await self._fetch(await self._unknown(key_ids), {})
        return self.fetched - before

    async def _unknown(self, key_ids: Sequence[UUID]) -> list[UUID]:
        standings = await self._standing(key_ids)
        return [
            key_id
            for key_id, standing in zip(key_ids, standings, strict=True)
            if standing is KeyStanding.UNKNOWN
        ]

    async def _standing(self, key_ids: Sequence[UUID]) -> Sequence[KeyStanding]:
        if not key_ids:
            return ()
        return await self._run(
            self._store.ledger.standing, self._intake.config.name, key_ids
        )

    async def _fetch(
        self, wanted: list[UUID], checks: Mapping[UUID, bytes]
    ) -> dict[UUID, Holding]:
        """Fetch keys; return what the store cannot tell of those that did not come."""
        if self._client is None or not wanted:
            return {}
        async with self._turn:
            # Another message may have brought them while we waited.
            return await self._fetch_all(await self._unknown(wanted), checks)

    async def _fetch_all(
        self, wanted: list[UUID], checks: Mapping[UUID, bytes]
    ) -> dict[UUID, Holding]:
        found: dict[UUID, Holding] = {}
        if not await self._has_room(len(wanted)):
            return dict.fromkeys(wanted, Holding.LATER)
        for _ in range(MAX_CALLS):
            if not wanted:
                break
            if not self._budget.allows(now=self._clock()):
                found |= dict.fromkeys(wanted, Holding.LATER)
                break
            try:
                came, differing = await self._call(wanted, checks)
            except (KeySourceError, KeyStoreError) as error:
                self._failed(error)
                found |= dict.fromkeys(wanted, Holding.LATER)
                break
            if not came:
                break
            found |= dict.fromkeys(differing, Holding.USED)
            wanted = [key_id for key_id in wanted if key_id not in came]
        # What no KME has settled may come when the other one is back.
        return dict.fromkeys(wanted, Holding.LATER) | found

    async def _call(
        self, wanted: list[UUID], checks: Mapping[UUID, bytes]
    ) -> tuple[set[UUID], set[UUID]]:
        """Make one call; return the key_IDs settled by it, and those that differ."""
        assert self._client is not None  # noqa: S101  # the caller has checked
        self._budget.spend(now=self._clock())
        await self._intake.check_room(len(wanted))
        delivery = await self._client.get_keys_with_ids(wanted)
        differing = {
            key.key_id
            for key in delivery.keys
            if key.key_id in checks
            and not hmac.compare_digest(
                checks[key.key_id], check_of(key.key_id, key.key)
            )
        }
        good = tuple(key for key in delivery.keys if key.key_id not in differing)
        taken = await self._intake.take(
            Delivery(good, refused=delivery.refused), confirmed=True
        )
        self._intake.alarm([Refusal(str(key_id), "differs") for key_id in differing])
        self.fetched += len(taken)
        if delivery.refused and not delivery.keys:
            reasons = Counter(refusal.reason for refusal in delivery.refused)
            self._note(unusable(self._client.description, "dec_keys", reasons))
        else:
            self._recovered()
        settled = {key.key_id for key in delivery.keys} | set(delivery.missing)
        settled |= {one for one in wanted if str(one) in _ids(delivery.refused)}
        return settled, differing

    async def _has_room(self, count: int) -> bool:
        config = self._intake.config
        status = await self._run(self._store.stocks.status, config.name)
        return status.available + status.reserved + count <= config.capacity

    async def _compare(self, page: StockPage) -> None:
        """Give up keys of ours in a page's span that the peer no longer has."""
        name = self._intake.config.name
        listed = set(page.key_ids)
        after = page.after
        gone: list[UUID] = []
        while True:
            held = await self._run(
                self._store.ledger.held, name, after=after, count=SPAN_PAGE
            )
            inside = [key_id for key_id in held if key_id <= page.until]
            gone += [key_id for key_id in inside if key_id not in listed]
            if len(inside) < SPAN_PAGE:
                break
            after = inside[-1]
        if gone and self._unlisted is not None:
            await self._run(self._unlisted, gone)
        if self._client is None:
            # Filled by hand: the peer may just not have imported them yet.
            await self._run(self._store.ledger.doubt, name, gone)
        elif gone and (
            count := await self._run(self._store.ledger.give_up, name, gone)
        ):
            self._log.warning(
                "the peer no longer holds %d keys; they are retired",
                count,
                extra={"event": "keys-retired"},
            )

    def _failed(self, error: KeySourceError | KeyStoreError) -> None:
        retry_after = 0.0
        if isinstance(error, KeySourceError):
            retry_after = error.retry_after or 0.0
        self._budget.failed(now=self._clock(), at_least=retry_after)
        self._note(error)

    def _note(self, error: KeySourceError | KeyStoreError) -> None:
        self.last_error = error
        self._outage.failed(
            fault_of(error),
            f"cannot fetch the keys that the peer has drawn: {error.message}",
            level=logging.WARNING,
            now=self._clock(),
        )

    def _recovered(self) -> None:
        self._budget.succeeded()
        self.last_error = None
        self._outage.recovered("the KME gives the peer's keys again", now=self._clock())


def _ids(refused: Sequence[Refusal]) -> set[str]:
    return {refusal.key_id for refusal in refused}
