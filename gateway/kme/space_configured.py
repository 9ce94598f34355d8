"""A satellite link from the figures that an operator wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.errors import OrbitError, OrbitFault, QuantumLinkError
from gateway.kme.space_figures import PAIRS
from gateway.kme.space_link import SatelliteLink
from gateway.kme.space_settings import OvercastSettings, SpaceSettings
from gateway.planner.space.key import LEAST_BITS, MOST_BITS, KeyModel
from gateway.planner.space.orbit import SYNTHETIC_ALTITUDE, Orbit, synthetic_orbit
from gateway.planner.space.passes import MIN_ELEVATION
from gateway.planner.space.stations import STATIONS, Station
from gateway.planner.space.times import DAY
from gateway.planner.space.tle import load_tle
from gateway.planner.space.weather import Overcast, Weather

DEFAULTS: Final[Mapping[str, float]] = {
    "altitude_km": SYNTHETIC_ALTITUDE,
    "min_elevation": MIN_ELEVATION,
    "least_bits": LEAST_BITS,
    "most_bits": MOST_BITS,
    "sun_depression": 12.0,
    "time_scale": 1.0,
    "weather_seed": 0.0,
    "start": 0.0,
}
"""Every one of `FIGURES`; ``start`` 0 is now."""


_SHOWN: Final = 5
"""Names of satellites in a message."""


def satellite_link(
    figures: Mapping[str, float | str],
    now: float,
    space: SpaceSettings | None = None,
) -> SatelliteLink:
    """Make a link with the shipped orbit, or the one of a file.

    Args:
        figures: Those of `DEFAULTS` that differ, and ``preset``, a name of `PAIRS`.
        now: UTC seconds since 1970, where ``start`` is not given.
        space: What is no figure: elements, stations, clouds.

    Raises:
        QuantumLinkError: A figure is unknown, no number, or out of range; the elements
            cannot be read, are wrong or too old; a station is unknown.
    """
    space = space or SpaceSettings()
    wanted = dict(figures)
    pair = str(wanted.pop("preset", next(iter(PAIRS))))
    unknown = sorted(wanted.keys() - DEFAULTS.keys())
    texts = sorted(name for name, value in wanted.items() if isinstance(value, str))
    if unknown or texts or pair not in PAIRS:
        wrong = ", ".join([*unknown, *texts] or [pair])
        raise QuantumLinkError(
            f"this satellite link cannot be: {wrong}",
            "docs/satellite.md lists the figures and presets",
        )
    numbers = {name: float(wanted.get(name, DEFAULTS[name])) for name in DEFAULTS}
    if not 0.0 <= numbers["sun_depression"] <= 90.0:  # noqa: PLR2004  # a right angle
        raise QuantumLinkError("sun_depression is not 0 to 90 degrees")
    start = numbers["start"] or now
    names = space.stations or PAIRS[pair]
    try:
        first, second = (_station(name, space) for name in names)
        ground = dict(zip(names, (first, second), strict=True))
        clouds = [_overcast(ground, each, start) for each in space.overcast]
        return SatelliteLink(
            _orbit(space, numbers["altitude_km"]),
            (first, second),
            Weather(repr(numbers["weather_seed"]).encode(), clouds),
            start,
            model=KeyModel(
                numbers["least_bits"], numbers["most_bits"], numbers["min_elevation"]
            ),
            sun_below=-numbers["sun_depression"],
            time_scale=numbers["time_scale"],
        )
    except OrbitError as error:
        raise QuantumLinkError(error.message, error.hint) from None


def _station(name: str, space: SpaceSettings) -> Station:
    own = space.own_stations.get(name)
    if own is not None:
        return Station(
            name, own.latitude, own.longitude, own.altitude, own.clear_probability
        )
    if name in STATIONS:
        return STATIONS[name]
    raise QuantumLinkError(
        f"there is no station {name!r}", f"shipped are {', '.join(STATIONS)}"
    )


def _overcast(
    ground: Mapping[str, Station], cloud: OvercastSettings, start: float
) -> Overcast:
    station = ground.get(cloud.station)
    if station is None:
        raise QuantumLinkError(
            f"clouds over {cloud.station!r}, which is no station of this link",
            f"it has {', '.join(ground)}",
        )
    begin = cloud.begin
    if begin is None:
        begin = start + (cloud.after_days or 0.0) * DAY
    return Overcast(station.name, begin, begin + cloud.days * DAY)


def _orbit(space: SpaceSettings, altitude: float) -> Orbit:
    if space.tle is None:
        return synthetic_orbit(altitude=altitude)
    try:
        found = load_tle(space.tle)
    except OrbitError as error:
        problem = error
    else:
        return _chosen(found, space.tle, space.satellite)
    if problem.fault is OrbitFault.FILE:
        raise problem  # names the file itself
    raise OrbitError(
        f"{space.tle}: {problem.message}", problem.hint, fault=problem.fault
    )


def _chosen(found: list[Orbit], file: Path, wanted: str | None) -> Orbit:
    """Return the one satellite of a file, or the one that is named."""
    names = [orbit.name for orbit in found]
    listed = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise QuantumLinkError(
            f"{file} has {len(found)} satellites: {listed}",
            'say which one carries the keys: satellite = "NAME"',
        )
    same = [orbit for orbit in found if orbit.name.casefold() == wanted.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        raise QuantumLinkError(
            f"{file} has {len(same)} satellites called {wanted!r}", "keep one of them"
        )
    raise QuantumLinkError(f"{file} has no satellite {wanted!r}", f"it has {listed}")
