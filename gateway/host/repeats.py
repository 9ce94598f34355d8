"""Equal lines of a log: the first at once, the next with a count, at growing pauses."""

from typing import Final

from gateway.rotation.pace import Pace

FIRST_REPEAT: Final = 10.0
"""Seconds until a line is said again: who looks at the log sees that it lasts."""

LONGEST_REPEAT: Final = 3600.0
"""... growing up to this: it must be found in any hour of the log."""

MANY: Final = 16
"""Lines remembered; of more the oldest counts as new."""


class Repeats:
    """Counts equal lines of one tunnel."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, line: str, *, now: float) -> int:
        """Take a line; return how often it was said since it was last to be logged.

        Returns:
            0 if it is not to be logged now, 1 for the first time.
        """
        pace = self._paces.pop(line, None) or Pace(FIRST_REPEAT, LONGEST_REPEAT)
        self._paces[line] = pace
        count = self._unsaid.pop(line, 0) + 1
        while len(self._paces) > MANY:
            oldest = next(iter(self._paces))
            del self._paces[oldest]
            self._unsaid.pop(oldest, None)
        if pace.due(now) > now:
            self._unsaid[line] = count
            return 0
        pace.take(now)
        return count

    def forget(self, line: str) -> None:
        """Let a line be new when it comes again."""
        self._paces.pop(line, None)
        self._unsaid.pop(line, None)


def times(count: int) -> str:
    """Return what to append to a line that stands for several."""
    return f" ({count} times)" if count > 1 else ""
