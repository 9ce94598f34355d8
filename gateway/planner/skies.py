"""Many weathers: for each station and night whether the sky is clear, in every draw.

The same night over the same station is one event, whichever link, pass or satellite
asks. Draws are SHAKE-256 of the seed, the station and the night's number: the same on
every machine, with every release of numpy, and for a night whatever the span around it.
"""

import hashlib
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.planner.space.stations import Station

Bools = NDArray[np.bool_]

_LABEL: Final = b"qgw plan weather v1"
_BYTES: Final = 4
"""Of a draw: clear probabilities are known to two digits, not to nine."""


class Skies:
    """The skies of a plan.

    Args:
        draws: Weathers drawn.
        seed: Another number, other weathers.
    """

    def __init__(self, draws: int, seed: int) -> None:
        self._draws = draws
        self._seed = seed
        self._known: dict[tuple[Station, int], Bools] = {}

    def clear(self, station: Station, night: int) -> Bools:
        """Say in which draws a night was clear, shape (draws,)."""
        known = self._known.get((station, night))
        if known is None:
            packed = struct.pack(">qq", self._seed, night)
            stream = hashlib.shake_256(_LABEL + packed + station.name.encode())
            drawn = np.frombuffer(stream.digest(_BYTES * self._draws), dtype=">u4")
            known = drawn < station.clear_probability * 2.0 ** (8 * _BYTES)
            self._known[station, night] = known
        return known
