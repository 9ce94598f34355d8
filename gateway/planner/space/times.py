"""Times: UTC seconds since 1970 to Julian dates, and how far the Earth has turned."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.errors import OrbitError, OrbitFault

Floats = NDArray[np.float64]

DAY: Final = 86_400.0
"""Seconds."""

UNIX_JULIAN_DATE: Final = 2_440_587.5
"""Julian date of 1970-01-01T00:00 UTC."""

J2000: Final = 2_451_545.0
"""Julian date of the epoch that almanac formulas count days from."""

FIRST_TIME: Final = -410_227_200.0
"""1957-01-01: before it nothing flew, and two-digit years of TLEs begin there."""

LAST_TIME: Final = 2_840_140_800.0
"""2060-01-01: the solar formula is good for 1950 to 2050, and a little beyond."""


def split_julian_date(times: Floats) -> tuple[Floats, Floats]:
    """Split times into whole Julian days and fractions, as sgp4 takes them.

    One double would hold a Julian date to 40 µs only, 30 cm of the satellite's way.
    """
    whole = np.floor(times / DAY)
    return whole + UNIX_JULIAN_DATE, times / DAY - whole


def days_since_j2000(times: Floats) -> Floats:
    """Count days since 2000-01-01T12:00."""
    return times / DAY + (UNIX_JULIAN_DATE - J2000)


def sidereal_angle(times: Floats) -> Floats:
    """Return Greenwich mean sidereal time, radians, 0 to 2 pi.

    IAU 1982, with UTC for UT1 (at most 0.9 s apart: 15 arc seconds); the same that TEME
    positions are meant for (Vallado et al., Revisiting Spacetrack Report #3, 2006).
    """
    days = days_since_j2000(times)
    century = days / 36_525.0
    seconds = (
        67_310.54841
        + (876_600.0 * 3600.0 + 8_640_184.812866) * century
        + 0.093104 * century**2
        - 6.2e-6 * century**3
    )
    return np.radians(np.mod(seconds, DAY) / 240.0)


def check_times(start: float, end: float) -> None:
    """Make sure that this is a span of time that formulas hold for.

    Raises:
        OrbitError: It is empty, no number, or before 1957 or after 2060.
    """
    if not FIRST_TIME <= start <= LAST_TIME or not FIRST_TIME <= end <= LAST_TIME:
        raise OrbitError(
            "the time is not between 1957 and 2060",
            "give UTC seconds since 1970",
            fault=OrbitFault.TIME,
        )
    if not start < end:
        raise OrbitError("the time ends before it begins", fault=OrbitFault.TIME)


def format_time(time: float) -> str:
    """Write a time for people: ``2026-03-01 22:14 UTC``."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
