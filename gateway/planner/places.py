"""Reader of a plan's stations, clouds over them, and satellites."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from gateway.config.problems import show
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    parse_text,
    parse_time,
    path_beside,
)
from gateway.errors import OrbitError
from gateway.planner.space.orbit import SYNTHETIC_ALTITUDE, Orbit, synthetic_orbit
from gateway.planner.space.stations import STATIONS, Station
from gateway.planner.space.times import DAY
from gateway.planner.space.tle import load_tle
from gateway.planner.space.weather import Overcast

MAX_SPELL: Final = 366.0
"""Days of clouds: all of the longest plan."""

_SPELL: Final = frozenset({"from", "days"})


def read_station(
    name: str, section: Section
) -> tuple[Station | None, tuple[Overcast, ...]]:
    """Read ``[stations.NAME]``; a shipped one may be given other figures.

    Returns:
        The station, None if a problem was noted, and when it is under clouds.
    """
    shipped = STATIONS.get(name)
    called = shipped.name if shipped else name
    spells = section.optional("overcast", many(_parse_spell), ())
    clouds = tuple(Overcast(called, *each) for each in spells)
    latitude = number(-90, 90, "degrees")
    longitude = number(-180, 180, "degrees")
    altitude = section.optional(
        "altitude", number(-500, 9000, "metres"), shipped.altitude if shipped else 0.0
    )
    clear = section.optional(
        "clear_probability",
        number(0, 1, "probability"),
        shipped.clear_probability if shipped else None,
    )
    if shipped is not None:
        moved = dataclasses.replace(
            shipped,
            latitude=section.optional("latitude", latitude, shipped.latitude),
            longitude=section.optional("longitude", longitude, shipped.longitude),
            altitude=altitude,
            clear_probability=shipped.clear_probability if clear is None else clear,
        )
        section.close()
        return moved, clouds
    north = section.required("latitude", latitude, "49.6117")
    east = section.required("longitude", longitude, "6.1319")
    if clear is None:
        section.required("clear_probability", number(0, 1, "probability"), "0.35")
    section.close()
    if north is None or east is None or clear is None:
        return None, clouds
    return Station(name, north, east, altitude, clear), clouds


def read_satellite(section: Section) -> Orbit | None:
    """Read ``[satellites.NAME]``: from a TLE file, or an orbit like the shipped one."""
    path = section.optional("tle", path_beside(section.source.file), None)
    called = section.optional("name", parse_text, None)
    altitude = section.optional(
        "altitude_km", number(300, 1500, "kilometres"), SYNTHETIC_ALTITUDE
    )
    section.close()
    if path is None:
        if called is not None:
            section.refuse("name", "no such key without tle", "one")
        return None if "tle" in section else synthetic_orbit(altitude=altitude)
    if "altitude_km" in section:
        section.refuse("altitude_km", "no such key beside tle", "one")
    try:
        orbits = load_tle(path)
    except OrbitError as error:
        section.refuse("tle", "a file of two-line elements", error.message)
        return None
    matching = [each for each in orbits if called in {None, each.name}]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(each.name for each in orbits[:3])
    section.refuse(
        "name",
        f"the name of one satellite in {path.name}, such as {names}",
        f"{len(matching)} of them",
    )
    return None


def _parse_spell(value: object) -> tuple[float, float]:
    """Take one ``[[stations.NAME.overcast]]``: its first and last moment."""
    if not isinstance(value, Mapping) or value.keys() != _SPELL:
        found = show(value) if not isinstance(value, Mapping) else ", ".join(value)
        raise BadValueError("a table with from and days", found or "nothing")
    start = parse_time(value["from"])
    return start, start + DAY * number(0, MAX_SPELL, "days")(value["days"])
