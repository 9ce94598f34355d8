"""Chance that repeats: the same seed draws the same numbers on every machine.

Statistics of the simulated link and nothing else: no key is ever made from these.
"""

import hashlib
import math
import struct
from statistics import NormalDist
from typing import Protocol

_LABEL = b"qgw simulated fibre draws v1 "
_STANDARD = NormalDist()
_STEP = 2.0**-53
"""Distance between the numbers drawn: what a double can tell apart below 1."""


class Draws(Protocol):
    """Where a simulated link takes its chance from."""

    def uniform(self) -> float:
        """Draw a number between 0 and 1, neither included."""


class SeededDraws:
    """SHA-256 of a seed and a counter.

    `random.Random` would not do: only its `random()` is promised to stay the same from
    one Python to the next, and tests compare whole runs.

    Args:
        seed: Any bytes; both the order and the number of draws matter.
    """

    def __init__(self, seed: bytes) -> None:
        self._start = hashlib.sha256(_LABEL + seed)
        self._count = 0

    def uniform(self) -> float:
        """Draw a number between 0 and 1, neither included."""
        block = self._start.copy()
        block.update(struct.pack(">Q", self._count))
        self._count += 1
        (number,) = struct.unpack_from(">Q", block.digest())
        return float((number >> 11) + 0.5) * _STEP


def normal(draws: Draws, mean: float, deviation: float) -> float:
    """Draw from a normal distribution with this mean and standard deviation."""
    return mean + deviation * _STANDARD.inv_cdf(draws.uniform())


def exponential(draws: Draws, mean: float) -> float:
    """Draw the time to an event that comes once in `mean` on average, same unit."""
    return -mean * math.log(draws.uniform())


def error_count(draws: Draws, bits: int, rate: float) -> int:
    """Draw how many of so many bits are wrong when each is with this probability.

    Binomial by its normal limit, which is exact enough for blocks of 100,000 bits and
    more. At most half of the bits: beyond that one end would turn its bits over.
    """
    deviation = math.sqrt(bits * rate * (1.0 - rate))
    return min(max(round(normal(draws, bits * rate, deviation)), 0), bits // 2)
