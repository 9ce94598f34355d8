"""Draws new keys from this end's KME (``enc_keys``): ahead of need, or at once."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.errors import KeySourceError, KeyStoreError, SourceFault
from gateway.keystore.base import StockStatus
from gateway.keystore.check import check_of
from gateway.qkd.base import KeyClient
from gateway.qkd.budget import MAX_EMPTY_PAUSE, MAX_PAUSE, CallBudget
from gateway.qkd.intake import Intake
from gateway.wire.stock import NO_CHECK, Announced

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Keys drawn for a handshake that waits: it takes one, the next ones are at hand."""

STORE_PAUSE: Final = 30.0
"""Seconds until more is drawn for a store that could not take keys: a full disk must
not empty the KME."""


class Drawing:
    """Draws the keys of one link; one call at a time.

    Attributes:
        last_error: What the last call objected to, None after a success.
        calls: Calls made.
        drawn: Keys drawn into the store.
    """

    def __init__(
        self,
        client: KeyClient,
        intake: Intake,
        budget: CallBudget,
        clock: Callable[[], float],
    ) -> None:
        self.last_error: KeySourceError | KeyStoreError | None = None
        self.calls = 0
        self.drawn = 0
        self._client = client
        self._intake = intake
        self._clock = clock
        self._budget = budget
        self._distrust = budget.pauses_alone()
        self._turn = asyncio.Lock()
        self._filling = False

    def allows(self) -> bool:
        """Whether a call may be made now."""
        return self._budget.allows(now=self._clock()) and not self.is_paused()

    def is_paused(self) -> bool:
        """Whether a failure was so recent that asking again is of no use."""
        now = self._clock()
        return self._budget.is_paused(now=now) or self._distrust.is_paused(now=now)

    def is_distrusted(self) -> bool:
        """Whether the peer could not use keys drawn lately, so that drawing waits."""
        return self._distrust.is_paused(now=self._clock())

    def is_out_of_order(self) -> bool:
        """Whether more than a lack of keys keeps it from drawing now."""
        error = self.last_error
        is_broken = error is not None and _fault(error) != SourceFault.EMPTY
        return is_broken or self.is_distrusted()

    def wait(self) -> float:
        """Seconds until a call may be made."""
        now = self._clock()
        return max(self._budget.wait(now=now), self._distrust.wait(now=now))

    def note_outcome(self, bad: int) -> None:
        """Note what the peer says of keys that were drawn for both.

        Two KMEs that disagree would be drained for nothing: keys that the peer cannot
        use make the next draw wait, longer each time.

        Args:
            bad: Keys that its KME does not have, or has with other bytes; with none,
                it holds those it was told of.
        """
        if not bad:
            self._distrust.succeeded()
            return
        self._filling = False
        pause = self._distrust.failed(now=self._clock())
        logger.warning(
            "the peer cannot use %d of the keys drawn: the two KMEs do not agree; "
            "drawing again in %.0f s",
            bad,
            pause,
            extra={"link": self._intake.config.name, "event": "kmes-disagree"},
        )

    def wanted(self, status: StockStatus) -> int:
        """How many keys to draw ahead in the next call; 0 while there is enough.

        Waits until a whole batch is missing, unless stock is low, so that each
        rotation does not cost a call; then fills up to the target, or until the KME
        has no more.
        """
        config = self._intake.config
        batch = config.batch
        stock = status.available + status.reserved
        missing = min(config.target, config.capacity) - stock
        least = min(batch, max(1, config.target // 2))
        low = status.available <= config.low_water
        self._filling = missing > 0 and (self._filling or low or missing >= least)
        return min(batch, missing) if self._filling else 0

    async def draw(self, count: int) -> list[Announced]:
        """Draw up to `count` keys into the store, as unconfirmed; never raises.

        Returns those now in stock; what went wrong is in `last_error`.
        """
        async with self._turn:
            return await self._draw(count)

    async def _draw(self, count: int) -> list[Announced]:
        self.calls += 1
        self._budget.spend(now=self._clock())
        try:
            await self._intake.check_room(count)
            delivery = await self._client.get_keys(count)
            keys = await self._intake.take(delivery, confirmed=False)
        except KeySourceError as error:
            is_empty = error.fault is SourceFault.EMPTY
            pause = self._budget.failed(
                now=self._clock(),
                at_least=error.retry_after or 0.0,
                at_most=MAX_EMPTY_PAUSE if is_empty else MAX_PAUSE,
            )
            self._failed(error, pause)
            return []
        except KeyStoreError as error:
            pause = self._budget.failed(now=self._clock(), at_least=STORE_PAUSE)
            self._failed(error, pause)
            return []
        if not keys:
            # Nothing usable came: asking on and on would empty the KME.
            self._filling = False
            self._budget.failed(now=self._clock())
            return []
        self._recovered()
        self.drawn += len(keys)
        is_checked = self._intake.config.checked
        return [
            Announced(
                key.key_id,
                check_of(key.key_id, key.key) if is_checked else NO_CHECK,
            )
            for key in keys
        ]

    def _failed(self, error: KeySourceError | KeyStoreError, pause: float) -> None:
        """Log the first of a kind; repetitions are in the status."""
        self._filling = False
        fault = _fault(error)
        known = self.last_error is not None and _fault(self.last_error) == fault
        self.last_error = error
        empty = fault == SourceFault.EMPTY
        level = logging.INFO if empty else logging.WARNING
        logger.log(
            logging.DEBUG if known else level,
            "cannot draw keys: %s; trying again in %.0f s",
            error.message,
            pause,
            extra={"link": self._intake.config.name, "event": f"kme-{fault}"},
        )

    def _recovered(self) -> None:
        self._budget.succeeded()
        if self.last_error is not None:
            self.last_error = None
            logger.info(
                "the KME gives keys again",
                extra={"link": self._intake.config.name, "event": "kme-ok"},
            )


def _fault(error: KeySourceError | KeyStoreError) -> str:
    return error.fault.value if isinstance(error, KeySourceError) else "store"
