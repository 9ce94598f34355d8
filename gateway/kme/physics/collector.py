"""The block that is being collected: how full it is and how wrong its bits are."""

import math

from gateway.kme.physics.draws import Draws, error_count, normal


class Collector:
    """Collects one block of sifted bits after another.

    Args:
        draws: Chance.
        size: Sifted bits in a block.
    """

    def __init__(self, draws: Draws, size: int) -> None:
        self._draws = draws
        self._size = size
        self.begin(0.0)

    def begin(self, time: float) -> None:
        """Drop what is there and begin a block at this time."""
        # Clicks come at random, so the time until the last of them varies.
        spread = math.sqrt(self._size)
        self._wanted = max(1.0, normal(self._draws, self._size, spread))
        self._sifted = 0.0
        self._errors = 0.0
        self.started = time
        """When the first bit came, or will."""

    @property
    def has_bits(self) -> bool:
        """Whether anything was collected yet."""
        return self._sifted > 0.0

    def time_left(self, rate: float) -> float:
        """Return the seconds until it is full at so many sifted bits a second."""
        return (self._wanted - self._sifted) / rate if rate else math.inf

    def add(self, sifted: float, qber: float) -> None:
        """Add sifted bits of which this part is wrong on average."""
        self._sifted += sifted
        self._errors += sifted * qber

    def measure(self) -> float:
        """Draw the QBER of the block, around what its bits went through."""
        rate = min(self._errors / self._sifted, 0.5)
        return error_count(self._draws, self._size, rate) / self._size
