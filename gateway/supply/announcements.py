"""Announcements of drawn keys: made to the peer, and still to be made.

No I/O; time is an argument. An announcement is repeated, with back-off, until it is
answered; what does not fit the bounds here is left to the next comparison, which
looks at the whole stock.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.wire.stock import (
    Announced,
    Holding,
    StockAnnounce,
    StockAnswer,
    how_many_fit,
)

WINDOW: Final = 8
"""Announcements under way at once: with 170 ms to the satellite's other end, some
thousand keys a second, and little for a slow peer to queue."""

MAX_QUEUED: Final = 16_384
"""Keys waiting to be announced, about 2 MiB; for more the next comparison cares."""

FIRST_RETRY: Final = 1.0
"""Seconds until an announcement is repeated: longer than a satellite's round trip
and a batch's fetching take."""

MAX_RETRY: Final = 30.0
"""Seconds between repetitions to a peer that does not answer."""

LATER: Final = 5.0
"""Seconds until a key is announced again that the peer could not fetch yet."""

UNKNOWN_AGAIN: Final = 10.0
"""Seconds until a key is announced again that the peer's KME did not have: the two
KMEs may not have told each other yet."""

MISSES: Final = 6
"""Times the peer's KME may not have a key: after a minute it will not come."""


@dataclass(slots=True)
class _Outstanding:
    keys: tuple[Announced, ...]
    retry_at: float
    wait: float


class Announcer:
    """Announces keys and matches answers to them.

    Args:
        room: Bytes of a message on this path.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._queue: deque[Announced] = deque()
        self._outstanding: dict[int, _Outstanding] = {}
        self._later: deque[tuple[float, Announced]] = deque()
        self._misses: dict[UUID, int] = {}
        self._known: set[UUID] = set()

    @property
    def pending(self) -> int:
        """Keys not answered for yet."""
        return len(self._known)

    def announce(self, keys: Iterable[Announced]) -> bool:
        """Queue keys; False if some did not fit and await the next comparison.

        Those that are queued or under way already are passed over.
        """
        for key in keys:
            if key.key_id in self._known:
                continue
            if len(self._known) >= MAX_QUEUED:
                return False
            self._known.add(key.key_id)
            self._queue.append(key)
        return True

    def messages_due(self, serial: int, *, now: float) -> list[StockAnnounce]:
        """Return what to send now; new ones are numbered from `serial` on."""
        for waiting in [waiting for waiting in self._later if waiting[0] <= now]:
            self._later.remove(waiting)
            self._queue.append(waiting[1])
        due = []
        for number, one in self._outstanding.items():
            if one.retry_at <= now:
                one.wait = min(one.wait * 2, MAX_RETRY)
                one.retry_at = now + one.wait
                due.append(StockAnnounce(number, one.keys))
        while self._queue and len(self._outstanding) < WINDOW:
            count = how_many_fit(self._queue, self._room)
            keys = tuple(self._queue.popleft() for _ in range(count))
            self._outstanding[serial] = _Outstanding(
                keys, now + FIRST_RETRY, FIRST_RETRY
            )
            due.append(StockAnnounce(serial, keys))
            serial += 1
        return due

    def answered(self, answer: StockAnswer, *, now: float) -> dict[UUID, Holding]:
        """Return what an answer says of which keys; nothing if it answers nothing.

        Keys that the peer cannot tell of yet, or whose KME does not have them, are
        announced again; in the end these count as used, for they will not come.
        """
        one = self._outstanding.get(answer.serial)
        if one is None or len(answer.holdings) != len(one.keys):
            return {}
        del self._outstanding[answer.serial]
        pairs = zip(one.keys, answer.holdings, strict=True)
        return {key.key_id: self._settle(key, said, now) for key, said in pairs}

    def _settle(self, key: Announced, said: Holding, now: float) -> Holding:
        if said is Holding.LATER:
            self._later.append((now + LATER, key))
            return said
        if said is Holding.UNKNOWN:
            misses = self._misses.get(key.key_id, 0) + 1
            if misses < MISSES:
                self._misses[key.key_id] = misses
                self._later.append((now + UNKNOWN_AGAIN, key))
                return said
            said = Holding.USED
        self._misses.pop(key.key_id, None)
        self._known.discard(key.key_id)
        return said

    def hurry(self) -> None:
        """Repeat at once what is not answered: the peer can be reached again."""
        for one in self._outstanding.values():
            one.retry_at, one.wait = 0.0, FIRST_RETRY / 2

    def get_timer(self) -> float | None:
        """When `messages_due` has something, or None."""
        if self._queue and len(self._outstanding) < WINDOW:
            return 0.0
        times = [one.retry_at for one in self._outstanding.values()]
        if self._later and len(self._outstanding) < WINDOW:
            times.append(min(when for when, _ in self._later))
        return min(times, default=None)
