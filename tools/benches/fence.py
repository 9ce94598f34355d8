"""The fence's figures: what it costs each packet, and how long loading it takes."""

import secrets
import time
from contextlib import closing

from lab.inside import made_inside
from lab.netns import run as run_command

from benches.fence_cost import measure_cost
from benches.figures import Figure, summarise
from benches.registry import Bench, Options
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.nft.fence import NftFence

COUNTS = (1, 5_000)
LOADED = 5_000
COST = "fence_cost"
FLOOR = "fence_floor"
ONE_CPU = "_one_cpu"
PLACES = {"": False, ONE_CPU: True}
LOAD = "fence_load_s"
MAX_LOAD_S = 1.0
LOADS = 7
QUICK_LOADS = 3


def plan_of(count: int) -> FencePlan:
    """Return a hub's plan; tunnel 0 is the one that the packets take."""
    return FencePlan(
        tuple(
            FencedTunnel(
                f"branch-{number:04}",
                (f"10.{number // 250}.{number % 250}.0/24", f"fd00:{number:x}::/64"),
            )
            for number in range(count)
        ),
        exempt=("192.168.0.0/16",),
        ports=(51810, 51811, 51812),
    )


def run(options: Options) -> list[Figure]:
    """Measure what was asked for; a cost and its floor are of one run."""
    figures: list[Figure] = []
    for place, one_cpu in PLACES.items():
        for count in COUNTS:
            cost, floor = f"{COST}{place}.{count}", f"{FLOOR}{place}.{count}"
            if not options.wanted.isdisjoint({cost, floor}):
                plan = plan_of(count)
                figures += measure_cost(plan, cost, floor, options, one_cpu=one_cpu)
    if LOAD in options.wanted:
        figures.append(_measure_load(options))
    return figures


def _measure_load(options: Options) -> Figure:
    loads = QUICK_LOADS if options.quick else LOADS
    options.say(f"{loads} loads of {LOADED} tunnels")
    plan = plan_of(LOADED)
    host = f"qfl-{secrets.token_hex(3)}"
    run_command("ip", "netns", "add", host)
    samples: list[float] = []
    try:
        for _ in range(loads):
            with closing(made_inside(host, NftFence)) as fence:
                begin = time.monotonic()
                fence.load(plan)
                samples.append(time.monotonic() - begin)
                fence.remove()
    finally:
        run_command("ip", "netns", "delete", host, check=False)
    return summarise(
        LOAD,
        "s",
        samples,
        target=MAX_LOAD_S,
        note=f"{LOADED} tunnels of an IPv4 and an IPv6 prefix, from plan to kernel",
    )


_NAMES = tuple(
    f"{name}{place}.{count}"
    for place in PLACES
    for count in COUNTS
    for name in (COST, FLOOR)
)

BENCH = Bench((*_NAMES, LOAD), run)
