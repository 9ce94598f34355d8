"""Passes: when a satellite stands high enough over a station.

A grid finds them, and local maxima below the limit are refined so that a short pass
between two points of the grid is not missed; bisection finds rise and set.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.orbit import Orbit
from gateway.planner.space.stations import Station, turn_with_earth
from gateway.planner.space.times import DAY, Floats, check_times

STEP: Final = 30.0
"""Seconds of the grid: 230 km of a low orbit's way."""

MIN_ELEVATION: Final = 20.0
"""Degrees: lower, the way through the air is three times as long and more."""

NIGHT: Final = -12.0
"""Degrees of the sun's centre: nautical twilight. Astronomical night (-18) does not
come at all to Luxembourg in June."""

MAX_SPAN: Final = 400 * DAY
"""Seconds in one call: 1.2 million points of the grid, 100 MB."""

_BISECTIONS: Final = 20
"""30 s / 2^20 = 29 µs."""

_SECTIONS: Final = 24
"""Golden sections of a minute: 60 s * 0.618^24 = 0.6 ms."""

_GOLDEN: Final = (5.0**0.5 - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class SatellitePass:
    """One pass over one station. Times are UTC seconds since 1970.

    Attributes:
        station: Over which.
        rise: When it came above the least elevation, or the span began.
        peak: When it stood highest.
        set: When it sank below, or the span ended.
        max_elevation: At the peak, degrees.
        sun: Elevation of the sun over the station when it stood highest meanwhile.
        night: Number of the night, see `Station.night_of`.
    """

    station: Station
    rise: float
    peak: float
    set: float
    max_elevation: float
    sun: float
    night: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.set - self.rise


def passes(
    orbit: Orbit,
    station: Station,
    start: float,
    end: float,
    min_elevation: float = MIN_ELEVATION,
    *,
    sun_below: float | None = NIGHT,
) -> list[SatellitePass]:
    """Return the passes over a station, in order.

    Args:
        orbit: Of the satellite.
        station: On the ground.
        start: First moment, UTC seconds since 1970.
        end: Last moment.
        min_elevation: Degrees, 0 to 90.
        sun_below: Only passes with the sun below this all the time, degrees; None for
            all, by day as well.

    Raises:
        OrbitError: The span is none or too long, the elevation out of range, or the
            elements lead to no orbit.
    """
    return passes_over(
        orbit, [station], start, end, min_elevation, sun_below=sun_below
    )[station.name]


def passes_over(
    orbit: Orbit,
    stations: Iterable[Station],
    start: float,
    end: float,
    min_elevation: float = MIN_ELEVATION,
    *,
    sun_below: float | None = NIGHT,
) -> dict[str, list[SatellitePass]]:
    """Return the passes over many stations by name: the orbit is computed once.

    Arguments and errors are those of `passes`.
    """
    check_times(start, end)
    if end - start > MAX_SPAN:
        raise OrbitError(
            f"{(end - start) / DAY:.0f} days are too long at once",
            f"ask for {MAX_SPAN / DAY:.0f} at most",
            fault=OrbitFault.TIME,
        )
    if not 0.0 <= min_elevation <= 90.0:  # noqa: PLR2004  # a right angle
        raise OrbitError(
            f"a least elevation of {min_elevation:g} degrees is not 0 to 90",
            fault=OrbitFault.RANGE,
        )
    count = max(3, int(np.ceil((end - start) / STEP)) + 1)
    grid = np.linspace(start, end, count)
    fixed = turn_with_earth(orbit.positions(grid), grid)
    found = {}
    for station in stations:
        all_passes = _find(orbit, station, grid, fixed, min_elevation)
        found[station.name] = [
            each for each in all_passes if sun_below is None or each.sun < sun_below
        ]
    return found


def _find(
    orbit: Orbit, station: Station, grid: Floats, fixed: Floats, least: float
) -> list[SatellitePass]:
    def elevation(times: Floats) -> Floats:
        return station.elevations(orbit.positions(times), times)

    coarse = station.elevations_of(fixed)
    is_top = (coarse[1:-1] >= coarse[:-2]) & (coarse[1:-1] > coarse[2:])
    # Half a step beside a peak a low orbit stands at least so high (see the tests).
    tops = np.flatnonzero(is_top & (coarse[1:-1] > least / 2.0 - 5.0)) + 1
    # A pass that the span cuts off may stand highest between its edge and the next
    # point; where it does not, the edge itself is found again.
    lows = np.concatenate([grid[:1], grid[tops - 1], grid[-2:-1]])
    highs = np.concatenate([grid[1:2], grid[tops + 1], grid[-1:]])
    peaks = _refine(elevation, lows, highs)
    heights = elevation(peaks)
    peaks, heights = peaks[heights >= least], heights[heights >= least]
    times = np.concatenate([grid, peaks])
    high = np.concatenate([coarse, heights])
    order = np.argsort(times, kind="stable")
    times, high = times[order], high[order]
    is_up = high >= least
    edges = np.flatnonzero(is_up[1:] != is_up[:-1])
    crossings = _bisect(elevation, times[edges], times[edges + 1], least)
    rises, sets = crossings[~is_up[edges]], crossings[is_up[edges]]
    if is_up[0]:
        rises = np.concatenate([times[:1], rises])
    if is_up[-1]:
        sets = np.concatenate([sets, times[-1:]])
    if not rises.size:
        return []
    suns = np.maximum(station.sun_elevations(rises), station.sun_elevations(sets))
    # Rise and set stand for themselves where the span cut a pass off.
    times = np.concatenate([times, rises, sets])
    high = np.concatenate([high, elevation(rises), elevation(sets)])
    order = np.argsort(times, kind="stable")
    times, high = times[order], high[order]
    firsts = np.searchsorted(times, rises, "left")
    lasts = np.searchsorted(times, sets, "right")
    found = []
    for rise, down, sun, first, last in zip(
        rises, sets, suns, firsts, lasts, strict=True
    ):
        top = int(first + np.argmax(high[first:last]))
        found.append(
            SatellitePass(
                station,
                float(rise),
                float(times[top]),
                float(down),
                float(high[top]),
                float(sun),
                station.night_of(float(times[top])),
            )
        )
    return found


def _refine(function: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Find where a function is greatest in each interval, by golden section."""
    for _ in range(_SECTIONS):
        left = high - _GOLDEN * (high - low)
        right = low + _GOLDEN * (high - low)
        is_left = function(left) > function(right)
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    return (low + high) / 2.0


def _bisect(
    function: Callable[[Floats], Floats], low: Floats, high: Floats, level: float
) -> Floats:
    """Find where a function goes through a level in each interval."""
    begins_up = function(low) >= level
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        is_same = (function(middle) >= level) == begins_up
        low, high = np.where(is_same, middle, low), np.where(is_same, high, middle)
    return (low + high) / 2.0
