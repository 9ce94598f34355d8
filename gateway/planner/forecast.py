"""Forecasts: passes, weathers, stocks, and their meaning for the tunnels."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from gateway.planner.advice import advise
from gateway.planner.model import Link, Plan, PlannedTunnel, SpaceLink
from gateway.planner.result import (
    QUANTILES,
    Advice,
    Forecast,
    LinkForecast,
    TunnelForecast,
)
from gateway.planner.skies import Bools, Skies
from gateway.planner.space.times import Floats
from gateway.planner.stock import PlannedStock
from gateway.planner.supply import (
    PlannedPass,
    PlannedSupply,
    predict_passes,
    space_supply,
)

STEPS: Final = 120
"""Of a stock over time: six hours in a month."""


def make_forecast(plan: Plan) -> Forecast:
    """Say how the stocks go, and whether the tunnels' schedules hold.

    Raises:
        OrbitError: A satellite's elements lead to no orbit, or not at that time.
    """
    passes = predict_passes(plan)
    stocks = make_stocks(plan, passes, Skies(plan.draws, plan.seed))
    times = np.linspace(0.0, plan.span, STEPS + 1)
    holding = {name: _holds(plan, each, stocks) for name, each in plan.tunnels.items()}
    failing = [
        plan.tunnels[name]
        for name, held in holding.items()
        if held.mean() < plan.probability
    ]
    advice = advise(plan, stocks, failing)
    return Forecast(
        plan,
        times,
        {
            name: _link(plan, link, stocks[name], passes.get(name, ()), times)
            for name, link in plan.links.items()
        },
        {
            name: _tunnel(plan, each, stocks, float(holding[name].mean()), advice)
            for name, each in plan.tunnels.items()
        },
    )


def make_stocks(
    plan: Plan, passes: Mapping[str, Sequence[PlannedPass]], skies: Skies
) -> dict[str, PlannedStock]:
    """Return every link's stock in every weather.

    Args:
        plan: The plan.
        passes: By link.
        skies: The weathers, as many as the plan draws.
    """
    return {
        name: PlannedStock(
            _supply(plan, link, passes.get(name, ()), skies),
            link.stock,
            link.capacity,
            plan.margin(name),
            plan.span,
        )
        for name, link in plan.links.items()
    }


def _supply(
    plan: Plan, link: Link, passes: Sequence[PlannedPass], skies: Skies
) -> PlannedSupply:
    if isinstance(link, SpaceLink):
        return space_supply(plan, link, passes, skies)
    return PlannedSupply(np.zeros(0), np.zeros((0, 1)), link.inflow)


def demand(plan: Plan, link: str) -> float:
    """Return the keys a second that a link's tunnels take."""
    return math.fsum(each.demand for each in plan.users(link))


def _holds(
    plan: Plan, tunnel: PlannedTunnel, stocks: Mapping[str, PlannedStock]
) -> Bools:
    held: Bools = np.ones(plan.draws, dtype=np.bool_)
    if tunnel.demand:
        for name in tunnel.links:
            held = held & stocks[name].holds(demand(plan, name))
    return held


def _link(
    plan: Plan,
    link: Link,
    stock: PlannedStock,
    passes: Sequence[PlannedPass],
    times: Floats,
) -> LinkForecast:
    wanted = demand(plan, link.name)
    course = np.sort(stock.course(wanted, times), axis=1)
    draws = course.shape[1]
    gains = stock.supply.gains
    came = float(gains.sum() / gains.shape[1]) / plan.span
    first = np.zeros(1) if stock.supply.inflow else stock.supply.first()
    asked = plan.probability
    return LinkForecast(
        link=link,
        tunnels=tuple(each.name for each in plan.users(link.name)),
        demand=wanted,
        supply=came + stock.supply.inflow,
        margin=plan.margin(link.name),
        passes=tuple(passes),
        bands={each: course[:, _place(each, draws)] for each in QUANTILES},
        next_delivery=_pick(first, 0.5, asked),
        dry=_pick(stock.falls_below(wanted, stock.margin), 0.5, 1.0 - asked),
    )


def _tunnel(
    plan: Plan,
    tunnel: PlannedTunnel,
    stocks: Mapping[str, PlannedStock],
    until_end: float,
    advice: Mapping[str, Advice],
) -> TunnelForecast:
    never = np.full(plan.draws, np.inf)
    lacks, surely_lacks = never, never
    is_over_gap: Bools = np.ones(plan.draws, dtype=np.bool_)
    for name in tunnel.links if tunnel.demand else ():
        stock, wanted = stocks[name], demand(plan, name)
        falls = stock.falls_below(wanted, stock.margin)
        lacks = np.minimum(lacks, falls)
        surely_lacks = np.minimum(
            surely_lacks, stock.falls_below(wanted, -stock.margin)
        )
        is_over_gap = is_over_gap & (falls >= _gap(plan, stock.supply))
    median, early = _pick(lacks, 0.5, 1.0 - plan.probability)
    return TunnelForecast(
        tunnel=tunnel,
        until_next=float(is_over_gap.mean()),
        until_end=until_end,
        at_most=float(np.isinf(surely_lacks).mean()),
        median=median,
        early=early,
        advice=advice.get(tunnel.name),
    )


def _gap(plan: Plan, supply: PlannedSupply) -> Floats:
    """Return how long a stock must last until it is filled again, in each draw.

    One that is filled all the time, or not at all, must last to the end.
    """
    return np.minimum(supply.first(), plan.span)


def _pick(times: Floats, one: float, other: float) -> tuple[float, float]:
    """Return two quantiles of times."""
    ordered, count = np.sort(times), len(times)
    return float(ordered[_place(one, count)]), float(ordered[_place(other, count)])


def _place(quantile: float, count: int) -> int:
    """Return which of so many ordered draws a quantile is."""
    return min(int(quantile * count), count - 1)
