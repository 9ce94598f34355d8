"""Ground stations, and how high the satellite and the sun stand over them."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.sun import sun_directions
from gateway.planner.space.times import DAY, Floats, sidereal_angle

_AXIS: Final = 6378.137
"""Km, of the WGS84 ellipsoid (NGA.STND.0036)."""

_FLATTENING: Final = 1.0 / 298.257223563

_ALTITUDES: Final = (-500.0, 9000.0)
"""Metres: the Dead Sea's shore to the highest mountain."""

MAX_NAME: Final = 64
"""Characters."""


@dataclass(frozen=True, slots=True)
class Station:
    """A telescope on the ground.

    Attributes:
        name: For people and for weather draws; two stations never share one.
        latitude: Geodetic, WGS84, degrees, north positive.
        longitude: Degrees, east positive.
        altitude: Metres over the ellipsoid.
        clear_probability: That the sky of a night lets the link work; see `Weather`.

    Raises:
        OrbitError: A coordinate is out of range, or the name empty or long.
    """

    name: str
    latitude: float
    longitude: float
    altitude: float = 0.0
    clear_probability: float = 0.4

    def __post_init__(self) -> None:
        bounds = (
            ("latitude", self.latitude, -90.0, 90.0),
            ("longitude", self.longitude, -180.0, 180.0),
            ("altitude", self.altitude, *_ALTITUDES),
            ("clear_probability", self.clear_probability, 0.0, 1.0),
        )
        problems = [
            f"{name} is {value:g}, not {low:g} to {high:g}"
            for name, value, low, high in bounds
            if not low <= value <= high
        ]
        if not 0 < len(self.name) <= MAX_NAME or not self.name.isprintable():
            problems.append(f"its name is not 1 to {MAX_NAME} printable characters")
        if problems:
            raise OrbitError(
                f"this station cannot be: {'; '.join(problems)}",
                fault=OrbitFault.STATION,
            )

    def elevations(self, positions: Floats, times: Floats) -> Floats:
        """Return how high positions stand over the horizon, degrees.

        Without refraction, which lifts by 0.04 degrees at 20 and 0.5 at the horizon.

        Args:
            positions: Km, TEME, shape (n, 3).
            times: UTC seconds since 1970, shape (n,).
        """
        return self.elevations_of(turn_with_earth(positions, times))

    def elevations_of(self, fixed: Floats) -> Floats:
        """Return the same for positions that were turned with the Earth already."""
        here, up = self._place()
        way = fixed - here
        distance = np.sqrt(np.einsum("ij,ij->i", way, way))
        sines: Floats = np.clip(way @ up / distance, -1.0, 1.0)
        return np.degrees(np.arcsin(sines))

    def sun_elevations(self, times: Floats) -> Floats:
        """Return how high the sun's centre stands, degrees, without refraction."""
        _, up = self._place()
        directions = turn_with_earth(sun_directions(times), times)
        sines: Floats = np.clip(directions @ up, -1.0, 1.0)
        return np.degrees(np.arcsin(sines))

    def night_of(self, time: float) -> int:
        """Number the night: days since 1970 at the evening's local mean solar noon."""
        return math.floor((time + self.longitude / 360.0 * DAY) / DAY - 0.5)

    def _place(self) -> tuple[Floats, Floats]:
        """Return where it is (km, Earth-fixed) and the unit vector up."""
        latitude, longitude = math.radians(self.latitude), math.radians(self.longitude)
        up = np.array(
            [
                math.cos(latitude) * math.cos(longitude),
                math.cos(latitude) * math.sin(longitude),
                math.sin(latitude),
            ]
        )
        squeeze = (1.0 - _FLATTENING) ** 2
        normal = _AXIS / math.sqrt(1.0 - (1.0 - squeeze) * up[2] ** 2)
        height = self.altitude / 1000.0
        factors = np.array(
            [normal + height, normal + height, normal * squeeze + height]
        )
        return up * factors, up


def turn_with_earth(vectors: Floats, times: Floats) -> Floats:
    """Turn TEME vectors into Earth-fixed ones, shape (n, 3).

    By Greenwich mean sidereal time alone: polar motion is 15 m at most.
    """
    angle = sidereal_angle(times)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        [
            cosine * vectors[:, 0] + sine * vectors[:, 1],
            cosine * vectors[:, 1] - sine * vectors[:, 0],
            vectors[:, 2],
        ],
        axis=-1,
    )


REDU: Final = Station("Redu", 50.0019, 5.1456, 385.0, 0.35)
"""ESEC, ESA's station in the Ardennes."""

LUXEMBOURG: Final = Station("Luxembourg", 49.6117, 6.1319, 300.0, 0.35)

SINGAPORE: Final = Station("Singapore", 1.2966, 103.7764, 30.0, 0.30)
"""The university's hill."""

STATIONS: Final = {"redu": REDU, "luxembourg": LUXEMBOURG, "singapore": SINGAPORE}
"""By the name that a configuration gives. Clear skies are assumptions."""
