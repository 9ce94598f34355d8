"""A comparison of the whole stock with the peer's, page by page in key_ID order.

No I/O; time is an argument. Each page lists what this end holds in a span; the answer
says what the peer knows of each. The peer learns from the same page which of its keys
this end no longer has. A page that is not answered is read anew before it is repeated,
so that it never tells of keys that have gone since.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.wire.stock import Holding, StockAnswer, StockPage

FIRST_KEY_ID: Final = UUID(int=0)
LAST_KEY_ID: Final = UUID(int=2**128 - 1)

FIRST_RETRY: Final = 1.0
"""Seconds until an unanswered page is made anew."""

MAX_RETRY: Final = 30.0
"""Seconds between tries with a peer that does not answer."""


class Comparison:
    """One walk through the stock; start another by making another.

    Args:
        per_page: Keys that fit one page on this path.
    """

    def __init__(self, per_page: int) -> None:
        self.per_page = per_page
        self._after = FIRST_KEY_ID
        self._page: StockPage | None = None
        self._retry_at = 0.0
        self._wait = FIRST_RETRY / 2

    @property
    def after(self) -> UUID:
        """Where the next page begins."""
        return self._after

    @property
    def done(self) -> bool:
        """Whether every page has been answered."""
        return self._after == LAST_KEY_ID

    def is_due(self, *, now: float) -> bool:
        """Whether a page is to be read and sent now."""
        return not self.done and now >= self._retry_at

    def page(self, serial: int, held: Sequence[UUID], *, now: float) -> StockPage:
        """Return the page to send.

        Args:
            serial: Its number.
            held: Up to `per_page` keys that this end has behind `after`, ascending;
                fewer mean that there are no more.
            now: Monotonic seconds.
        """
        until = held[-1] if len(held) == self.per_page else LAST_KEY_ID
        self._page = StockPage(serial, self._after, until, tuple(held))
        self._wait = min(self._wait * 2, MAX_RETRY)
        self._retry_at = now + self._wait
        return self._page

    def answered(self, answer: StockAnswer) -> dict[UUID, Holding] | None:
        """Return what an answer says of which keys; None if it answers no page."""
        page = self._page
        if page is None or answer.serial != page.serial:
            return None
        if len(answer.holdings) != len(page.key_ids):
            return None
        self._page = None
        self._after = page.until
        self._retry_at = 0.0
        self._wait = FIRST_RETRY / 2
        return dict(zip(page.key_ids, answer.holdings, strict=True))

    def hurry(self) -> None:
        """Repeat an unanswered page at once: the peer can be reached again."""
        self._retry_at, self._wait = 0.0, FIRST_RETRY / 2

    def get_timer(self) -> float | None:
        """When a page is due, or None when all is done."""
        return None if self.done else self._retry_at
