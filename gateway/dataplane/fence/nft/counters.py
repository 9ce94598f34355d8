"""Refusals of the fence, as numbers that only grow.

The kernel counts in each element, from zero when an element is made anew: by a reload
that changes a range, or after somebody flushed the table. Here all of it is added up.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.dataplane.fence.nft.ranges import FoundRanges

if TYPE_CHECKING:
    from gateway.dataplane.fence.partition import Range

Key = tuple[str, int]
"""Direction and IP version."""


class FenceCounters:
    """Packets refused for each tunnel, outward and inward."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Key, Range], int] = {}
        self._totals: dict[tuple[str, str], int] = {}

    def note(self, found: Mapping[Key, Iterable[FoundRanges]]) -> None:
        """Take down what the kernel shows."""
        seen: dict[tuple[Key, Range], int] = {}
        for key, elements in found.items():
            for each in elements:
                before = self._seen.get((key, each.range), 0)
                # Less than before is an element made anew.
                grown = each.packets - before
                grown = grown if grown >= 0 else each.packets
                owner = each.range.tunnel, key[0]
                if grown:
                    self._totals[owner] = self._totals.get(owner, 0) + grown
                seen[key, each.range] = each.packets
        self._seen = seen

    def of(self, tunnel: str) -> tuple[int, int]:
        """Return a tunnel's packets refused outward and inward."""
        return self._totals.get((tunnel, "out"), 0), self._totals.get((tunnel, "in"), 0)
