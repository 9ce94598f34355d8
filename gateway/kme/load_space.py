"""Reader of a satellite link's configuration: orbit, stations, clouds.

The file of orbital elements is named here and opened when the model is made.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from gateway.config.problems import Problems, Source, show
from gateway.config.section import Section
from gateway.config.values import (
    BadValueError,
    many,
    number,
    parse_text,
    parse_time,
    path_beside,
)
from gateway.kme.space_figures import MAX_OVERCAST_DAYS, PAIRS, SHIPPED_STATIONS
from gateway.kme.space_settings import (
    DEFAULT_CLEAR,
    OvercastSettings,
    SpaceSettings,
    StationSettings,
)

T = TypeVar("T")

MAX_NAME: Final = 32
"""Characters of a station's name: a link's description, which goes to the other KME,
has up to four of them (`gateway.kme.peer_messages.MAX_TEXT`)."""

_PAIR: Final = 2
_OVERCAST: Final = ("station", "from", "after_days", "days")


def read_space(
    link: Section, preset: str | None, source: Source, problems: Problems
) -> SpaceSettings:
    """Read the keys of ``[link]`` that only a satellite has, and ``[stations]``."""
    beside = path_beside(source.file)
    own = _read_stations(source, problems)
    tle = link.optional("tle", beside, None)
    satellite = link.optional("satellite", parse_text, None)
    wanted = link.optional("stations", many(_parse_name), None)
    overcast = link.optional("overcast", many(_parse_overcast), ())
    stations: tuple[str, str] | None = None
    if wanted is not None:
        stations = _pair(link, wanted, sorted({*own, *SHIPPED_STATIONS}))
    if tle is None and satellite is not None:
        link.refuse("satellite", "no such key without tle", show(satellite))
    if tle is not None and "altitude_km" in link:
        link.refuse("altitude_km", "no such key with tle, which has it", "one")
    if wanted is not None and "preset" in link:
        link.refuse("stations", "either preset or stations", "both")
    if stations is None and wanted is None and "stations" not in link:
        stations = PAIRS[preset or next(iter(PAIRS))]
    if stations is not None:
        _check_overcast(link, overcast, stations, problems)
    space = None if wanted is None else stations
    return SpaceSettings(tle, satellite, space, own, overcast)


def refuse_stations(source: Source, problems: Problems) -> None:
    """Refuse ``[stations]`` where the link is no satellite's."""
    tables = Section(source, ("stations",), problems)
    if tables.names():
        tables.refuse("", 'no stations unless the link\'s model is "satellite"', "some")


def _read_stations(source: Source, problems: Problems) -> dict[str, StationSettings]:
    tables = Section(source, ("stations",), problems)
    found = {}
    for name in tables.names():
        section = Section(source, ("stations", name), problems)
        try:
            _parse_name(name)
        except BadValueError as error:
            tables.refuse(name, error.expected, show(name))
        latitude = section.required("latitude", number(-90, 90, "degrees"), "49.7")
        longitude = section.required("longitude", number(-180, 180, "degrees"), "6.3")
        station = StationSettings(
            latitude or 0.0,
            longitude or 0.0,
            section.optional("altitude", number(-500, 9000, "metres"), 0.0),
            section.optional(
                "clear_probability", number(0, 1, "probability"), DEFAULT_CLEAR
            ),
        )
        section.close()
        found[name] = station
    return found


def _pair(
    link: Section, wanted: tuple[str, ...], known: list[str]
) -> tuple[str, str] | None:
    """Take two different stations that are known."""
    if len(wanted) != _PAIR:
        link.refuse("stations", "two stations", f"{len(wanted)}")
        return None
    unknown = [name for name in wanted if name not in known]
    if unknown:
        link.refuse(
            "stations",
            f"stations with a table [stations.NAME], or of {', '.join(known)}",
            ", ".join(show(name) for name in unknown),
        )
        return None
    return wanted[0], wanted[1]


def _check_overcast(
    link: Section,
    overcast: tuple[OvercastSettings, ...],
    stations: tuple[str, str],
    problems: Problems,
) -> None:
    """Refuse clouds over a station that this link does not have."""
    for index, cloud in enumerate(overcast):
        if cloud.station not in stations:
            problems.add(
                link.source,
                (*link.path, "overcast", index),
                f"station = one of the link's: {', '.join(stations)}",
                f"station = {show(cloud.station)}",
            )


def _parse_name(value: object) -> str:
    text = parse_text(value)
    if len(text) > MAX_NAME:
        raise BadValueError(f"a name of 1 to {MAX_NAME} characters")
    return text


def _parse_overcast(value: object) -> OvercastSettings:
    """Read one ``[[link.overcast]]``, or one inline table."""
    if not isinstance(value, Mapping):
        raise BadValueError("a table with station, days, and from or after_days")
    unknown = sorted(value.keys() - set(_OVERCAST))
    if unknown:
        raise BadValueError(f"only {', '.join(_OVERCAST)}", show(unknown[0]))
    if ("from" in value) == ("after_days" in value):
        found = "both" if "from" in value else "neither"
        raise BadValueError("either from or after_days", found)
    days = number(0, MAX_OVERCAST_DAYS, "days")
    return OvercastSettings(
        _member(value, "station", _parse_name),
        _member(value, "days", days),
        _member(value, "from", parse_time) if "from" in value else None,
        _member(value, "after_days", days) if "after_days" in value else None,
    )


def _member(table: Mapping[str, object], name: str, parse: Callable[[object], T]) -> T:
    if name not in table:
        raise BadValueError(f"{name} as well", "none")
    try:
        return parse(table[name])
    except BadValueError as error:
        expected = error.expected
    raise BadValueError(f"{name} = {expected}", f"{name} = {show(table[name])}")
