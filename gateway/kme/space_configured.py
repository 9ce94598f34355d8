"""A satellite link from the figures that an operator wrote."""

from collections.abc import Mapping
from typing import Final

from gateway.errors import OrbitError, QuantumLinkError
from gateway.kme.space_figures import PAIRS
from gateway.kme.space_link import SatelliteLink
from gateway.space.key import LEAST_BITS, MOST_BITS, KeyModel
from gateway.space.orbit import SYNTHETIC_ALTITUDE, synthetic_orbit
from gateway.space.passes import MIN_ELEVATION
from gateway.space.stations import STATIONS
from gateway.space.weather import Weather

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


def satellite_link(figures: Mapping[str, float | str], now: float) -> SatelliteLink:
    """Make a link with the shipped orbit.

    Args:
        figures: Those of `DEFAULTS` that differ, and ``preset``, a name of `PAIRS`.
        now: UTC seconds since 1970, where ``start`` is not given.

    Raises:
        QuantumLinkError: A figure is unknown, no number, or out of range.
    """
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
    first, second = PAIRS[pair]
    try:
        return SatelliteLink(
            synthetic_orbit(altitude=numbers["altitude_km"]),
            (STATIONS[first], STATIONS[second]),
            Weather(repr(numbers["weather_seed"]).encode()),
            numbers["start"] or now,
            model=KeyModel(
                numbers["least_bits"], numbers["most_bits"], numbers["min_elevation"]
            ),
            sun_below=-numbers["sun_depression"],
            time_scale=numbers["time_scale"],
        )
    except OrbitError as error:
        raise QuantumLinkError(error.message, error.hint) from None
