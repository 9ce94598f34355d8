"""The key of a pass: between two figures, by its height and its length.

The way to the satellite is about its height over the sine of the elevation, so the
figure goes with that sine from the least, for a pass that only just counts, to the
most, for one through the zenith. A pass shorter than `WHOLE_PASS` gives its share of
that. Figures: Jinan-1 gave 0.59 to 1.07 Mbit a pass (Li et al., Nature 640, 2025).
"""

import math
from dataclasses import dataclass
from typing import Final

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.passes import MIN_ELEVATION, SatellitePass

LEAST_BITS: Final = 600_000.0
MOST_BITS: Final = 1_100_000.0

MAX_BITS: Final = 1e9
"""A thousand times what any satellite gave in a pass."""

WHOLE_PASS: Final = 150.0
"""Seconds: six passes in seven of the shipped orbit are longer."""


@dataclass(frozen=True, slots=True)
class KeyModel:
    """Secret bits of a clear pass.

    Attributes:
        least: Of a pass at the least elevation.
        most: Of one through the zenith.
        min_elevation: Least elevation, degrees, below 90.

    Raises:
        OrbitError: The figures are out of range.
    """

    least: float = LEAST_BITS
    most: float = MOST_BITS
    min_elevation: float = MIN_ELEVATION

    def __post_init__(self) -> None:
        bits_fit = 0.0 <= self.least <= self.most <= MAX_BITS
        if not bits_fit or not 0.0 <= self.min_elevation < 90.0:  # noqa: PLR2004  # a right angle
            raise OrbitError(
                f"a pass cannot give {self.least:g} to {self.most:g} bits above "
                f"{self.min_elevation:g} degrees",
                f"give 0 <= least <= most <= {MAX_BITS:g}, elevation below 90",
                fault=OrbitFault.RANGE,
            )

    def bits(self, each: SatellitePass) -> int:
        """Return the secret bits that a pass gives if the sky is clear."""
        floor = math.sin(math.radians(self.min_elevation))
        height = math.sin(math.radians(each.max_elevation))
        share = min(max((height - floor) / (1.0 - floor), 0.0), 1.0)
        whole = min(each.duration / WHOLE_PASS, 1.0)
        return int((self.least + (self.most - self.least) * share) * whole)
