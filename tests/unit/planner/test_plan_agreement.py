"""The forecast agrees with what happens: 20 seeds, its stated margin and rate."""

import dataclasses
import functools
import math

import numpy as np
import pytest

from gateway.planner.forecast import demand, make_forecast, make_stocks
from gateway.planner.model import BATCH_PADS, Plan, SpaceLink
from gateway.planner.skies import Bools, Skies
from gateway.planner.space.stations import Station
from gateway.planner.space.weather import Overcast, Weather
from gateway.planner.supply import predict_passes
from gateway.relay.hop import PADS_OF_MESSAGE
from tests.unit.planner.examples import example
from tests.unit.planner.replay import Outcome, replay

SEEDS = 20
DAYS = 14
TIMES = tuple(float(day * 86_400) for day in range(1, DAYS))

LEAST_INSIDE = 14
"""Of 20 that are each inside with 90 %: fewer happen once in 90 times."""


class SeededSkies(Skies):
    """The weathers of the replays, for a forecast under exactly these."""

    def __init__(self) -> None:
        super().__init__(SEEDS, 0)

    def clear(self, station: Station, night: int) -> Bools:
        draws = [each.draw(station, night) for each in weathers(PLANS["wasteful"])]
        return np.array(draws) < station.clear_probability


def thrifty(plan: Plan) -> Plan:
    """Change the plan: half the demand, and less in stock."""
    tunnels = {
        name: dataclasses.replace(each, every=2) for name, each in plan.tunnels.items()
    }
    links = dict(plan.links)
    links["satellite"] = dataclasses.replace(links["satellite"], stock=4_500)
    return dataclasses.replace(plan, tunnels=tunnels, links=links)


def clouded(plan: Plan) -> Plan:
    """Change the plan: Luxembourg sees nothing for five days."""
    begin = plan.start + 2 * 86_400
    cloud = Overcast("Luxembourg", begin, begin + 5 * 86_400)
    return dataclasses.replace(plan, overcast=(cloud,))


PLANS = {
    "wasteful": example(DAYS),
    "thrifty": thrifty(example(DAYS)),
    "clouded": clouded(thrifty(example(DAYS))),
}


def weathers(plan: Plan) -> list[Weather]:
    """Return the replays' weathers, clouds that were foretold included."""
    return [Weather(b"agreement %d" % seed, plan.overcast) for seed in range(SEEDS)]


@functools.cache
def outcomes(name: str) -> list[Outcome]:
    plan = PLANS[name]
    return [replay(plan, each, TIMES) for each in weathers(plan)]


def clearer(plan: Plan, probability: float) -> Plan:
    """Change the odds of clear nights."""
    links = {}
    for name, each in plan.links.items():
        links[name] = each
        if isinstance(each, SpaceLink):
            first, second = (
                dataclasses.replace(one, clear_probability=probability)
                for one in each.stations
            )
            links[name] = dataclasses.replace(each, stations=(first, second))
    return dataclasses.replace(plan, links=links)


def inside_band(plan: Plan, name: str) -> dict[str, list[int]]:
    """Count the seeds whose stock is within band and margin, by link and day."""
    forecast = make_forecast(plan)
    counts = {}
    for link, each in forecast.links.items():
        low, high = each.bands[0.05], each.bands[0.95]
        counts[link] = [
            sum(
                bool(
                    np.interp(time, forecast.times, low) - each.margin
                    <= one.stocks[link][place]
                    <= np.interp(time, forecast.times, high) + each.margin
                )
                for one in outcomes(name)
            )
            for place, time in enumerate(TIMES)
        ]
    return counts


def test_a_batch_costs_what_the_relay_takes() -> None:
    assert BATCH_PADS == PADS_OF_MESSAGE


@pytest.mark.parametrize("name", PLANS)
def test_each_weather_goes_as_forecast_within_the_margin(name: str) -> None:
    """Stock and time of the first lack, under the replays' own weathers."""
    plan = dataclasses.replace(PLANS[name], draws=SEEDS)
    stocks = make_stocks(plan, predict_passes(plan), SeededSkies())
    grid = np.array(TIMES)
    for link, stock in stocks.items():
        margin = plan.margin(link)
        course = stock.course(demand(plan, link), grid)
        for seed, one in enumerate(outcomes(name)):
            column = course[:, seed if course.shape[1] > 1 else 0]
            assert np.abs(column - one.stocks[link]).max() <= margin
    for tunnel in plan.tunnels.values():
        falls, sinks = (
            np.min(
                [
                    np.broadcast_to(
                        stocks[link].falls_below(
                            demand(plan, link), sign * plan.margin(link)
                        ),
                        SEEDS,
                    )
                    for link in tunnel.links
                ],
                axis=0,
            )
            for sign in (1, -1)
        )
        lacks = [one.first_lack[tunnel.name] for one in outcomes(name)]
        assert (falls <= lacks).all()
        # Not in the span: beyond its end it was not looked at.
        assert (np.array(lacks) <= sinks).all()


@pytest.mark.parametrize("name", PLANS)
def test_outcomes_lie_in_the_band_at_the_stated_rate(name: str) -> None:
    counts = inside_band(PLANS[name], name)
    assert min(min(each) for each in counts.values()) >= LEAST_INSIDE
    mean = np.mean(list(counts.values())) / SEEDS
    assert mean >= 0.9


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_with_wrong_odds_they_do_not(probability: float) -> None:
    counts = inside_band(clearer(PLANS["thrifty"], probability), "thrifty")
    assert min(counts["satellite"]) < LEAST_INSIDE
    assert min(counts["fibre"]) == SEEDS


@pytest.mark.parametrize("name", PLANS)
def test_verdicts_agree_with_what_happens(name: str) -> None:
    forecast = make_forecast(PLANS[name])
    for tunnel, each in forecast.tunnels.items():
        held = sum(math.isinf(one.first_lack[tunnel]) for one in outcomes(name))
        low, high = each.until_end, each.at_most
        assert low <= high <= low + 0.05
        # Three standard deviations of a count of 20.
        spare = 3.0 * math.sqrt(SEEDS * low * (1.0 - low))
        assert low * SEEDS - spare <= held <= high * SEEDS + spare
        assert each.holds == (low >= 0.95)


def test_advice_makes_it_hold_in_replays() -> None:
    """What is advised is done, and then 19 of 20 should hold, and do nearly so."""
    plan = PLANS["wasteful"]
    forecast = make_forecast(plan)
    tunnels = {
        name: dataclasses.replace(each.tunnel, every=each.advice.every)
        if each.advice is not None and each.advice.every is not None
        else each.tunnel
        for name, each in forecast.tunnels.items()
    }
    assert tunnels != plan.tunnels
    changed = dataclasses.replace(plan, tunnels=tunnels)
    assert all(each.holds for each in make_forecast(changed).tunnels.values())
    held = [
        all(math.isinf(lack) for lack in replay(changed, each, ()).first_lack.values())
        for each in weathers(plan)
    ]
    # With 95 % each, fewer happen once in 400 times.
    assert sum(held) >= 16
