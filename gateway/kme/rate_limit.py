"""The limit on an SAE's calls: a token bucket for each."""

from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 2.0
"""Seconds' worth of calls that may come at once, after a pause."""


class RateLimit:
    """Bounds calls a second, for each SAE on its own.

    Only SAEs that the operator named are asked about, which bounds the memory.

    Args:
        rate: Calls a second, or 0 for no limit.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate * BURST_SECONDS)
        self._buckets: dict[str, tuple[float, float]] = {}

    def is_exceeded(self, sae_id: str) -> bool:
        """Count a call; say whether it is one too many."""
        if not self._rate:
            return False
        now = self._clock()
        left, since = self._buckets.get(sae_id, (self._most, now))
        left = min(self._most, left + self._rate * (now - since))
        is_exceeded = left < 1.0
        self._buckets[sae_id] = (left if is_exceeded else left - 1.0, now)
        return is_exceeded
