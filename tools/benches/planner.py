"""The planner: a month ahead for a network of fifty links."""

import time
from pathlib import Path

from benches.figures import Figure, summarise
from benches.registry import Bench, Options
from gateway.planner.forecast import make_forecast
from gateway.planner.model import Plan, PlannedTunnel, RateLink, SpaceLink
from gateway.planner.report import to_json
from gateway.planner.space.key import KeyModel
from gateway.planner.space.orbit import SYNTHETIC_EPOCH, synthetic_orbit
from gateway.planner.space.passes import NIGHT
from gateway.planner.space.stations import Station

LINKS, DAYS = 50, 30
MAX_SECONDS = 2.0
ROUNDS, QUICK_ROUNDS = 7, 3

FIBRES = 10
"""Of the links; the rest are by satellite, each between neighbours of a ring."""

START = SYNTHETIC_EPOCH + 300 * 86_400.0


def make_plan() -> Plan:
    """Return a plan whose tunnels hold in part: searching for advice is work, too."""
    stations = [
        Station(f"s{each}", 60.0 - 2.4 * each, (37.0 * each) % 360.0 - 180.0)
        for each in range(LINKS)
    ]
    orbit = synthetic_orbit()
    links = {
        f"l{each}": RateLink(f"l{each}", 1_000, 100_000, 2_663.0)
        if each < FIBRES
        else SpaceLink(
            f"l{each}",
            250 * each,
            100_000,
            "synthetic",
            orbit,
            (stations[each], stations[(each + 1) % LINKS]),
            KeyModel(),
            NIGHT,
        )
        for each in range(LINKS)
    }
    tunnels = {
        f"t{each}": PlannedTunnel(
            f"t{each}",
            # Every fifth is relayed over two hops.
            (f"l{each}", *([f"l{(each + 1) % LINKS}"] if each % 5 == 0 else [])),
            120.0,
            1 + each % 3,
        )
        for each in range(LINKS)
    }
    return Plan(Path("plan.toml"), links, tunnels, START, DAYS, 0.95, 2_000, 0)


def run(options: Options) -> list[Figure]:
    """Time forecasts; the wall's clock, on one core."""
    options.say(f"planning {DAYS} days for {LINKS} links")
    plan = make_plan()
    forecast, samples = make_forecast(plan), []
    for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
        begin = time.perf_counter()
        to_json(make_forecast(plan))
        samples.append(time.perf_counter() - begin)
    short = sum(not each.holds for each in forecast.tunnels.values())
    passes = sum(len(each.passes) for each in forecast.links.values())
    note = (
        f"{LINKS} links, {LINKS - FIBRES} of them by satellite over as many stations, "
        f"{passes} passes, {LINKS} tunnels, {short} of which are short and get "
        f"advice, {plan.draws} weathers; without reading the file and drawing"
    )
    return [summarise("plan_s", "s", samples, target=MAX_SECONDS, note=note)]


BENCH = Bench(("plan_s",), run)
