"""Obstacles to a tunnel's packets, whatever its keys: here, and at the peer's.

Each end sees only its own. It tells the peer, again and again while it lasts, so that
neither says that the tunnel is up, and the initiator makes no epoch that is of no use.
A peer that falls silent has none any more.
"""

from collections.abc import Iterator

from gateway.rotation import limits
from gateway.rotation.actions import SendObstacle

AT_PEER = "the peer says that something on its host keeps the packets out: see there"
"""The peer's obstacle in words; it does not tell which, nor would it help here."""


class Obstacles:
    """Both ends' obstacles, and the timers of what is said of them.

    Attributes:
        here: What it is at this end, one line for the operator; empty for nothing.
    """

    __slots__ = ("_notice_at", "_there_until", "here")

    def __init__(self) -> None:
        self.here = ""
        self._there_until: float | None = None
        self._notice_at: float | None = None

    @property
    def word(self) -> str:
        """What it is, one line for the operator; empty for nothing at either end."""
        return self.here or (AT_PEER if self._there_until is not None else "")

    def note_here(
        self, detail: str, *, now: float, can_tell: bool
    ) -> Iterator[SendObstacle]:
        """Note this end's; yield what the peer is to be told, if it can be."""
        began, ended = detail and not self.here, self.here and not detail
        self.here = detail
        if not can_tell:
            return
        if began:
            yield from self.tell(now=now)
        elif ended:
            self._notice_at = None
            yield SendObstacle(is_there=False)

    def note_there(self, *, is_there: bool, now: float) -> None:
        """Note the peer's."""
        self._there_until = now + limits.WORD_SILENCE if is_there else None

    def tell(self, *, now: float) -> Iterator[SendObstacle]:
        """Yield a notice of this end's, if there is one, and plan the next."""
        if self.here:
            self._notice_at = now + limits.SLOW_REPEAT
            yield SendObstacle(is_there=True)

    def get_timer(self) -> float | None:
        """Return when there is something to do next, or None."""
        times = [t for t in (self._there_until, self._notice_at) if t is not None]
        return min(times, default=None)

    def due(self, *, now: float) -> Iterator[SendObstacle]:
        """Yield what is to be said now."""
        if self._notice_at is not None and now >= self._notice_at:
            yield from self.tell(now=now)

    def is_over(self, *, now: float) -> bool:
        """Whether the peer's has just ended because nothing was heard of it."""
        if self._there_until is None or now < self._there_until:
            return False
        self._there_until = None
        return True

    def rest(self) -> None:
        """Forget the peer's and tell of nothing, until there is an epoch again."""
        self._there_until = self._notice_at = None
