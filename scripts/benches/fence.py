"""What the fence costs: loading it, and each packet that passes it.

A packet's price is taken from two gateways in namespaces of this host, joined by
wireguard-go, in one run with and without the fence in turn: CPU time of everything that
handles the packets, over their number. Both ends have it, so each packet passes it on
its way out and on its way in.
"""

import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from lab.inside import made_inside
from lab.netns import run as run_command

from benches.cpu import processes_cpu
from benches.fence_path import Path, make_path
from benches.figures import Figure, quartile_distance, summarise
from benches.registry import Bench, Options
from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.nft.fence import NftFence

COUNTS = (1, 5_000)
LOADED = 5_000
COST = "fence_cost"
LOAD = "fence_load_s"
MAX_PERCENT = 2.0
MAX_LOAD_S = 1.0
PAIRS = 12
QUICK_PAIRS = 4
SLICES = 6
"""Short slices with the fence as it is, before it is changed."""

SLICE_S = 0.2
CALM_SHARE = 4
"""One in so many slices counts, the cheapest ones: whatever else the machine does only
adds to the others, to those with the fence and to those without alike."""

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


@dataclass(frozen=True, slots=True)
class Slice:
    """A short while of traffic.

    Attributes:
        cost: Microseconds of CPU a packet.
        rate: Packets a second.
    """

    cost: float
    rate: float


def run(options: Options) -> list[Figure]:
    """Measure what was asked for."""
    wanted = [count for count in COUNTS if f"{COST}.{count}" in options.wanted]
    figures = [_measure_cost(count, options) for count in wanted]
    if LOAD in options.wanted:
        figures.append(_measure_load(options))
    return figures


def _measure_cost(count: int, options: Options) -> Figure:
    pairs = QUICK_PAIRS if options.quick else PAIRS
    options.say(f"{pairs} times with and without a fence of {count} tunnels")
    without: list[list[Slice]] = []
    fenced: list[list[Slice]] = []
    with make_path() as path:
        _slices(path)  # caches, neighbours, handshake
        for number in range(pairs):
            # The order changes, so that what drifts favours neither.
            for with_fence in (number % 2 == 0, number % 2 == 1):
                if with_fence:
                    with _fences(path, count):
                        fenced.append(_slices(path))
                else:
                    without.append(_slices(path))
    before, after = _calm_cost(without), _calm_cost(fenced)
    percents = [
        100.0 * (_calm_cost([a]) / _calm_cost([b]) - 1.0)
        for a, b in zip(fenced, without, strict=True)
    ]
    fast, slow = (
        max(each.rate for group in groups for each in group)
        for groups in (without, fenced)
    )
    note = (
        "CPU a full packet of a TCP stream through wireguard-go, out and in, of all "
        f"that handles it, in the calmest quarter of slices of {SLICE_S:g} s; with "
        f"{count} tunnels {before:.2f} us without and {after:.2f} us with the fence; "
        f"at best {fast:.0f} and {slow:.0f} packets/s"
    )
    return Figure(
        f"{COST}.{count}",
        100.0 * (after / before - 1.0),
        "%",
        quartile_distance(percents),
        MAX_PERCENT,
        note,
    )


def _calm_cost(groups: list[list[Slice]]) -> float:
    costs = sorted(each.cost for group in groups for each in group)
    return statistics.mean(costs[: max(1, len(costs) // CALM_SHARE)])


@contextmanager
def _fences(path: Path, count: int) -> Iterator[None]:
    """Put up a fence at both ends, with everything granted, and take it away."""
    plan = plan_of(count)
    fences = [made_inside(host, NftFence) for host in path.hosts]
    try:
        for fence, device in zip(fences, path.devices, strict=True):
            fence.load(plan)
            for tunnel in plan.tunnels:
                fence.grant(tunnel.name, Passage((device,)), 600)
        yield
    finally:
        for fence in fences:
            fence.remove()
            fence.close()


def _slices(path: Path) -> list[Slice]:
    time.sleep(SLICE_S)  # what a change of the table leaves to the kernel
    return [_slice(path) for _ in range(SLICES)]


def _slice(path: Path) -> Slice:
    begin, cpu = time.monotonic(), processes_cpu(path.pids) + time.process_time()
    sent = path.exchange(SLICE_S)
    used = processes_cpu(path.pids) + time.process_time() - cpu
    return Slice(1e6 * used / sent, sent / (time.monotonic() - begin))


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


BENCH = Bench((*(f"{COST}.{count}" for count in COUNTS), LOAD), run)
