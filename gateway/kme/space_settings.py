"""The operator's settings of a satellite link, beside its figures.

Plain values: nothing here loads sgp4 or numpy, so that bob, who runs no model, needs
neither. Paths are absolute, and nothing has been opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_CLEAR: Final = 0.4
"""That a night's sky is clear, where the operator says nothing: an assumption."""


@dataclass(frozen=True, slots=True)
class StationSettings:
    """A station of the operator's own.

    Attributes:
        latitude: Geodetic, WGS84, degrees, north positive.
        longitude: Degrees, east positive.
        altitude: Metres over the ellipsoid.
        clear_probability: That the sky of a night lets the link work, 0 to 1.
    """

    latitude: float
    longitude: float
    altitude: float = 0.0
    clear_probability: float = DEFAULT_CLEAR


@dataclass(frozen=True, slots=True)
class OvercastSettings:
    """A time without any clear sky over a station.

    Attributes:
        station: Its name in the configuration.
        days: How long, simulated days.
        begin: When it begins, UTC seconds since 1970; None with `after_days`.
        after_days: Simulated days after the simulation's start; None with `begin`.
    """

    station: str
    days: float
    begin: float | None = None
    after_days: float | None = None


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """A satellite link's orbit, ground and weather.

    Attributes:
        tle: File with the orbit's elements, or None for the shipped one.
        satellite: Its name in the file; None if the file has only one.
        stations: Names of the two stations, or None for those of the preset.
        own_stations: The operator's own, by name; shipped ones of that name give way.
        overcast: When the sky is not left to chance.
    """

    tle: Path | None = None
    satellite: str | None = None
    stations: tuple[str, str] | None = None
    own_stations: Mapping[str, StationSettings] = field(default_factory=dict)
    overcast: tuple[OvercastSettings, ...] = ()
