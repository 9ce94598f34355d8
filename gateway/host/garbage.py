"""Garbage collection that does not hold up a hub.

Python looks for cycles among all objects whenever their number has grown by a quarter,
and nothing else of the process runs meanwhile: 0.1 s with a thousand tunnels. What
lives as long as the daemon is therefore put aside, where no collection looks, once it
has started and after each reload. What a reload lets go of is freed at once all the
same, but for cycles: they wait for the next full collection.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_RELOADS: Final = 100
"""Reloads until the next full collection; each leaves some 500 objects in cycles."""

MAX_LET_GO: Final = 500
"""Tunnels removed or changed until then: one taken down leaves 24 KiB in cycles."""


class Garbage:
    """Decides when all objects are looked at."""

    def __init__(self) -> None:
        self._reloads = 0
        self._let_go = 0

    def collect(self) -> None:
        """Look at all objects, and put aside those that stay."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._reloads = self._let_go = 0

    def let_go(self, tunnels: int) -> None:
        """Note tunnels that were removed, or that may have been begun anew."""
        self._let_go += tunnels

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make many objects that stay, without a look at them all."""
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.enable()
        self._reloads += 1
        if self._reloads >= MAX_RELOADS or self._let_go >= MAX_LET_GO:
            self.collect()
