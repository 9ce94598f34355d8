"""The yield of passes: which there are, and the keys of each in every weather."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.planner.model import KEY_BITS, Plan, SpaceLink
from gateway.planner.skies import Skies
from gateway.planner.space.passes import SatellitePass, passes_over
from gateway.planner.space.times import Floats


@dataclass(frozen=True, slots=True)
class PlannedPass:
    """A pass, and what it can give to one link.

    Attributes:
        link: The link.
        satellite: What the plan calls the satellite.
        flight: When, where and how high.
        bits: Secret bits for this link if the sky is clear.
        probability: That it is.
    """

    link: str
    satellite: str
    flight: SatellitePass
    bits: int
    probability: float

    @property
    def expected_bits(self) -> float:
        """Bits times probability; the other station must have its share, too."""
        return self.bits * self.probability


@dataclass(frozen=True, slots=True)
class PlannedSupply:
    """What comes into one stock.

    Attributes:
        times: When keys can come, seconds after the start, ascending, shape (m,).
        gains: Keys that come then, shape (m, draws), or (0, 1) where no weather
            matters.
        inflow: Keys a second all the time.
    """

    times: Floats
    gains: Floats
    inflow: float

    def first(self) -> Floats:
        """Return when the first keys come in each draw, inf for not at all."""
        if not self.times.size:
            return np.full(self.gains.shape[1], np.inf)
        came = self.gains > 0.0
        return np.where(came.any(axis=0), self.times[came.argmax(axis=0)], np.inf)


def predict_passes(plan: Plan) -> dict[str, list[PlannedPass]]:
    """Return the passes that end within the span, by link, in the order of their end.

    A pass of one satellite over one station is shared equally by the plan's links
    that use it: no bit is promised twice.

    Raises:
        OrbitError: The elements lead to no orbit, or not at that time.
    """
    links = [each for each in plan.links.values() if isinstance(each, SpaceLink)]
    sharers = Counter(
        (link.satellite, station.name) for link in links for station in link.stations
    )
    together: dict[tuple[str, float, float | None], list[SpaceLink]] = defaultdict(list)
    for link in links:
        key = (link.satellite, link.model.min_elevation, link.sun_below)
        together[key].append(link)
    found = {}
    for group in together.values():
        flights = _fly(plan, group)
        for link in group:
            planned = [
                PlannedPass(
                    link.name,
                    link.satellite,
                    each,
                    link.model.bits(each) // sharers[link.satellite, station.name],
                    _probability(plan, each),
                )
                for station in link.stations
                for each in flights[station.name]
            ]
            found[link.name] = sorted(planned, key=lambda each: each.flight.set)
    return found


def _fly(plan: Plan, group: Sequence[SpaceLink]) -> Mapping[str, list[SatellitePass]]:
    """Predict for links of one satellite that see it under the same conditions."""
    stations = {station.name: station for link in group for station in link.stations}
    one = group[0]
    flights = passes_over(
        one.orbit,
        stations.values(),
        plan.start,
        plan.end,
        one.model.min_elevation,
        sun_below=one.sun_below,
    )
    # What the end cuts off has given nothing by then.
    return {
        name: [each for each in found if each.set < plan.end]
        for name, found in flights.items()
    }


def _probability(plan: Plan, each: SatellitePass) -> float:
    is_overcast = any(cloud.covers(each) for cloud in plan.overcast)
    return 0.0 if is_overcast else each.station.clear_probability


def space_supply(
    plan: Plan, link: SpaceLink, passes: Sequence[PlannedPass], skies: Skies
) -> PlannedSupply:
    """Return the keys that passes bring, in every weather.

    Usable is the smaller of what both stations have had so far, in whole keys.

    Args:
        plan: The plan.
        link: Whose supply.
        passes: The link's, in the order of their end.
        skies: The weathers.
    """
    usable = []
    totals = {station.name: np.zeros(plan.draws, np.int64) for station in link.stations}
    for each in passes:
        station = each.flight.station
        if each.probability:  # else it is under clouds that were foretold
            clear = skies.clear(station, each.flight.night)
            totals[station.name] = totals[station.name] + each.bits * clear
        usable.append(np.minimum(*totals.values()) // KEY_BITS)
    times = np.array([each.flight.set - plan.start for each in passes])
    if not passes:
        return PlannedSupply(times, np.zeros((0, 1)), 0.0)
    gains = np.diff(
        np.stack(usable), axis=0, prepend=np.zeros((1, plan.draws), np.int64)
    )
    return PlannedSupply(times, gains.astype(np.float64), 0.0)
