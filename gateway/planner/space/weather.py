"""The sky of a night, clear or not: chance that repeats from a seed.

Every draw is SHA-256 of the seed, the station and the night, so that it is the same in
whatever order one asks, on every machine. Nights and stations are independent here;
`Overcast` says otherwise for a while.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.planner.space.passes import SatellitePass
from gateway.planner.space.stations import Station

_LABEL: Final = b"qgw simulated weather v1"
_STEP: Final = 2.0**-53


@dataclass(frozen=True, slots=True)
class Overcast:
    """A time without any clear sky.

    Attributes:
        station: Name of the station.
        start: UTC seconds since 1970.
        end: The same; not included.
    """

    station: str
    start: float
    end: float

    def covers(self, each: SatellitePass) -> bool:
        """Say whether a pass stood highest under it."""
        return self.station == each.station.name and self.start <= each.peak < self.end


class Weather:
    """The sky over all stations.

    Args:
        seed: Any bytes; no key is ever made from them.
        overcast: When the sky is not left to chance.
    """

    def __init__(self, seed: bytes, overcast: Sequence[Overcast] = ()) -> None:
        self._start = hashlib.sha256(_LABEL + struct.pack(">Q", len(seed)) + seed)
        self._overcast = tuple(overcast)

    def is_clear(self, each: SatellitePass) -> bool:
        """Say whether the sky let a pass give key."""
        if any(cloud.covers(each) for cloud in self._overcast):
            return False
        station = each.station
        return self.draw(station, each.night) < station.clear_probability

    def draw(self, station: Station, night: int) -> float:
        """Draw the number, between 0 and 1, of a night over a station."""
        block = self._start.copy()
        block.update(struct.pack(">q", night) + station.name.encode())
        (number,) = struct.unpack_from(">Q", block.digest())
        return float((number >> 11) + 0.5) * _STEP
