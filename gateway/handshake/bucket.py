"""A token bucket: so many at once, so many a second, in one number."""

from typing import Final

_HALF: Final = 0.5
"""Tokens: more than sums of binary fractions can be wrong by, less than one."""


class Bucket:
    """Counts what must not come too often.

    The number is when the bucket would be full again (GCRA, ITU-T I.371): nothing has
    to be refilled, and a bucket at rest costs nothing.
    """

    __slots__ = ("_full_at", "_interval", "_slack")

    def __init__(self, rate: float, burst: float) -> None:
        """Make a full one.

        Args:
            rate: Tokens a second.
            burst: Tokens it holds.
        """
        self._interval = 1 / rate
        self._slack = (burst - _HALF) / rate
        self._full_at = float("-inf")

    def has(self, *, now: float) -> bool:
        """Whether `take` would return True."""
        return self._full_at - now <= self._slack

    def take(self, *, now: float) -> bool:
        """Take a token; False, and nothing taken, if there is none."""
        if self._full_at - now > self._slack:
            return False
        self._full_at = max(self._full_at, now) + self._interval
        return True
