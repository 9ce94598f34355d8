"""A token bucket: so many at once, so many a second, in one number."""

from typing import Final

_ROUNDING: Final = 1e-3
"""Tokens: more than sums of binary fractions can be wrong by. A host's clock is exact
to 2 ns for the first four months, which is two millionths of a token at 1,000 a
second."""

_FULL: Final = float("-inf")


class Bucket:
    """Counts what must not come too often.

    The number is when the bucket would be full again (GCRA, ITU-T I.371): nothing has
    to be refilled, and a bucket at rest costs nothing but its own few bytes.
    """

    __slots__ = ("_burst", "_full_at", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        """Make a full one.

        Args:
            rate: Tokens a second.
            burst: Tokens it holds.
        """
        self._rate = rate
        self._burst = burst
        self._full_at = _FULL

    def has(self, *, now: float) -> bool:
        """Whether `take` would return True."""
        return (self._full_at - now) * self._rate <= self._burst - 1 + _ROUNDING

    def take(self, *, now: float) -> bool:
        """Take a token; False, and nothing taken, if there is none."""
        if not self.has(now=now):
            return False
        self._full_at = max(self._full_at, now) + 1 / self._rate
        return True
