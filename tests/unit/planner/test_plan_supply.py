"""Keys that passes bring: what the trusted satellite and the simulated KMEs count."""

import dataclasses

import numpy as np
import pytest

from gateway.kme.space_configured import satellite_link
from gateway.planner.model import Plan, SpaceLink
from gateway.planner.skies import Bools, Skies
from gateway.planner.space.stations import LUXEMBOURG, REDU, SINGAPORE, Station
from gateway.planner.space.trusted import deliveries
from gateway.planner.space.weather import Weather
from gateway.planner.supply import PlannedSupply, predict_passes, space_supply
from tests.unit.planner.examples import START, example

SEED = b"4.0"
"""What the KME makes of ``weather_seed = 4``."""


class OneSky(Skies):
    """The weather of a simulated KME."""

    def __init__(self) -> None:
        super().__init__(1, 0)
        self._weather = Weather(SEED)

    def clear(self, station: Station, night: int) -> Bools:
        drawn = self._weather.draw(station, night)
        return np.array([drawn < station.clear_probability])


def under_one_sky(plan: Plan) -> tuple[SpaceLink, PlannedSupply]:
    plan = dataclasses.replace(plan, draws=1)
    link = plan.links["satellite"]
    assert isinstance(link, SpaceLink)
    passes = predict_passes(plan)[link.name]
    return link, space_supply(plan, link, passes, OneSky())


def test_gains_are_the_trusted_satellites_deliveries() -> None:
    plan = example(60)
    link, supply = under_one_sky(plan)
    flights = [each.flight for each in predict_passes(plan)[link.name]]
    first, second = (
        [each for each in flights if each.station == station]
        for station in link.stations
    )
    total, expected = 0, []
    for each in deliveries(first, second, Weather(SEED), link.model):
        keys = (total + each.bits) // 256 - total // 256
        total += each.bits
        expected.append((each.time - START, keys))
    came = supply.gains[:, 0] > 0
    got = list(zip(supply.times[came], supply.gains[came, 0], strict=True))
    assert got == expected
    assert len(got) > 5
    assert supply.first()[0] == expected[0][0]


def test_gains_are_what_a_simulated_kme_gives() -> None:
    link = satellite_link({"time_scale": 86_400.0, "weather_seed": 4.0}, START)
    # From START on, a day a second; 40 days and a little more.
    bits = sum(
        block.secret_bits
        for tick in range(161)
        for block in link.blocks_due(1000.0 + tick / 4)
    )
    _, supply = under_one_sky(example(40))
    assert bits > 0
    assert supply.gains.sum() == pytest.approx(bits / 256, abs=1.0)


def test_a_pass_is_shared_by_the_links_that_use_it() -> None:
    plan = example(10)
    one = plan.links["satellite"]
    assert isinstance(one, SpaceLink)
    two = dataclasses.replace(one, name="two", stations=(REDU, SINGAPORE))
    alone = predict_passes(plan)["satellite"]
    shared = predict_passes(dataclasses.replace(plan, links={"a": one, "two": two}))
    of_one = shared["satellite"]
    assert len(of_one) == len(alone)
    for mine, whole in zip(of_one, alone, strict=True):
        assert mine.flight == whole.flight
        divisor = 2 if mine.flight.station == SINGAPORE else 1
        assert mine.bits == whole.bits // divisor
    # Another satellite has passes of its own.
    other = dataclasses.replace(two, satellite="second")
    apart = predict_passes(dataclasses.replace(plan, links={"a": one, "two": other}))
    assert apart["satellite"] == alone


def test_a_pass_that_ends_later_is_not_counted() -> None:
    plan = example(10)
    each = predict_passes(plan)["satellite"][0].flight
    cut = dataclasses.replace(plan, start=each.peak - 864_000.0)
    ends = [one.flight.set for one in predict_passes(cut)["satellite"]]
    assert max(ends) < cut.end
    assert each.set - cut.end > 0


def test_a_night_is_one_draw_whatever_the_span() -> None:
    skies, again = Skies(1000, 7), Skies(1000, 7)
    night = LUXEMBOURG.night_of(START)
    again.clear(LUXEMBOURG, night + 1)
    assert (skies.clear(LUXEMBOURG, night) == again.clear(LUXEMBOURG, night)).all()
    for station, number, seed in (
        (SINGAPORE, night, 7),
        (LUXEMBOURG, night + 1, 7),
        (LUXEMBOURG, night, 8),
    ):
        other = Skies(1000, seed).clear(station, number)
        assert (skies.clear(LUXEMBOURG, night) != other).any()


def test_skies_are_as_clear_as_they_should_be() -> None:
    for probability in (0.0, 0.35, 1.0):
        station = dataclasses.replace(LUXEMBOURG, clear_probability=probability)
        skies = Skies(2000, 0)
        share = np.mean([skies.clear(station, night).mean() for night in range(50)])
        # 100,000 draws: four standard deviations are 0.6 %.
        assert share == pytest.approx(probability, abs=0.006 * (0 < probability < 1))


def test_skies_of_two_stations_are_independent() -> None:
    skies = Skies(20_000, 0)
    both = skies.clear(LUXEMBOURG, 5) & skies.clear(SINGAPORE, 5)
    assert both.mean() == pytest.approx(0.35 * 0.30, abs=0.01)
