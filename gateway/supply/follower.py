"""The end that follows: answers about its stock, keys fetched by ID (``dec_keys``)."""

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from gateway.errors import KeySourceError, KeyStoreError
from gateway.events.bus import publish
from gateway.events.supply import KeysGivenUp
from gateway.keystore.base import KeyStanding, Refusal
from gateway.keystore.check import check_of
from gateway.sources.base import Delivery
from gateway.supply.budget import CallBudget
from gateway.supply.drawing import fault_of, unusable
from gateway.supply.intake import StockIntake
from gateway.supply.outage import Outage
from gateway.supply.requests import (
    CheckRoom,
    Confirm,
    Disown,
    Doubt,
    FetchKeys,
    GiveUp,
    Job,
    ReadClock,
    ReadHeld,
    ReadStanding,
    ReadStock,
    ask,
)
from gateway.wire.stock import (
    Holding,
    StockAnnounce,
    StockAnswer,
    StockPage,
)

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
    """The answering end of one link. Its jobs run one at a time.

    Args:
        source: Describes the KME; None for a link that is filled by hand.
        intake: Takes keys in.
        budget: Calls that the peer's announcements may cost; pauses after failures.
        disowns: Whether a store is told of keys that the peer does not hold.

    Attributes:
        fetched: Keys fetched since the start.
        last_error: What the last call objected to, None after a success.
    """

    def __init__(
        self,
        source: str | None,
        intake: StockIntake,
        budget: CallBudget,
        *,
        disowns: bool = False,
    ) -> None:
        self.fetched = 0
        self.last_error: KeySourceError | KeyStoreError | None = None
        self._source = source
        self._intake = intake
        self._budget = budget
        self._disowns = disowns
        self._outage = Outage(intake.config.name, "kme-fetch")

    def answer(
        self, message: StockAnnounce | StockPage, *, run: int, draws: bool
    ) -> Job[StockAnswer]:
        """Answer an announcement or a page.

        Args:
            message: It.
            run: What tells the peer that this is the same stock as before.
            draws: Whether this end draws the keys, and not the peer.

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
            unknown = yield from self.unknown(key_ids)
            refused = yield from self._fetch(unknown, checks)
        else:
            # Nothing is fetched for a page: it tells no check values.
            key_ids = message.key_ids
            yield from self._compare(message, disowns=self._disowns and not draws)
        standings = yield from self._standing(key_ids)
        if key_ids:
            yield from ask(Confirm(key_ids))
        status = yield from ask(ReadStock())
        return StockAnswer(
            serial=message.serial,
            run=run,
            available=min(status.available, 2**32 - 1),
            holdings=tuple(
                refused.get(key_id, _HOLDINGS[standing])
                for key_id, standing in zip(key_ids, standings, strict=True)
            ),
        )

    def fetch(self, key_ids: Sequence[UUID]) -> Job[int]:
        """Fetch keys that a handshake offers and we lack; return how many came.

        What goes wrong with the KME is in `last_error`.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        before = self.fetched
        unknown = yield from self.unknown(key_ids)
        yield from self._fetch(unknown, {})
        return self.fetched - before

    def unknown(self, key_ids: Sequence[UUID]) -> Job[list[UUID]]:
        """Return those of some keys that never were in stock.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        standings = yield from self._standing(key_ids)
        return [
            key_id
            for key_id, standing in zip(key_ids, standings, strict=True)
            if standing is KeyStanding.UNKNOWN
        ]

    def _standing(self, key_ids: Sequence[UUID]) -> Job[Sequence[KeyStanding]]:
        return (yield from ask(ReadStanding(key_ids))) if key_ids else ()

    def _fetch(
        self, wanted: list[UUID], checks: Mapping[UUID, bytes]
    ) -> Job[dict[UUID, Holding]]:
        """Fetch keys; return what the store cannot tell of those that did not come."""
        found: dict[UUID, Holding] = {}
        if self._source is None or not wanted:
            return found
        if not (yield from self._has_room(len(wanted))):
            return dict.fromkeys(wanted, Holding.LATER)
        for _ in range(MAX_CALLS):
            if not wanted:
                break
            now = yield from ask(ReadClock())
            if not self._budget.allows(now=now):
                found |= dict.fromkeys(wanted, Holding.LATER)
                break
            self._budget.spend(now=now)
            try:
                came, differing = yield from self._call(wanted, checks, self._source)
            except (KeySourceError, KeyStoreError) as error:
                now = yield from ask(ReadClock())
                self._failed(error, now=now)
                found |= dict.fromkeys(wanted, Holding.LATER)
                break
            if not came:
                break
            found |= dict.fromkeys(differing, Holding.USED)
            wanted = [key_id for key_id in wanted if key_id not in came]
        # What no KME has settled may come when the other one is back.
        return dict.fromkeys(wanted, Holding.LATER) | found

    def _call(
        self, wanted: list[UUID], checks: Mapping[UUID, bytes], source: str
    ) -> Job[tuple[set[UUID], set[UUID]]]:
        """Make one call; return the key_IDs settled by it, and those that differ."""
        yield from ask(CheckRoom(len(wanted)))
        delivery = yield from ask(FetchKeys(wanted))
        differing = {
            key.key_id
            for key in delivery.keys
            if key.key_id in checks
            and not hmac.compare_digest(
                checks[key.key_id], check_of(key.key_id, key.key)
            )
        }
        good = tuple(key for key in delivery.keys if key.key_id not in differing)
        taken = yield from self._intake.take(
            Delivery(good, refused=delivery.refused), confirmed=True
        )
        self._intake.alarm([Refusal(str(key_id), "differs") for key_id in differing])
        self.fetched += len(taken)
        if delivery.refused and not delivery.keys:
            reasons = Counter(refusal.reason for refusal in delivery.refused)
            self._note(unusable(source, "dec_keys", reasons))
        else:
            self._recovered()
        settled = {key.key_id for key in delivery.keys} | set(delivery.missing)
        settled |= {one for one in wanted if str(one) in _ids(delivery.refused)}
        return settled, differing

    def _has_room(self, count: int) -> Job[bool]:
        status = yield from ask(ReadStock())
        stock = status.available + status.reserved
        return stock + count <= self._intake.config.capacity

    def _compare(self, page: StockPage, *, disowns: bool) -> Job[None]:
        """Give up keys of ours in a page's span that the peer no longer has."""
        listed = set(page.key_ids)
        after = page.after
        gone: list[UUID] = []
        while True:
            held = yield from ask(ReadHeld(after, SPAN_PAGE))
            inside = [key_id for key_id in held if key_id <= page.until]
            gone += [key_id for key_id in inside if key_id not in listed]
            if len(inside) < SPAN_PAGE:
                break
            after = inside[-1]
        if gone and disowns:
            yield from ask(Disown(gone))
        if self._source is None:
            # Filled by hand: the peer may just not have imported them yet.
            yield from ask(Doubt(gone))
        elif gone and (count := (yield from ask(GiveUp(gone)))):
            publish(KeysGivenUp(self._intake.config.name, count))

    def _failed(self, error: KeySourceError | KeyStoreError, *, now: float) -> None:
        retry_after = 0.0
        if isinstance(error, KeySourceError):
            retry_after = error.retry_after or 0.0
        self._budget.failed(now=now, at_least=retry_after)
        self._note(error)

    def _note(self, error: KeySourceError | KeyStoreError) -> None:
        self.last_error = error
        self._outage.failed(
            fault_of(error),
            f"cannot fetch the keys that the peer has drawn: {error.message}",
        )

    def _recovered(self) -> None:
        self._budget.succeeded()
        self.last_error = None
        self._outage.recovered("the KME gives the peer's keys again")


def _ids(refused: Sequence[Refusal]) -> set[str]:
    return {refusal.key_id for refusal in refused}
