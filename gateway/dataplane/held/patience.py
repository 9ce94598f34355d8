"""Patience with those who keep taking away what is put back. No I/O."""

from collections.abc import Hashable
from dataclasses import dataclass

PATIENCE = 5
"""Times that something is put back at once within `CALM`: a script that flushes,
adds and flushes again is no fight."""

CALM = 60.0
"""Seconds without a loss after which the count starts anew."""

FIRST_PAUSE = 2.0
"""Seconds until the next attempt once patience is at its end; doubled each time."""

LONGEST_PAUSE = 60.0
"""Seconds; whoever fights us may give up, and then it must not take long."""


@dataclass(slots=True)
class _Struggle:
    times: int = 0
    last_at: float = 0.0
    not_before: float = 0.0


class RepairPatience:
    """Counts what was put back, each thing for itself."""

    def __init__(self) -> None:
        self._struggles: dict[Hashable, _Struggle] = {}

    def may(self, thing: Hashable, *, now: float) -> bool:
        """Whether it may be put back now."""
        struggle = self._struggles.get(thing)
        return struggle is None or now >= struggle.not_before

    def put_back(self, thing: Hashable, *, now: float) -> float:
        """Note that it was put back.

        Returns:
            Seconds for which it will be left alone if it is taken away again; 0 while
            it would be put back at once.
        """
        struggle = self._struggles.setdefault(thing, _Struggle())
        # A pause of ours is not calm on their side.
        if now - max(struggle.last_at, struggle.not_before) > CALM:
            struggle.times = 0
        struggle.times += 1
        struggle.last_at = now
        over = struggle.times - PATIENCE
        if over < 0:
            return 0.0
        pause = min(FIRST_PAUSE * 2.0**over, LONGEST_PAUSE)
        struggle.not_before = now + pause
        return pause

    def until(self, thing: Hashable) -> float:
        """Return when something may be put back again."""
        struggle = self._struggles.get(thing)
        return struggle.not_before if struggle is not None else 0.0

    def forget_calm(self, *, now: float) -> None:
        """Drop what nobody has touched for long."""
        for thing, struggle in list(self._struggles.items()):
            if now - max(struggle.last_at, struggle.not_before) > CALM:
                del self._struggles[thing]
