"""Draws of new keys from this end's KME (``enc_keys``): ahead of need, or at once."""

from collections.abc import Mapping
from typing import Final

from gateway.errors import KeySourceError, KeyStoreError, SourceFault
from gateway.events.bus import publish
from gateway.events.supply import KMEsDisagree
from gateway.keystore.base import StockStatus
from gateway.keystore.check import check_of
from gateway.supply.budget import MAX_EMPTY_PAUSE, MAX_PAUSE, CallBudget
from gateway.supply.intake import StockIntake
from gateway.supply.outage import Outage
from gateway.supply.requests import CheckRoom, DrawKeys, Job, ReadClock, ask
from gateway.wire.stock import NO_CHECK, Announced

AT_ONCE: Final = 4
"""Keys drawn for a handshake that waits: it takes one, the next ones are at hand."""

STORE_PAUSE: Final = 30.0
"""Seconds until more is drawn for a store that could not take keys: a full disk must
not empty the KME."""


GROWTH: Final = 2
"""What may be drawn at once grows by it with each answer that can be used."""

_ANSWERS: Final = frozenset(
    {
        *(SourceFault.EMPTY, SourceFault.OVERLOADED, SourceFault.SERVER),
        *(SourceFault.REJECTED, SourceFault.MALFORMED, SourceFault.OVERSIZED),
    }
)
"""Faults of a KME that answers at once: a handshake that waits may ask it in spite of
a pause, at a pace of its own. One that is away would cost the handshake its time."""


class Drawing:
    """Draws the keys of one link.

    Keys that cannot be used are gone all the same: after an answer without a good one
    a single key is drawn at a time, until one is good.

    Args:
        source: Describes the KME.
        intake: Takes keys into stock.
        budget: Calls that may be made; pauses after failures.

    Attributes:
        last_error: What the last call objected to, None after a success.
        calls: Calls made.
        drawn: Keys drawn into the store.
    """

    def __init__(
        self,
        source: str,
        intake: StockIntake,
        budget: CallBudget,
    ) -> None:
        self.last_error: KeySourceError | KeyStoreError | None = None
        self.calls = 0
        self.drawn = 0
        self._source = source
        self._intake = intake
        self._budget = budget
        self._distrust = budget.pauses_alone()
        self._urgency = budget.pauses_alone()
        self._filling = False
        self._most: int | None = None
        self._link = intake.config.name
        self._outage = Outage(self._link, "kme")

    def allows(self, *, now: float) -> bool:
        """Whether a call may be made now."""
        return self._budget.allows(now=now) and not self.is_distrusted(now=now)

    def is_urgent_allowed(self, *, now: float) -> bool:
        """Whether a handshake that waits may ask now, pause or not."""
        if self._distrust.is_paused(now=now):
            return False
        if not self._budget.is_paused(now=now):
            return True
        error = self.last_error
        is_answer = isinstance(error, KeySourceError) and error.fault in _ANSWERS
        has_asked_to_wait = isinstance(error, KeySourceError) and error.retry_after
        return (
            is_answer and not has_asked_to_wait and not self._urgency.is_paused(now=now)
        )

    def is_distrusted(self, *, now: float) -> bool:
        """Whether the peer could not use keys drawn lately, so that drawing waits."""
        return self._distrust.is_paused(now=now)

    def is_out_of_order(self, *, now: float) -> bool:
        """Whether more than a lack of keys keeps it from drawing now."""
        error = self.last_error
        is_broken = error is not None and fault_of(error) != SourceFault.EMPTY
        return is_broken or self.is_distrusted(now=now)

    def wait(self, *, now: float) -> float:
        """Seconds until a call may be made."""
        return max(self._budget.wait(now=now), self._distrust.wait(now=now))

    def note_outcome(self, bad: int, *, now: float) -> None:
        """Note what the peer says of keys that were drawn for both.

        Two KMEs that disagree would be drained for nothing: keys that the peer cannot
        use make the next draw wait, longer each time.

        Args:
            bad: Keys that its KME does not have, or has with other bytes; with none,
                it holds those it was told of.
            now: Monotonic seconds.
        """
        if not bad:
            self._distrust.succeeded()
            return
        self._filling = False
        pause = self._distrust.failed(now=now)
        publish(KMEsDisagree(self._link, bad, pause))

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

    def draw_urgently(self) -> Job[list[Announced]]:
        """Draw a few keys for a handshake that waits, beside what is drawn ahead.

        Nothing is asked while that is of no use; else as `draw`.
        """
        now = yield from ask(ReadClock())
        if not self.is_urgent_allowed(now=now):
            return []
        keys = yield from self.draw(AT_ONCE)
        now = yield from ask(ReadClock())
        if keys:
            self._urgency.succeeded()
        else:
            self._urgency.failed(now=now, at_most=MAX_EMPTY_PAUSE)
        return keys

    def draw(self, count: int) -> Job[list[Announced]]:
        """Draw up to `count` keys into the store, as unconfirmed; never raises.

        Returns those now in stock; what went wrong is in `last_error`.
        """
        count = count if self._most is None else min(count, self._most)
        self.calls += 1
        now = yield from ask(ReadClock())
        self._budget.spend(now=now)
        try:
            yield from ask(CheckRoom(count))
            delivery = yield from ask(DrawKeys(count))
            now = yield from ask(ReadClock())
            self._spend_more(delivery.calls, now=now)
            keys = yield from self._intake.take(delivery, confirmed=False)
        except KeySourceError as error:
            now = yield from ask(ReadClock())
            self._spend_more(error.calls, now=now)
            if error.fault in {SourceFault.MALFORMED, SourceFault.OVERSIZED}:
                self._most = 1
            is_empty = error.fault is SourceFault.EMPTY
            pause = self._budget.failed(
                now=now,
                at_least=error.retry_after or 0.0,
                at_most=MAX_EMPTY_PAUSE if is_empty else MAX_PAUSE,
            )
            self._failed(error, pause)
            return []
        except KeyStoreError as error:
            now = yield from ask(ReadClock())
            pause = self._budget.failed(now=now, at_least=STORE_PAUSE)
            self._failed(error, pause)
            return []
        if not keys:
            # Nothing usable came: asking on and on would empty the KME.
            self._most = 1
            self._failed(
                unusable(self._source, "enc_keys", self._intake.last_refused),
                self._budget.failed(now=now),
            )
            return []
        if self._most is not None:
            self._most *= GROWTH
            if self._most >= self._intake.config.batch:
                self._most = None
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

    def _spend_more(self, calls: int, *, now: float) -> None:
        """Charge the calls that a refused batch took besides the first."""
        for _ in range(1, calls):
            self.calls += 1
            self._budget.spend(now=now)

    def _failed(self, error: KeySourceError | KeyStoreError, pause: float) -> None:
        self._filling = False
        fault = fault_of(error)
        self.last_error = error
        self._outage.failed(
            fault,
            f"cannot draw keys: {error.message}; trying again in {pause:.0f} s",
            is_usual=fault == SourceFault.EMPTY,
        )

    def _recovered(self) -> None:
        self._budget.succeeded()
        self.last_error = None
        self._outage.recovered("the KME gives keys again")


def unusable(source: str, call: str, reasons: Mapping[str, int]) -> KeySourceError:
    """Return the error that an answer is in which no key can be used.

    Args:
        source: The KME.
        call: What was asked.
        reasons: How many keys were refused for which reason.
    """
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return KeySourceError(
        f"no key that came can be used ({why or 'none came'})",
        "docs/qkd.md says what each reason means; until one is good, single keys are "
        "asked for",
        source=source,
        call=call,
        fault=SourceFault.MALFORMED,
    )


def fault_of(error: KeySourceError | KeyStoreError) -> str:
    """Return the kind of an error, in one word."""
    return error.fault.value if isinstance(error, KeySourceError) else "store"
