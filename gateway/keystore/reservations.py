"""Reservations of keys: their holders right now.

Reservations live in memory only. One process owns the store, so nobody else needs to
see them, and a crash releases them all by itself, which is just what must happen.
It also leaves one durable write, not two, between stock and session.

Each link has two queues, of confirmed keys and of others. A cursor says up to where
a queue's keys were handed to holders; what comes back waits in a heap below it. So
reserving takes time in what is reserved, not in stock.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID


@dataclass(slots=True)
class ReservedKey:
    """A reserved key.

    Attributes:
        link_id: The link's row.
        key_id: ETSI GS QKD 014 key_ID.
        seq: The key's row; smaller is older.
        expires: Store milliseconds, 0 for never; a held key outlives it.
        holder: Who reserved it.
        confirmed: Whether the peer is known to hold it; may change.
    """

    link_id: int
    key_id: UUID
    seq: int
    expires: int
    holder: str
    confirmed: bool


class _Queue:
    """Where a link's oldest keys that nobody holds are to be looked for.

    The heap may also name keys that have moved to the link's other queue since:
    whoever takes them looks at the row.
    """

    __slots__ = ("cursor", "heap", "returned")

    def __init__(self) -> None:
        self.cursor = 0
        self.heap: list[int] = []
        self.returned: set[int] = set()

    def put(self, seq: int) -> None:
        """Have a free key found again; younger ones than the cursor will be anyway."""
        if seq <= self.cursor and seq not in self.returned:
            self.returned.add(seq)
            heapq.heappush(self.heap, seq)


class Reservations:
    """All reservations of one store."""

    def __init__(self) -> None:
        self._held: dict[int, dict[UUID, ReservedKey]] = {}
        self._of_holder: dict[str, dict[int, ReservedKey]] = {}
        self._unconfirmed: Counter[int] = Counter()
        self._queues: dict[tuple[int, bool], _Queue] = {}

    def count(self, link_id: int) -> int:
        """How many keys of a link are held."""
        return len(self._held.get(link_id, ()))

    def count_unconfirmed(self, link_id: int) -> int:
        """How many of them the peer is not known to hold."""
        return self._unconfirmed[link_id]

    def find(self, link_id: int, key_id: UUID) -> ReservedKey | None:
        """Return who holds a key, if anyone does."""
        return self._held.get(link_id, {}).get(key_id)

    def hold(self, held: ReservedKey) -> None:
        """Reserve a key that nobody holds."""
        self._held.setdefault(held.link_id, {})[held.key_id] = held
        self._of_holder.setdefault(held.holder, {})[held.seq] = held
        self._unconfirmed[held.link_id] += not held.confirmed

    def drop(self, held: ReservedKey) -> None:
        """Forget a reservation whose key is used up."""
        self._let_go(held)
        mine = self._of_holder[held.holder]
        del mine[held.seq]
        if not mine:
            del self._of_holder[held.holder]

    def release(self, holder: str) -> list[ReservedKey]:
        """Give back all that `holder` has."""
        released = list(self._of_holder.pop(holder, {}).values())
        for held in released:
            self._let_go(held)
            self._queue(held.link_id, held.confirmed).put(held.seq)
        return released

    def mark(self, link_id: int, key_id: UUID, seq: int, *, confirmed: bool) -> None:
        """Note that an unused key's standing with the peer has changed."""
        held = self.find(link_id, key_id)
        if held is None:
            self._queue(link_id, confirmed).put(seq)
            return
        self._unconfirmed[link_id] += held.confirmed - confirmed
        held.confirmed = confirmed

    def holders(self) -> list[str]:
        """Everyone who holds a key."""
        return list(self._of_holder)

    def cursor(self, link_id: int, *, confirmed: bool) -> int:
        """Row up to which keys were handed out; older ones only come back."""
        return self._queue(link_id, confirmed).cursor

    def advance(self, link_id: int, seq: int, *, confirmed: bool) -> None:
        """Say that the keys up to row `seq` have been handed to holders."""
        self._queue(link_id, confirmed).cursor = seq

    def take_returned(self, link_id: int, *, confirmed: bool) -> Iterator[int]:
        """Yield rows that came back, oldest first, taking each off the heap."""
        queue = self._queue(link_id, confirmed)
        while queue.heap:
            seq = heapq.heappop(queue.heap)
            queue.returned.discard(seq)
            yield seq

    def _let_go(self, held: ReservedKey) -> None:
        del self._held[held.link_id][held.key_id]
        self._unconfirmed[held.link_id] -= not held.confirmed

    def _queue(self, link_id: int, confirmed: bool) -> _Queue:  # noqa: FBT001 -- a key
        return self._queues.setdefault((link_id, confirmed), _Queue())
