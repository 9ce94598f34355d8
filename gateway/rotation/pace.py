"""Pauses between things that must not be done again and again."""

from gateway.rotation import limits


class Pace:
    """First at once, then at pauses that grow while they are made use of.

    Something that is asked for as soon as it is allowed doubles the pause. Something
    that leaves twice the pause unused is a new cause, and is served at once again.
    """

    __slots__ = ("_first", "_last", "_most", "_pause")

    def __init__(self, first: float, most: float) -> None:
        """Make one that allows the first at once.

        Args:
            first: The first pause, seconds.
            most: The longest, seconds.
        """
        self._first = first
        self._most = most
        self._pause = 0.0
        self._last: float | None = None

    def due(self, now: float) -> float:
        """Return when the next is allowed: now, or later."""
        return now if self._last is None else max(now, self._last + self._pause)

    def take(self, when: float) -> None:
        """Note one that is made at a time that `due` allowed."""
        last, self._last = self._last, when
        if last is None or when - last >= 2 * self._pause:
            self._pause = self._first
        else:
            self._pause = min(self._pause * limits.PAUSE_GROWTH, self._most)

    def forget(self) -> None:
        """Allow the next at once."""
        self._last = None
