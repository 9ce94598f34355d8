"""Counters that should stand still, and which of them grew lately."""

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")

RECENT: Final = 600.0
"""Seconds for which growth is told of: a monitoring system that looks every five
minutes sees it, and what was mended is soon forgotten."""


class Growth(Generic[K]):
    """How far each counter has grown in the last while.

    A counter that is new counts from zero, but for those of the first reading: what
    they hold may be old.
    """

    def __init__(self) -> None:
        self._values: dict[K, int] | None = None
        self._grown: dict[K, tuple[int, float]] = {}

    def note(self, values: Mapping[K, int], *, now: float) -> None:
        """Take a reading."""
        before = self._values
        self._values = dict(values)
        if before is None:
            return
        for name, value in values.items():
            last = before.get(name, 0)
            added = value - last if value >= last else value
            if added:
                grown, _ = self._recently(name, now)
                self._grown[name] = (grown + added, now)

    def recent(self, *, now: float) -> dict[K, int]:
        """Return by how much counters grew until now, if the last time is not long ago.

        Growth adds up as long as none of its pauses is longer than `RECENT`.
        """
        self._grown = {
            name: found
            for name in tuple(self._grown)
            if (found := self._recently(name, now))[0]
        }
        return {name: grown for name, (grown, _) in self._grown.items()}

    def _recently(self, name: K, now: float) -> tuple[int, float]:
        grown, at = self._grown.get(name, (0, now))
        return (grown, at) if now - at < RECENT else (0, now)
