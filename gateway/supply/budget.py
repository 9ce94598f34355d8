"""The budget of calls to a KME, and pauses after failures.

Time is an argument; what randomness does is to keep two gateways from asking in step.
"""

from collections.abc import Callable
from typing import Final

FIRST_PAUSE: Final = 2.0
"""Seconds after the first failure: a KME that restarts is back in a few."""

MAX_PAUSE: Final = 60.0
"""Seconds between tries at a KME that stays away: recovery is noticed in a minute."""

MAX_EMPTY_PAUSE: Final = 15.0
"""Seconds between tries at one that is well and has no keys: it tells so at no cost,
and a tunnel may be blocked until it has some."""

PAUSE_GROWTH: Final = 2.0
"""Factor from one pause to the next."""

BURST_SECONDS: Final = 30.0
"""What a budget may save up: half a minute of calls at once fill an empty stock."""


class CallBudget:
    """Allows so many calls a minute, and none during a pause.

    Args:
        per_minute: Calls a minute.
        jitter: Returns a number from 0 to 1 each time.
    """

    def __init__(self, per_minute: float, jitter: Callable[[], float]) -> None:
        self._per_second = per_minute / 60.0
        self._most = max(1.0, self._per_second * BURST_SECONDS)
        self._left = self._most
        self._at: float | None = None
        self._jitter = jitter
        self._pause = 0.0
        self._paused_until = 0.0

    def allows(self, *, now: float) -> bool:
        """Whether a call may be made now."""
        self._refill(now)
        return now >= self._paused_until and self._left >= 1.0

    def pauses_alone(self) -> "CallBudget":
        """Return a budget that pauses like this one and spends nothing."""
        return CallBudget(self._per_second * 60.0, self._jitter)

    def is_paused(self, *, now: float) -> bool:
        """Whether a failure was so recent that asking again is of no use."""
        return now < self._paused_until

    def wait(self, *, now: float) -> float:
        """Seconds until a call may be made."""
        self._refill(now)
        missing = max(0.0, 1.0 - self._left)
        return max(self._paused_until - now, missing / self._per_second, 0.0)

    def spend(self, *, now: float) -> None:
        """Note a call; one made out of turn puts the budget in debt, within bounds."""
        self._refill(now)
        self._left = max(self._left - 1.0, -self._most)

    def failed(
        self, *, now: float, at_least: float = 0.0, at_most: float = MAX_PAUSE
    ) -> float:
        """Pause after a failure, longer each time; return for how many seconds.

        Args:
            now: Monotonic seconds.
            at_least: What the KME asked for, cut to `MAX_PAUSE`.
            at_most: What the pause may grow to.
        """
        grown = max(FIRST_PAUSE, self._pause * PAUSE_GROWTH)
        self._pause = min(grown, at_most)
        pause = self._pause * (0.5 + 0.5 * self._jitter())
        pause = max(pause, min(at_least, MAX_PAUSE))
        self._paused_until = now + pause
        return pause

    def succeeded(self) -> None:
        """End all pauses."""
        self._pause = self._paused_until = 0.0

    def _refill(self, now: float) -> None:
        if self._at is not None:
            gained = max(0.0, now - self._at) * self._per_second
            self._left = min(self._most, self._left + gained)
        self._at = now
