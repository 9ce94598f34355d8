"""A plan: links that bring keys, tunnels that use them, and the span looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.model import QKDPolicy
from gateway.planner.space.key import KeyModel
from gateway.planner.space.orbit import Orbit
from gateway.planner.space.stations import Station
from gateway.planner.space.times import DAY
from gateway.planner.space.weather import Overcast

KEY_BITS: Final = 256
"""Bits of a key, and of a pad (docs/adr/0170)."""

BATCH_PADS: Final = 2
"""Pads of a relayed batch beside one for each key; a test holds it against the relay's
own figure, which is in a layer that this one does not see."""


@dataclass(frozen=True, slots=True)
class RateLink:
    """A link that gives key all the time, such as a fibre.

    Attributes:
        name: The link's name.
        stock: Keys at the start.
        capacity: Keys that the stock holds at most.
        rate: Secret bits a second.
    """

    name: str
    stock: int
    capacity: int
    rate: float

    @property
    def inflow(self) -> float:
        """Keys a second."""
        return self.rate / KEY_BITS


@dataclass(frozen=True, slots=True)
class SpaceLink:
    """A link that a trusted satellite serves.

    Attributes:
        name: The link's name.
        stock: Keys at the start.
        capacity: Keys that the stock holds at most.
        satellite: What the plan calls the satellite; links that name the same one
            share its passes.
        orbit: Of the satellite.
        stations: The two.
        model: Bits of a clear pass, and the least elevation.
        sun_below: Only passes with the sun lower than this, degrees; None for all.
    """

    name: str
    stock: int
    capacity: int
    satellite: str
    orbit: Orbit
    stations: tuple[Station, Station]
    model: KeyModel
    sun_below: float | None

    @property
    def inflow(self) -> float:
        """Keys a second between passes: none."""
        return 0.0


Link = RateLink | SpaceLink


@dataclass(frozen=True, slots=True)
class PlannedTunnel:
    """What uses keys.

    Attributes:
        name: The tunnel's name.
        links: The link that it draws on; several are the hops of a relayed route.
        interval: Seconds between epochs.
        every: A QKD key goes into every so manieth epoch; the chain carries it on.
        qkd: The policy; off uses none.
        batch: Keys relayed at once, where there are several hops.
    """

    name: str
    links: tuple[str, ...]
    interval: float
    every: int = 1
    qkd: QKDPolicy = QKDPolicy.REQUIRED
    batch: int = 64

    @property
    def is_relayed(self) -> bool:
        """Whether its keys come over trusted nodes."""
        return len(self.links) > 1

    @property
    def lump(self) -> int:
        """Keys that it takes from each hop at once."""
        if self.qkd is QKDPolicy.OFF:
            return 0
        return self.batch + BATCH_PADS if self.is_relayed else 1

    @property
    def demand(self) -> float:
        """Keys a second that it takes from each hop, pads of the relay included."""
        if self.qkd is QKDPolicy.OFF:
            return 0.0
        per_key = self.lump / self.batch if self.is_relayed else 1.0
        return per_key / (self.interval * self.every)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a forecast is made from.

    Attributes:
        file: Where it was read.
        links: By name.
        tunnels: By name.
        start: First moment, UTC seconds since 1970.
        days: Length of the span.
        probability: With which a schedule should hold.
        draws: Weathers that are drawn.
        seed: Of the draws.
        overcast: When the sky is not left to chance.
    """

    file: Path
    links: Mapping[str, Link]
    tunnels: Mapping[str, PlannedTunnel]
    start: float
    days: int
    probability: float
    draws: int
    seed: int
    overcast: tuple[Overcast, ...] = ()

    @property
    def span(self) -> float:
        """Seconds."""
        return self.days * DAY

    @property
    def end(self) -> float:
        """Last moment, UTC seconds since 1970."""
        return self.start + self.span

    def users(self, link: str) -> tuple[PlannedTunnel, ...]:
        """Return the tunnels that draw on a link."""
        return tuple(each for each in self.tunnels.values() if link in each.links)

    def margin(self, link: str) -> int:
        """Return how far a stock in keys can be from its forecast, either way.

        The forecast lets keys flow; really each tunnel takes its lump at its moment,
        and asks in vain when less than that is there. One key is for rounding.
        """
        lumps = [each.lump for each in self.users(link)]
        return sum(lumps) + max(lumps, default=0) + 1
