"""The rates at which one link's stock comes and goes."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.keystore.base import RATE_WINDOW

BUCKET_MS = 10_000
"""Milliseconds counted together: 60 buckets span the window."""

_WINDOW_MS = int(RATE_WINDOW * 1000)


@dataclass(slots=True)
class RateBucket:
    """What happened in one slice of store time.

    Attributes:
        number: Store milliseconds divided by `BUCKET_MS`.
        taken_in: Keys added.
        consumed: Keys consumed or retired.
    """

    number: int
    taken_in: int = 0
    consumed: int = 0


class RateMeter:
    """Counts of the last `RATE_WINDOW` seconds, in constant memory."""

    def __init__(self, since_ms: int, buckets: Iterable[RateBucket] = ()) -> None:
        self._since = since_ms
        self._buckets = deque(buckets)

    def count(self, now_ms: int, *, taken_in: int = 0, consumed: int = 0) -> None:
        """Note keys that came or went now."""
        number = now_ms // BUCKET_MS
        if not self._buckets or self._buckets[-1].number < number:
            self._forget(now_ms)
            self._buckets.append(RateBucket(number))
        self._buckets[-1].taken_in += taken_in
        self._buckets[-1].consumed += consumed

    def rates(self, now_ms: int) -> tuple[float, float]:
        """Keys a second in and out, over the window or the link's life if shorter."""
        self._forget(now_ms)
        seconds = min(_WINDOW_MS, max(BUCKET_MS, now_ms - self._since)) / 1000
        taken_in = sum(bucket.taken_in for bucket in self._buckets)
        consumed = sum(bucket.consumed for bucket in self._buckets)
        return taken_in / seconds, consumed / seconds

    def buckets(self) -> tuple[RateBucket, ...]:
        """Return what to save."""
        return tuple(self._buckets)

    def _forget(self, now_ms: int) -> None:
        oldest = (now_ms - _WINDOW_MS) // BUCKET_MS
        while self._buckets and self._buckets[0].number <= oldest:
            self._buckets.popleft()
