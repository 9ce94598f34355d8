"""Intake of a KME's deliveries into the store, with alarms over what is wrong.

A key is refused that has the wrong size, an ID that was there before, or bytes that
were there under another ID: a KME that gives such may be broken, or turned.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway.config.model import LinkConfig
from gateway.events.bus import publish
from gateway.events.supply import KeysRefused
from gateway.keystore.base import ImportReport, NewKey, Refusal
from gateway.sources.base import Delivery
from gateway.supply.requests import Job, TakeIn, ask

NAMED_REFUSALS: Final = 5
"""Refused key_IDs that one log line names."""


class StockIntake:
    """The way of one link's keys into its stock.

    Attributes:
        refused: Keys refused since the start, by reason.
        last_refused: Those refused of the last delivery, by reason.
    """

    def __init__(self, config: LinkConfig) -> None:
        self.config = config
        self.refused: Counter[str] = Counter()
        self.last_refused: Counter[str] = Counter()

    def take(self, delivery: Delivery, *, confirmed: bool) -> Job[list[NewKey]]:
        """Take a delivery in; return the keys that are now in stock.

        Raises:
            KeyStoreError: The store cannot take them: they are lost.
        """
        report = ImportReport(0)
        if delivery.keys:
            report = yield from ask(TakeIn(delivery.keys, confirmed=confirmed))
        refused = (*delivery.refused, *report.refused)
        self._alarm(refused)
        self.last_refused = Counter(refusal.reason for refusal in refused)
        turned_away = {refusal.key_id for refusal in report.refused}
        return [key for key in delivery.keys if str(key.key_id) not in turned_away]

    def alarm(self, refused: Sequence[Refusal]) -> None:
        """Note keys that were refused before they reached the store."""
        self._alarm(tuple(refused))

    def _alarm(self, refused: tuple[Refusal, ...]) -> None:
        if not refused:
            return
        self.refused.update(refusal.reason for refusal in refused)
        named = ", ".join(
            f"{one.key_id} ({one.reason})" for one in refused[:NAMED_REFUSALS]
        )
        more = len(refused) - NAMED_REFUSALS
        reasons = tuple(sorted({one.reason for one in refused}))
        publish(KeysRefused(self.config.name, len(refused), named, more, reasons))
