"""Deadlines by name: a heap with lazy removal."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class TimerQueue(Generic[Key]):
    """One deadline a key; setting and reading the next cost O(log n)."""

    def __init__(self) -> None:
        self._deadlines: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: Key, when: float) -> None:
        """Set or move the deadline of a key, seconds."""
        self._deadlines[key] = when
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, key))
        if len(self._heap) > 2 * len(self._deadlines) + 64:
            self._compact()

    def cancel(self, key: Key) -> None:
        """Forget a key; one without a deadline is ignored."""
        self._deadlines.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest deadline."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._deadlines.get(key) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> Iterator[Key]:
        """Remove and yield every key whose deadline is not after `now`."""
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._deadlines[key]
            yield key

    def _compact(self) -> None:
        self._heap = [
            entry for entry in self._heap if self._deadlines.get(entry[2]) == entry[0]
        ]
        heapq.heapify(self._heap)
