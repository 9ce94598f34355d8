"""Random outages of a simulated fibre: when they come and how long they last."""

import math

from gateway.kme.physics.draws import Draws, exponential


class Outages:
    """Failures and repairs in turn, each after an exponentially distributed time.

    Args:
        draws: Chance.
        between: Seconds from a repair to the next failure on average; None for never.
        repair: Seconds that a failure lasts on average.
    """

    def __init__(self, draws: Draws, between: float | None, repair: float) -> None:
        self._draws = draws
        self._between = between
        self._repair = repair
        self.is_down = False
        """Whether the fibre is broken now."""
        self.next_change = math.inf
        """When that changes, seconds since the link began."""
        self._plan(0.0)

    def change(self) -> None:
        """Fail or be repaired; call it when `next_change` has come."""
        self.is_down = not self.is_down
        self._plan(self.next_change)

    def _plan(self, now: float) -> None:
        if self._between is None:
            return
        mean = self._repair if self.is_down else self._between
        self.next_change = now + exponential(self._draws, mean)
