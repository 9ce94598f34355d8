"""The number of keys that one KME gives at once, as it has shown.

KMEs refuse a request for more keys than they would give, and for other reasons than
they say: some keep one key back, some count otherwise, and each has words of its own.
So no word is believed: what is refused is halved, what was given is remembered.
"""

from collections.abc import Callable
from typing import Final

REFUSAL_KEPT: Final = 60.0
"""Seconds for which a number that was refused is not asked for again, where a smaller
one was given: one call a minute finds out that the KME gives more now."""

GROWTH: Final = 2
"""What was given is asked for so many times over in the next call."""

ENOUGH: Final = 1_024
"""Keys at once beyond which nothing is remembered: no KME gives more."""


class BatchSize:
    """Bounds what is asked of one KME in one call.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._most: int | None = None
        self._most_before: int | None = None
        self._refused: int | None = None
        self._refused_at = 0.0
        self._is_falling = False

    def bound(self, count: int) -> int:
        """Return how many of `count` keys to ask for."""
        return count if self._most is None else min(count, self._most)

    def refused(self, number: int, stored: int | None = None) -> None:
        """Note that so many keys were refused: fewer are asked for next.

        Args:
            number: Keys that were asked for.
            stored: Keys that the KME says it has, or None.
        """
        if not self._is_falling:
            self._most_before, self._is_falling = self._most, True
        self._most = max(1, number // 2)
        if stored and stored < number:
            self._most = stored
        self._refused, self._refused_at = number, self._clock()

    def given(self, number: int) -> None:
        """Note that so many keys were asked for, and came."""
        if self._is_falling and self._refused == 1:
            # It had none at all, which says nothing of how many it gives at once.
            self._most, self._refused = self._most_before, None
        self._is_falling = False
        if self._most is None or number < self._most:
            return
        more = number * GROWTH
        is_kept = self._clock() - self._refused_at < REFUSAL_KEPT
        if self._refused is not None and more >= self._refused and is_kept:
            return
        self._most = more if more <= ENOUGH else None
