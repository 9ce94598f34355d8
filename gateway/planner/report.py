"""A forecast as plain JSON values.

Times are ISO 8601 in UTC, None where something does not happen within the span;
durations are seconds, amounts keys of 256 bits.
"""

import math
from datetime import UTC, datetime

from gateway.planner.model import RateLink
from gateway.planner.result import Advice, Forecast, LinkForecast, TunnelForecast
from gateway.planner.supply import PlannedPass

Values = dict[str, object]


def to_json(forecast: Forecast) -> Values:
    """Return everything that a forecast says."""
    plan = forecast.plan
    return {
        "file": str(plan.file),
        "start": _iso(plan.start),
        "end": _iso(plan.end),
        "days": plan.days,
        "probability": plan.probability,
        "draws": plan.draws,
        "seed": plan.seed,
        "sampling_error": round(forecast.sampling_error, 4),
        "times": [_iso(plan.start + float(each)) for each in forecast.times],
        "links": [_link(forecast, each) for each in forecast.links.values()],
        "tunnels": [_tunnel(forecast, each) for each in forecast.tunnels.values()],
    }


def _link(forecast: Forecast, each: LinkForecast) -> Values:
    start = forecast.plan.start
    return {
        "link": each.link.name,
        "kind": "rate" if isinstance(each.link, RateLink) else "satellite",
        "tunnels": list(each.tunnels),
        "stock": each.link.stock,
        "capacity": each.link.capacity,
        "keys_in_per_day": round(each.supply * 86_400.0, 1),
        "keys_out_per_day": round(each.demand * 86_400.0, 1),
        "margin": each.margin,
        "margin_s": round(each.margin_seconds, 1),
        "next_delivery_median": _when(start, each.next_delivery[0]),
        "next_delivery_late": _when(start, each.next_delivery[1]),
        "dry_median": _when(start, each.dry[0]),
        "dry_early": _when(start, each.dry[1]),
        "stock_quantiles": {
            f"{quantile:.2f}": [round(float(keys)) for keys in band]
            for quantile, band in each.bands.items()
        },
        "passes": [_pass(one) for one in each.passes],
    }


def _pass(each: PlannedPass) -> Values:
    flight = each.flight
    return {
        "satellite": each.satellite,
        "station": flight.station.name,
        "rise": _iso(flight.rise),
        "peak": _iso(flight.peak),
        "set": _iso(flight.set),
        "max_elevation": round(flight.max_elevation, 1),
        "bits": each.bits,
        "probability": each.probability,
        "expected_bits": round(each.expected_bits),
    }


def _tunnel(forecast: Forecast, each: TunnelForecast) -> Values:
    start, tunnel = forecast.plan.start, each.tunnel
    return {
        "tunnel": tunnel.name,
        "links": list(tunnel.links),
        "rotation_interval": tunnel.interval,
        "qkd": tunnel.qkd.value,
        "qkd_every": tunnel.every,
        "keys_per_day_and_hop": round(tunnel.demand * 86_400.0, 1),
        "holds": each.holds,
        "probability_until_next_delivery": each.until_next,
        "probability_until_end": each.until_end,
        "probability_at_most": each.at_most,
        "lacks_median": _when(start, each.median),
        "lacks_early": _when(start, each.early),
        "advice": None if each.advice is None else _advice(each.advice),
    }


def _advice(advice: Advice) -> Values:
    return {
        "qkd_every": advice.every,
        "rotation_interval": advice.interval,
        "together_with": list(advice.together),
    }


def _when(start: float, after: float) -> str | None:
    return _iso(start + after) if math.isfinite(after) else None


def _iso(time: float) -> str:
    return datetime.fromtimestamp(round(time), UTC).isoformat()
