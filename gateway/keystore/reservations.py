"""Who holds which key right now.

Reservations live in memory only. One process owns the store, so nobody else needs to
see them, and a crash releases them all by itself, which is just what must happen.
It also leaves one durable write, not two, between stock and session.

A cursor per link says up to where keys were handed to holders; what comes back
waits in a heap below it. So reserving takes time in what is reserved, not in stock.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Held:
    """A reserved key.

    Attributes:
        link_id: The link's row.
        key_id: ETSI GS QKD 014 key_ID.
        seq: The key's row; smaller is older.
        expires: Store milliseconds, 0 for never; a held key outlives it.
        holder: Who reserved it.
    """

    link_id: int
    key_id: UUID
    seq: int
    expires: int
    holder: str


class _Queue:
    """Where one link's oldest keys that nobody holds are to be looked for."""

    __slots__ = ("cursor", "heap", "returned")

    def __init__(self) -> None:
        self.cursor = 0
        self.heap: list[int] = []
        self.returned: set[int] = set()


class Reservations:
    """All reservations of one store."""

    def __init__(self) -> None:
        self._held: dict[int, dict[UUID, Held]] = {}
        self._of_holder: dict[str, list[Held]] = {}
        self._queues: dict[int, _Queue] = {}

    def count(self, link_id: int) -> int:
        """How many keys of a link are held."""
        return len(self._held.get(link_id, ()))

    def find(self, link_id: int, key_id: UUID) -> Held | None:
        """Return who holds a key, if anyone does."""
        return self._held.get(link_id, {}).get(key_id)

    def hold(self, held: Held) -> None:
        """Reserve a key that nobody holds."""
        self._held.setdefault(held.link_id, {})[held.key_id] = held
        self._of_holder.setdefault(held.holder, []).append(held)

    def drop(self, held: Held) -> None:
        """Forget a reservation whose key is used up."""
        del self._held[held.link_id][held.key_id]
        mine = self._of_holder[held.holder]
        mine.remove(held)
        if not mine:
            del self._of_holder[held.holder]

    def release(self, holder: str) -> list[Held]:
        """Give back all that `holder` has."""
        released = self._of_holder.pop(holder, [])
        for held in released:
            del self._held[held.link_id][held.key_id]
            queue = self._queue(held.link_id)
            if held.seq <= queue.cursor and held.seq not in queue.returned:
                queue.returned.add(held.seq)
                heapq.heappush(queue.heap, held.seq)
        return released

    def holders(self) -> list[str]:
        """Everyone who holds a key."""
        return list(self._of_holder)

    def cursor(self, link_id: int) -> int:
        """Row up to which keys were handed out; older ones only come back."""
        return self._queue(link_id).cursor

    def advance(self, link_id: int, seq: int) -> None:
        """Say that the keys up to row `seq` have been handed to holders."""
        self._queue(link_id).cursor = seq

    def take_returned(self, link_id: int) -> Iterator[int]:
        """Yield rows that came back, oldest first, taking each off the heap."""
        queue = self._queue(link_id)
        while queue.heap:
            seq = heapq.heappop(queue.heap)
            queue.returned.discard(seq)
            yield seq

    def _queue(self, link_id: int) -> _Queue:
        return self._queues.setdefault(link_id, _Queue())
