"""The result of a forecast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.planner.model import Link, Plan, PlannedTunnel
from gateway.planner.space.times import DAY, Floats
from gateway.planner.supply import PlannedPass

QUANTILES: Final = (0.05, 0.25, 0.50, 0.75, 0.95)
"""Of the stock: in 90 weathers of 100 it is between the first and the last."""


@dataclass(frozen=True, slots=True)
class LinkForecast:
    """How one link's stock goes. Amounts are keys.

    Attributes:
        link: The link.
        tunnels: Names of those that draw on it.
        demand: Keys a second that they take.
        supply: Keys a second that come, on average over span and weathers.
        margin: How far the stock can be from its forecast, either way.
        passes: That serve it, in the order of their end.
        bands: Stock at `Forecast.times`, by each of `QUANTILES`.
        next_delivery: When keys come next, seconds after the start: in half of the
            weathers by then, and with the plan's probability; inf for not in time.
            0 where they come all the time.
        dry: When less than the margin is left, seconds after the start: in half of the
            weathers by then, and in as many as the plan's probability leaves; inf for
            not in the span.
    """

    link: Link
    tunnels: tuple[str, ...]
    demand: float
    supply: float
    margin: int
    passes: tuple[PlannedPass, ...]
    bands: Mapping[float, Floats]
    next_delivery: tuple[float, float]
    dry: tuple[float, float]

    @property
    def margin_seconds(self) -> float:
        """How long the tunnels live on the margin."""
        return self.margin / self.demand if self.demand else 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """What would make a tunnel hold.

    Attributes:
        every: With `qkd_every` this; None if no number helps.
        interval: Or with this interval, seconds; None if none that is allowed helps.
        together: Tunnels that must follow their advice, too: they share links.
    """

    every: int | None
    interval: int | None
    together: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TunnelForecast:
    """Whether one tunnel's schedule holds.

    Attributes:
        tunnel: The tunnel.
        until_next: Probability that it holds until each of its links has had its next
            delivery.
        until_end: The same, to the end of the span.
        at_most: No less likely than it fails beyond the margin: what `until_end`
            would be if the stocks were as far over their forecast as they can.
        median: When a key lacks, seconds after the start, in the middle weather; inf
            for not in the span.
        early: The same in one of the bad weathers, of which there are as many as the
            plan's probability leaves.
        advice: None if it holds.
    """

    tunnel: PlannedTunnel
    until_next: float
    until_end: float
    at_most: float
    median: float
    early: float
    advice: Advice | None

    @property
    def holds(self) -> bool:
        """Whether it holds with the probability asked for."""
        return self.advice is None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The coming days.

    Attributes:
        plan: What it was made from.
        times: Seconds after the start at which stocks are given, ascending.
        links: By name.
        tunnels: By name.
    """

    plan: Plan
    times: Floats
    links: Mapping[str, LinkForecast]
    tunnels: Mapping[str, TunnelForecast]

    @property
    def sampling_error(self) -> float:
        """How far the probability asked for can be off, being drawn: 95 % of cases."""
        asked = self.plan.probability
        return float(1.96 * (asked * (1.0 - asked) / self.plan.draws) ** 0.5)

    @property
    def days(self) -> float:
        """Length of the span."""
        return self.plan.span / DAY
