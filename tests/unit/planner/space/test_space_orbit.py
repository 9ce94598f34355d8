"""Positions, the Earth's turn, the sun: against published figures."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.orbit import TLE_MAX_AGE, synthetic_orbit
from gateway.planner.space.stations import LUXEMBOURG, SINGAPORE, STATIONS, Station
from gateway.planner.space.times import check_times, sidereal_angle
from gateway.planner.space.tle import parse_tle
from tests.unit.planner.space.elements import VANGUARD


def at(*fields: int) -> float:
    return datetime(*fields, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]  # never a timezone


def test_the_synthetic_orbit_is_sun_synchronous() -> None:
    """Vallado, and field figures: 94.6 minutes, 97.4 degrees at 500 km."""
    orbit = synthetic_orbit()
    assert orbit.period / 60.0 == pytest.approx(94.6, abs=0.05)
    assert orbit.inclination == pytest.approx(97.4, abs=0.05)
    assert orbit.node_drift == pytest.approx(360.0 / 365.2422, abs=1e-6)
    # The plane itself, from positions half a year apart, not from sgp4's own rate.
    nodes = []
    for day in (0.0, 180.0):
        times = orbit.epoch + day * 86_400.0 + np.array([0.0, 1000.0])
        normal = np.cross(*orbit.positions(times))
        nodes.append(math.degrees(math.atan2(normal[0], -normal[1])))
    assert (nodes[1] - nodes[0]) % 360.0 == pytest.approx(180 * 0.9856, abs=0.5)


def test_it_stays_at_its_height_and_local_time_for_years() -> None:
    orbit = synthetic_orbit()
    for year in (0.0, 4.0, 9.0):
        times = orbit.epoch + year * 365.25 * 86_400 + np.arange(0.0, 12_000.0, 10.0)
        heights = np.linalg.norm(orbit.positions(times), axis=1) - 6378.0
        assert 480.0 < heights.min() <= heights.max() < 535.0


@pytest.mark.parametrize(
    ("minutes", "position"),
    [
        (0.0, (7022.46529266, -1400.08296755, 0.03995155)),
        (360.0, (-7154.03120202, -3783.17682504, -3536.19412294)),
        (1440.0, (-938.55923943, -6268.18748831, -4294.02924751)),
        (4320.0, (-9060.47373569, 4658.70952502, 813.68673153)),
    ],
)
def test_a_published_case(minutes: float, position: tuple[float, ...]) -> None:
    """Satellite 00005 of Revisiting Spacetrack Report #3 (tcppver.out)."""
    (orbit,) = parse_tle(VANGUARD)
    times = np.array([orbit.epoch + minutes * 60.0])
    assert orbit.positions(times)[0] == pytest.approx(position, abs=1e-3)


def test_sidereal_time() -> None:
    """Vallado, Fundamentals of Astrodynamics, example 3-5: 152.578787810 degrees."""
    angle = sidereal_angle(np.array([at(1992, 8, 20, 12, 14)]))
    assert math.degrees(angle[0]) == pytest.approx(152.5787878, abs=1e-5)


@pytest.mark.parametrize(
    ("station", "when", "elevation", "tolerance"),
    [
        # Solstice noon: 90 - latitude +- 23.44; sun due south at 12 - 0.41 h + eot.
        (LUXEMBOURG, at(2026, 6, 21, 11, 37), 90 - 49.61 + 23.44, 0.05),
        (LUXEMBOURG, at(2026, 12, 21, 11, 34), 90 - 49.61 - 23.44, 0.05),
        (SINGAPORE, at(2026, 3, 20, 5, 12), 90 - 1.30, 0.2),
        (
            Station("Greenwich", 51.4779, 0.0),
            at(2026, 3, 20, 0, 7),
            -38.52 - 0.24,
            0.05,
        ),
    ],
)
def test_the_sun(
    station: Station, when: float, elevation: float, tolerance: float
) -> None:
    found = station.sun_elevations(np.array([when]))[0]
    assert found == pytest.approx(elevation, abs=tolerance)


def test_sunrise_and_sunset_of_the_equator_at_equinox() -> None:
    """Day and night are of one length, the sun's centre on the horizon."""
    here = Station("Null Island", 0.0, 0.0)
    times = at(2026, 3, 20) + np.arange(0.0, 86_400.0, 10.0)
    above = here.sun_elevations(times) > 0.0
    edges = times[np.flatnonzero(above[1:] != above[:-1])] - at(2026, 3, 20)
    # 06:07 and 18:07: the equation of time is -7.4 minutes on that day.
    assert edges / 3600.0 == pytest.approx([6.124, 18.124], abs=0.02)


def test_a_satellite_overhead_stands_in_the_zenith() -> None:
    for station in (*STATIONS.values(), Station("Pole", 90.0, 0.0, 2000.0)):
        here, up = station._place()
        angle = -float(sidereal_angle(np.array([0.0]))[0])
        turn = np.array(
            [
                [math.cos(angle), math.sin(angle), 0.0],
                [-math.sin(angle), math.cos(angle), 0.0],
                [0.0, 0.0, 1.0],
            ]
        )
        for offset, high in ((500.0 * up, 90.0), (-500.0 * up, -90.0)):
            position = (turn @ (here + offset))[None, :]
            found = station.elevations(position, np.array([0.0]))
            assert found[0] == pytest.approx(high, abs=1e-3)


def test_wgs84_radii() -> None:
    """NGA: 6378.137 km at the equator, 6356.752314 km at the poles."""
    assert np.linalg.norm(Station("e", 0.0, 77.0)._place()[0]) == pytest.approx(
        6378.137
    )
    assert np.linalg.norm(Station("p", -90.0, 0.0)._place()[0]) == pytest.approx(
        6356.752314, abs=1e-6
    )


def test_old_elements_are_refused() -> None:
    (orbit,) = parse_tle(VANGUARD)
    for away in (-TLE_MAX_AGE - 1.0, TLE_MAX_AGE + 1.0, math.nan):
        with pytest.raises(OrbitError) as caught:
            orbit.positions(np.array([orbit.epoch, orbit.epoch + away]))
        assert caught.value.fault is OrbitFault.STALE


@pytest.mark.parametrize(
    ("start", "end"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, 1e12)]
)
def test_times_that_are_none(start: float, end: float) -> None:
    with pytest.raises(OrbitError) as caught:
        check_times(start, end)
    assert caught.value.fault is OrbitFault.TIME


@pytest.mark.parametrize(
    ("name", "latitude", "longitude", "altitude", "clear"),
    [
        ("x", 90.1, 0.0, 0.0, 0.5),
        ("x", 0.0, -180.5, 0.0, 0.5),
        ("x", math.nan, 0.0, 0.0, 0.5),
        ("x", 0.0, 0.0, 1e5, 0.5),
        ("x", 0.0, 0.0, 0.0, 1.5),
        ("", 0.0, 0.0, 0.0, 0.5),
        ("a\nb", 0.0, 0.0, 0.0, 0.5),
    ],
)
def test_stations_that_are_nowhere(
    name: str, latitude: float, longitude: float, altitude: float, clear: float
) -> None:
    with pytest.raises(OrbitError) as caught:
        Station(name, latitude, longitude, altitude, clear)
    assert caught.value.fault is OrbitFault.STATION


@pytest.mark.parametrize("altitude", [299.0, 1501.0, math.nan])
def test_synthetic_orbits_that_cannot_be(altitude: float) -> None:
    with pytest.raises(OrbitError):
        synthetic_orbit(altitude=altitude)
