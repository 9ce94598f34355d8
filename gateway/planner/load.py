"""Loader of plan files; all mistakes are reported at once, with file and line.

The tables are read in `gateway.planner.tables`. TLE files are the only others opened.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from gateway.config.files import read_source
from gateway.config.problems import Problems, Source
from gateway.config.section import Section
from gateway.config.values import NAME, number, whole
from gateway.errors import ConfigError, OrbitError
from gateway.planner.model import Link, Plan, PlannedTunnel, SpaceLink
from gateway.planner.places import read_satellite, read_station
from gateway.planner.space.orbit import Orbit, synthetic_orbit
from gateway.planner.space.stations import STATIONS, Station
from gateway.planner.space.times import check_times
from gateway.planner.space.weather import Overcast
from gateway.planner.tables import SHIPPED, read_link, read_tunnel

MAX_DAYS: Final = 366
"""A year; within what passes are predicted for at once."""

DEFAULT_DAYS: Final = 14

MAX_NAMED: Final = 1_000
"""Links, tunnels, stations, satellites: of each."""

MIN_DRAWS: Final = 100
"""Fewer weathers say nothing of one in twenty."""

MAX_DRAWS: Final = 20_000
"""Ten times the default, for a third of its error; ten times the time."""

DEFAULT_DRAWS: Final = 2_000

DEFAULT_PROBABILITY: Final = 0.95
MIN_PROBABILITY: Final = 0.5
MAX_PROBABILITY: Final = 0.999
"""Two weathers of the default number are worse."""

MAX_SEED: Final = 2**53

_TABLES: Final = ("plan", "stations", "satellites", "links", "tunnels")


def load_plan(
    path: Path,
    start: float,
    *,
    days: int | None = None,
    probability: float | None = None,
) -> Plan:
    """Load and check a plan.

    Args:
        path: The file.
        start: First moment of the span, UTC seconds since 1970.
        days: Length of the span; None for what the file says.
        probability: With which schedules should hold; None for what the file says.

    Raises:
        ConfigError: Something is wrong; it carries every problem found.
    """
    problems = Problems()
    source = read_source(path, problems)
    plan = None
    if source is not None:
        plan = _PlanReader(source, problems).read(start, days, probability)
    if problems.found or plan is None:
        error = ConfigError(tuple(sorted(problems.found, key=lambda each: each.line)))
        error.hint = f"correct them and run again: qgw plan {path}"
        raise error
    return plan


class _PlanReader:
    """Reads the tables of one file, and checks them against each other."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self._source = source
        self._problems = problems

    def read(self, start: float, days: int | None, probability: float | None) -> Plan:
        """Return the plan; it is right only if no problem was noted."""
        top = self._open()
        for name in _TABLES:
            top.optional(name, lambda value: value, None)
        top.close()
        head = self._open("plan")
        in_file = head.optional("days", whole(1, MAX_DAYS), DEFAULT_DAYS)
        of_file = head.optional(
            "probability",
            number(MIN_PROBABILITY, MAX_PROBABILITY, "probability"),
            DEFAULT_PROBABILITY,
        )
        draws = head.optional("draws", whole(MIN_DRAWS, MAX_DRAWS), DEFAULT_DRAWS)
        seed = head.optional("seed", whole(0, MAX_SEED), 0)
        head.close()
        stations, overcast = self._read_stations()
        links = self._read_links(stations)
        plan = Plan(
            file=self._source.file,
            links={name: each for name, each in links.items() if each is not None},
            tunnels=self._read_tunnels(links),
            start=start,
            days=in_file if days is None else days,
            probability=of_file if probability is None else probability,
            draws=draws,
            seed=seed,
            overcast=overcast,
        )
        self._check_orbits(plan)
        return plan

    def _read_stations(self) -> tuple[dict[str, Station | None], tuple[Overcast, ...]]:
        stations: dict[str, Station | None] = {**STATIONS}
        overcast: list[Overcast] = []
        for name, section in self._named("stations"):
            stations[name], clouds = read_station(name, section)
            overcast += clouds
        return stations, tuple(overcast)

    def _read_links(
        self, stations: Mapping[str, Station | None]
    ) -> dict[str, Link | None]:
        satellites: dict[str, Orbit | None] = {SHIPPED: synthetic_orbit()}
        for name, section in self._named("satellites"):
            satellites[name] = read_satellite(section)
        links = {
            name: read_link(name, section, stations, satellites)
            for name, section in self._named("links")
        }
        if not links:
            self._open("links").refuse("", "a link, [links.NAME]", "none")
        return links

    def _read_tunnels(self, links: Mapping[str, object]) -> dict[str, PlannedTunnel]:
        tunnels = {
            name: read_tunnel(name, section, links)
            for name, section in self._named("tunnels")
        }
        if not tunnels:
            self._open("tunnels").refuse("", "a tunnel, [tunnels.NAME]", "none")
        return tunnels

    def _check_orbits(self, plan: Plan) -> None:
        """Refuse elements that do not lead through the whole span, once each."""
        seen = set()
        for link in plan.links.values():
            if not isinstance(link, SpaceLink) or link.satellite in seen:
                continue
            seen.add(link.satellite)
            try:
                check_times(plan.start, plan.end)
                link.orbit.positions(np.array([plan.start, plan.end]))
            except OrbitError as error:
                own = ("satellites", link.satellite)
                is_own = own in self._source.lines
                place = (*own, "tle") if is_own else ("links", link.name, "satellite")
                expected = "elements good for every day asked for"
                self._problems.add(self._source, place, expected, error.message)

    def _named(self, kind: str) -> Iterable[tuple[str, Section]]:
        """Open ``[KIND.NAME]`` for every name that is a name."""
        tables = self._open(kind)
        for count, name in enumerate(tables.names()):
            if count >= MAX_NAMED:
                tables.refuse(name, f"at most {MAX_NAMED} {kind}", "one more")
                return
            if NAME.fullmatch(name):
                yield name, self._open(kind, name)
            else:
                tables.refuse(name, "a name of 1 to 32 of a-z, 0-9 and -", repr(name))

    def _open(self, *path: str) -> Section:
        return Section(self._source, path, self._problems)
