"""Forecasts: verdicts, advice, and pictures."""

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from gateway.config.model import MAX_ROTATION_INTERVAL, QKDPolicy
from gateway.planner.forecast import make_forecast
from gateway.planner.model import Plan, PlannedTunnel, RateLink
from gateway.planner.picture import MAX_PANELS, draw_picture
from gateway.planner.result import Forecast
from tests.unit.planner.examples import example

DAYS = 7


def with_tunnels(plan: Plan, *tunnels: PlannedTunnel) -> Plan:
    return dataclasses.replace(plan, tunnels={each.name: each for each in tunnels})


def changed(plan: Plan, link: str, **values: int) -> Plan:
    one = dataclasses.replace(plan.links[link], **values)  # type: ignore[arg-type]  # integers all
    return dataclasses.replace(plan, links={**plan.links, link: one})


def forecast_of(
    *tunnels: PlannedTunnel, stock: int = 3_000, days: int = DAYS
) -> Forecast:
    plan = changed(example(days), "satellite", stock=stock)
    return make_forecast(with_tunnels(plan, *tunnels))


def test_every_hop_pays_for_keys_and_pads() -> None:
    forecast = forecast_of(
        PlannedTunnel("direct", ("fibre",), 60.0, every=2),
        PlannedTunnel("relayed", ("fibre", "satellite"), 120.0, batch=16),
    )
    fibre, space = forecast.links["fibre"], forecast.links["satellite"]
    assert fibre.demand == pytest.approx((1.0 + 18 / 16) / 120.0)
    assert space.demand == pytest.approx(18 / 16 / 120.0)
    assert (fibre.margin, space.margin) == (1 + 18 + 18 + 1, 18 + 18 + 1)
    assert fibre.tunnels == ("direct", "relayed")
    assert space.tunnels == ("relayed",)


def test_a_tunnel_without_qkd_takes_nothing_and_holds() -> None:
    forecast = forecast_of(
        PlannedTunnel("off", ("satellite",), 120.0, qkd=QKDPolicy.OFF)
    )
    assert forecast.links["satellite"].demand == 0.0
    each = forecast.tunnels["off"]
    assert (each.until_next, each.until_end, each.holds) == (1.0, 1.0, True)


def test_nothing_helps_who_begins_with_nothing() -> None:
    each = forecast_of(PlannedTunnel("t", ("satellite",), 120.0), stock=0).tunnels["t"]
    assert (each.until_next, each.until_end, each.median, each.early) == (0, 0, 0, 0)
    assert each.advice is not None
    assert (each.advice.every, each.advice.interval) == (None, None)


def test_advice_is_the_least_that_holds() -> None:
    tunnel = PlannedTunnel("t", ("satellite",), 120.0)
    advice = forecast_of(tunnel, stock=1_500).tunnels["t"].advice
    assert advice is not None
    assert advice.every is not None
    assert advice.interval is not None
    for value, field in ((advice.every, "every"), (advice.interval, "interval")):
        held = [
            forecast_of(
                dataclasses.replace(tunnel, **{field: each}),  # type: ignore[arg-type]  # both numbers
                stock=1_500,
            )
            .tunnels["t"]
            .holds
            # Intervals are sought to a percent of the present one.
            for each in (value - (1 if field == "every" else 2), value)
        ]
        assert held == [False, True]


def test_an_interval_over_the_longest_is_not_advised() -> None:
    slow = PlannedTunnel("t", ("satellite",), MAX_ROTATION_INTERVAL, every=1)
    each = forecast_of(slow, stock=50, days=14).tunnels["t"]
    assert each.advice is not None
    assert each.advice.interval is None
    assert each.advice.every is not None


def test_who_shares_no_link_gets_advice_of_its_own() -> None:
    plan = example(DAYS)
    thin = RateLink("thin", 1_000, 100_000, 1.0)
    plan = dataclasses.replace(plan, links={**plan.links, "thin": thin})
    forecast = make_forecast(
        with_tunnels(
            changed(plan, "satellite", stock=1_500),
            PlannedTunnel("a", ("satellite",), 120.0),
            PlannedTunnel("b", ("thin",), 120.0),
            PlannedTunnel("c", ("fibre", "satellite"), 120.0),
            PlannedTunnel("d", ("fibre",), 120.0),
        )
    )
    found = {name: each.advice for name, each in forecast.tunnels.items()}
    assert found["d"] is None
    assert found["a"] is not None
    assert found["b"] is not None
    assert found["c"] is not None
    assert found["a"].together == ("c",)
    assert found["b"].together == ()
    assert found["a"].every == found["c"].every
    assert found["a"].every != found["b"].every


def test_more_keys_never_make_it_worse() -> None:
    held = [
        forecast_of(PlannedTunnel("t", ("satellite",), 120.0), stock=stock).tunnels["t"]
        for stock in (1_000, 2_000, 4_000, 8_000)
    ]
    ends = [each.until_end for each in held]
    assert ends == sorted(ends)
    assert ends[0] < ends[-1]
    assert all(each.until_end <= each.until_next for each in held)
    assert all(each.until_end <= each.at_most for each in held)
    assert all(each.early <= each.median for each in held)


def test_the_same_plan_is_the_same_forecast() -> None:
    plan = example(14)
    one, other = (make_forecast(plan).tunnels for _ in range(2))
    assert one == other
    luck = make_forecast(dataclasses.replace(plan, seed=1)).tunnels["lux-sin"]
    assert luck.until_end != one["lux-sin"].until_end
    # Each is off by its sampling error, 1.1 %, with one standard deviation.
    assert luck.until_end == pytest.approx(one["lux-sin"].until_end, abs=0.05)


def test_a_picture_says_what_it_shows() -> None:
    forecast = make_forecast(changed(example(14), "satellite", stock=6_000))
    image = draw_picture(forecast, "svg").decode()
    assert image == draw_picture(forecast, "svg").decode()
    # matplotlib writes each text as a comment beside its glyphs.
    texts = re.findall(r"<!-- (.*?) -->", image)
    for text in (
        "UTC",
        "keys",
        "median",
        "5 to 95 % of weathers",
        "pass over Luxembourg",
        "pass over Singapore",
        "if nothing comes",
        "has run dry in 5 %",
        "2000 weathers drawn",
        "2026-11-05",
    ):
        assert text in texts
    assert any(text.startswith("satellite: ") for text in texts)
    ElementTree.fromstring(image)  # noqa: S314  # our own


@pytest.mark.parametrize("days", [1, 2, 3, 4, 5, 8, 9, 20, 60, 200, 366])
def test_every_length_has_some_ticks_at_round_times(days: int) -> None:
    plan = dataclasses.replace(example(days), draws=100)
    rates = {"fibre": plan.links["fibre"]}
    tunnel = PlannedTunnel("t", ("fibre",), 120.0)
    bare = with_tunnels(dataclasses.replace(plan, links=rates), tunnel)
    image = draw_picture(make_forecast(bare), "svg").decode()
    ticks = re.findall(r"<!-- (\d\d:\d\d|\d{4}-\d\d-\d\d) -->", image)
    assert 4 <= len(ticks) <= 10
    assert len(set(ticks)) >= 4 or days < 5


def test_a_picture_of_many_links_shows_those_that_fail() -> None:
    plan = example(2)
    links = {
        f"l{each:02}": RateLink(f"l{each:02}", 1_000, 10_000, 0.0 if each > 27 else 9e3)
        for each in range(30)
    }
    tunnels = [PlannedTunnel(f"t{name}", (name,), 120.0) for name in links]
    forecast = make_forecast(with_tunnels(dataclasses.replace(plan, links=links)))
    assert b"PNG" in draw_picture(forecast, "png")[:8]
    forecast = make_forecast(
        with_tunnels(dataclasses.replace(plan, links=links), *tunnels)
    )
    texts = re.findall(r"<!-- (.*?) -->", draw_picture(forecast, "svg").decode())
    shown = [text[:3] for text in texts if re.match(r"l\d\d: ", text)]
    assert shown[:3] == ["l28", "l29", "l00"]
    assert len(shown) == MAX_PANELS
    assert any(f"{30 - MAX_PANELS} more links not shown" in text for text in texts)
