"""An orbit: where its satellite is, by SGP4.

Every error number of sgp4 becomes an `OrbitError`: no position that it calls wrong gets
out.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from sgp4.api import SGP4_ERRORS, WGS72, Satrec

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.sun import mean_longitude
from gateway.planner.space.times import DAY, Floats, split_julian_date

TLE_MAX_AGE: Final = 60 * DAY
"""Seconds before and after its epoch that a TLE is used for: drag and thrust make a
pass minutes early or late after two months; what is older is an operator's mistake."""

SYNTHETIC_EPOCH: Final = 1_767_225_600.0
"""2026-01-01T00:00 UTC. Fixed, so that both ends compute the same passes."""

SYNTHETIC_MAX_AGE: Final = 3_653 * DAY
"""Ten years: nothing real flies there, and it stays sun-synchronous by construction."""

SYNTHETIC_ALTITUDE: Final = 500.0
"""Km over the equator; like Jinan-1 and Micius."""

SYNTHETIC_ECCENTRICITY: Final = 0.001
"""Like that of real ones; exactly 0 has no perigee."""

NODE_DRIFT: Final = 360.0 / 365.2422
"""Degrees a day that the node of a sun-synchronous orbit goes with the mean sun."""

DESCENDING_NODE_HOUR: Final = 0.0
"""Mean local solar time, hours: over the equator at midnight, so that one pass in the
middle of every night is long, in summer as well."""

_EARTH_RADIUS: Final = 6378.135
_EARTH_GM: Final = 398_600.8
"""Km and km3/s2 of WGS72: the constants that SGP4 elements are made for, not WGS84."""

_SGP4_ORIGIN: Final = -631_238_400.0 + 86_400.0
"""1949-12-31T00:00 UTC, where sgp4init counts days from."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """A satellite's orbit.

    Attributes:
        name: What the satellite is called.
        epoch: When the elements hold best, UTC seconds since 1970.
        max_age: Seconds before and after the epoch that they are used for.
        satellite: The elements, as sgp4 holds them.
    """

    name: str
    epoch: float
    max_age: float
    satellite: Satrec = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.satellite.error:
            _refuse(self.name, int(self.satellite.error))

    @property
    def period(self) -> float:
        """Seconds for one revolution."""
        return 120.0 * math.pi / float(self.satellite.no_kozai)

    @property
    def inclination(self) -> float:
        """Degrees."""
        return math.degrees(self.satellite.inclo)

    @property
    def node_drift(self) -> float:
        """Degrees a day that the node goes eastward, as SGP4 has it."""
        return math.degrees(self.satellite.nodedot) * 1440.0

    def positions(self, times: Floats) -> Floats:
        """Return where the satellite is, km, TEME, shape (n, 3).

        Args:
            times: UTC seconds since 1970, shape (n,).

        Raises:
            OrbitError: The elements are too old for a time (``stale``), or lead to no
                position there (``decayed``).
        """
        if not times.size:
            return np.empty((0, 3))
        away = float(np.max(np.abs(times - self.epoch)))
        if not away <= self.max_age:
            raise OrbitError(
                f"the elements of {self.name} are {away / DAY:.0f} days away from the "
                f"time asked for, and good for {self.max_age / DAY:.0f}",
                "get current elements",
                fault=OrbitFault.STALE,
            )
        errors, positions, _ = self.satellite.sgp4_array(*split_julian_date(times))
        if errors.any():
            _refuse(self.name, int(errors.max()))
        if not np.isfinite(positions).all():
            raise OrbitError(
                f"the elements of {self.name} lead nowhere", fault=OrbitFault.DECAYED
            )
        return np.asarray(positions, dtype=np.float64)


def synthetic_orbit(
    *,
    altitude: float = SYNTHETIC_ALTITUDE,
    descending_node_hour: float = DESCENDING_NODE_HOUR,
    epoch: float = SYNTHETIC_EPOCH,
) -> Orbit:
    """Make the orbit that is shipped: circular, sun-synchronous, at midnight.

    The inclination is the one at which SGP4 itself turns the node by `NODE_DRIFT`; no
    drag, as if a thruster kept the height.

    Args:
        altitude: Km over the equator, 300 to 1500.
        descending_node_hour: Mean local solar time of the way south, 0 to 24.
        epoch: UTC seconds since 1970.

    Raises:
        OrbitError: The altitude or the hour is out of range.
    """
    if not 300.0 <= altitude <= 1500.0 or not 0.0 <= descending_node_hour <= 24.0:  # noqa: PLR2004  # in the docstring
        raise OrbitError(
            "the synthetic orbit is 300 to 1500 km high, its hour 0 to 24",
            fault=OrbitFault.RANGE,
        )
    ascending = descending_node_hour + 12.0
    sun = float(mean_longitude(np.array([epoch]))[0])
    node = math.radians((sun + (ascending - 12.0) * 15.0) % 360.0)
    low, high = 90.0, 110.0
    for _ in range(50):  # 20 degrees / 2^50: to the last bit
        middle = (low + high) / 2.0
        drift = _circular(altitude, middle, node, epoch).node_drift
        low, high = (middle, high) if drift < NODE_DRIFT else (low, middle)
    return _circular(altitude, (low + high) / 2.0, node, epoch)


def _circular(altitude: float, inclination: float, node: float, epoch: float) -> Orbit:
    motion = 60.0 * math.sqrt(_EARTH_GM / (_EARTH_RADIUS + altitude) ** 3)
    satellite = Satrec()
    satellite.sgp4init(
        WGS72,
        "i",  # the improved mode, which is sgp4's own default
        0,  # no catalogue number: it does not fly
        (epoch - _SGP4_ORIGIN) / DAY,
        0.0,  # bstar: no drag
        0.0,  # ndot and nddot, which SGP4 does not read
        0.0,
        SYNTHETIC_ECCENTRICITY,
        math.pi / 2.0,  # perigee in the north
        math.radians(inclination),
        0.0,
        motion,
        node,
    )
    name = f"synthetic {altitude:g} km"
    return Orbit(name, epoch, SYNTHETIC_MAX_AGE, satellite)


def _refuse(name: str, error: int) -> None:
    reason = SGP4_ERRORS.get(error, f"SGP4 error {error}")
    raise OrbitError(
        f"the elements of {name} lead to no orbit: {reason}",
        "get current elements",
        fault=OrbitFault.DECAYED,
    )
