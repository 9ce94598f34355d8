"""Forecasts on a terminal."""

import math
from datetime import UTC, datetime
from typing import Final

from gateway.cli.text import clean, listing, table
from gateway.planner.model import RateLink
from gateway.planner.result import QUANTILES, Forecast, LinkForecast, TunnelForecast
from gateway.planner.supply import PlannedPass
from gateway.units import duration, plural

MAX_PASSES: Final = 20
"""Passes listed on a terminal; --json lists all."""

_DAY: Final = 86_400.0


def forecast_text(forecast: Forecast) -> str:
    """Return heading, passes, links, tunnels and advice."""
    parts = [_heading(forecast)]
    passes = _pass_table(forecast)
    parts += [passes] if passes else []
    parts += [_link_table(forecast), _tunnel_table(forecast)]
    advice = [
        line
        for each in forecast.tunnels.values()
        if each.advice is not None
        for line in _advice(forecast, each)
    ]
    parts += ["\n".join(advice)] if advice else []
    return "\n\n".join(parts)


def _heading(forecast: Forecast) -> str:
    plan = forecast.plan
    asked = (
        f"{plan.probability:.1%}, good to {forecast.sampling_error:.1%} with "
        f"{plan.draws} weathers"
    )
    return listing(
        "plan",
        str(plan.file),
        [
            ("from", f"{_time(plan.start)} UTC"),
            ("to", f"{_time(plan.end)} UTC, {plural(plan.days, 'day')}"),
            ("asked for", asked),
        ],
    )


def _pass_table(forecast: Forecast) -> str:
    """Return one row a pass, whatever the number of links that it serves."""
    served: dict[tuple[float, str, str], list[str]] = {}
    for link in forecast.links.values():
        for each in link.passes:
            served.setdefault(_key(each), []).append(link.link.name)
    passes = {_key(one): one for link in forecast.links.values() for one in link.passes}
    if not passes:
        return ""
    header = (
        *("RISE", "PEAK", "SET", "STATION", "SATELLITE", "HEIGHT"),
        *("KBIT", "CLEAR", "EXPECTED", "LINKS"),
    )
    cells = [
        (
            _time(each.flight.rise),
            f"{_moment(each.flight.peak):%H:%M:%S}",
            f"{_moment(each.flight.set):%H:%M:%S}",
            each.flight.station.name,
            each.satellite,
            f"{each.flight.max_elevation:.0f} deg",
            f"{each.bits / 1000:.0f}",
            f"{each.probability:.0%}",
            f"{each.expected_bits / 1000:.0f}",
            ",".join(served[key]),
        )
        for key, each in sorted(passes.items())[:MAX_PASSES]
    ]
    text = table(header, cells)
    more = len(passes) - MAX_PASSES
    return f"{text}\n{more} more: see --json" if more > 0 else text


def _key(each: PlannedPass) -> tuple[float, str, str]:
    return each.flight.rise, each.flight.station.name, each.satellite


def _link_table(forecast: Forecast) -> str:
    low, middle, high = QUANTILES[0], QUANTILES[2], QUANTILES[-1]
    header = (
        *("LINK", "KIND", "STOCK", "IN/DAY", "OUT/DAY", "MARGIN", "NEXT KEYS BY"),
        *(f"END {each:.0%}" for each in (low, middle, high)),
    )
    rows = [
        (
            each.link.name,
            "rate" if isinstance(each.link, RateLink) else "satellite",
            str(each.link.stock),
            f"{each.supply * _DAY:.0f}",
            f"{each.demand * _DAY:.0f}",
            _margin(each),
            _next(forecast, each),
            *(f"{each.bands[q][-1]:.0f}" for q in (low, middle, high)),
        )
        for each in forecast.links.values()
    ]
    return table(header, rows)


def _margin(each: LinkForecast) -> str:
    lasts = f" ({duration(each.margin_seconds)})" if each.demand else ""
    return f"{each.margin}{lasts}"


def _next(forecast: Forecast, each: LinkForecast) -> str:
    """Return by when keys come: as likely as not, and as likely as asked for."""
    median, late = each.next_delivery
    if not late:
        return "always"
    return f"{_after(forecast, median)} / {_after(forecast, late)}"


def _tunnel_table(forecast: Forecast) -> str:
    header = (
        *("TUNNEL", "ROUTE", "INTERVAL", "QKD", "VERDICT"),
        *("UNTIL NEXT", "TO END", "KEYS LACK FROM"),
    )
    rows = [
        (
            each.tunnel.name,
            ",".join(each.tunnel.links) or "-",
            duration(each.tunnel.interval),
            _policy(each),
            "holds" if each.holds else "short",
            f"{each.until_next:.1%}",
            f"{each.until_end:.1%}",
            _lack(forecast, each),
        )
        for each in forecast.tunnels.values()
    ]
    return table(header, rows)


def _policy(each: TunnelForecast) -> str:
    tunnel = each.tunnel
    return f"{tunnel.qkd.value}/{tunnel.every}" if tunnel.demand else tunnel.qkd.value


def _lack(forecast: Forecast, each: TunnelForecast) -> str:
    """Return since when, in the middle weather and in a bad one."""
    if math.isinf(each.early):
        return "-"
    return f"{_after(forecast, each.median)} / {_after(forecast, each.early)}"


def _advice(forecast: Forecast, each: TunnelForecast) -> list[str]:
    advice, name = each.advice, clean(each.tunnel.name)
    assert advice is not None  # noqa: S101  # asked by the caller
    ways = []
    if advice.every is not None:
        ways.append(f"qkd_every = {advice.every}")
    if advice.interval is not None:
        ways.append(f"rotation_interval = {advice.interval}")
    asked = f"{forecast.plan.probability:.1%}"
    if not ways:
        why = "more keys must be in stock at the start, or come earlier"
        return [f"{name}: no schedule holds with {asked}: {why}"]
    others = ", ".join(clean(one) for one in advice.together)
    also = f", with {others} changed likewise" if others else ""
    return [f"{name}: would hold with {asked} at {' or '.join(ways)}{also}"]


def _after(forecast: Forecast, seconds: float) -> str:
    return _time(forecast.plan.start + seconds) if math.isfinite(seconds) else "-"


def _time(time: float) -> str:
    return f"{_moment(time):%Y-%m-%d %H:%M}"


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)
