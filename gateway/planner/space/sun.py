"""The sun's place: the low-precision formulas of the Astronomical Almanac.

Page C5 of every edition (also U.S. Naval Observatory, *Computing Approximate Solar
Coordinates*): 0.01 degrees from 1950 to 2050. Distance, refraction and parallax play no
part for twilight.
"""

import numpy as np

from gateway.planner.space.times import Floats, days_since_j2000


def mean_longitude(times: Floats) -> Floats:
    """Return the mean longitude of the sun, degrees, 0 to 360.

    It is the right ascension of the mean sun that orbits are synchronous with.
    """
    return np.mod(280.460 + 0.9856474 * days_since_j2000(times), 360.0)


def sun_directions(times: Floats) -> Floats:
    """Return unit vectors to the sun, mean equator of date, shape (n, 3).

    TEME differs by the equation of the equinoxes, 0.005 degrees at most.
    """
    days = days_since_j2000(times)
    anomaly = np.radians(np.mod(357.528 + 0.9856003 * days, 360.0))
    longitude = np.radians(
        mean_longitude(times) + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly)
    )
    obliquity = np.radians(23.439 - 4.0e-7 * days)
    return np.stack(
        [
            np.cos(longitude),
            np.cos(obliquity) * np.sin(longitude),
            np.sin(obliquity) * np.sin(longitude),
        ],
        axis=-1,
    )
