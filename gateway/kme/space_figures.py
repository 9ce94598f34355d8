"""Names of a satellite link's figures; loads no sgp4, so who has none can do."""

from collections.abc import Mapping
from typing import Final

PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "luxembourg-singapore": ("luxembourg", "singapore"),
    "redu-singapore": ("redu", "singapore"),
    "redu-luxembourg": ("redu", "luxembourg"),
}
"""Names of `gateway.planner.space.stations.STATIONS` by that of a preset; the first one
is the default."""

SHIPPED_STATIONS: Final = ("luxembourg", "redu", "singapore")
"""Those names; an operator may add others, and put others in their place."""

MAX_OVERCAST_DAYS: Final = 3_650.0
"""Simulated days of cloud, or until they come: as long as the shipped orbit flies."""

FIGURES: Final = frozenset(
    {
        "altitude_km",
        "min_elevation",
        "least_bits",
        "most_bits",
        "sun_depression",
        "time_scale",
        "weather_seed",
        "start",
    }
)
"""Numbers that a configuration may give."""
