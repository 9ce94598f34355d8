"""What the fence costs: loading it, and each packet that passes it.

A packet's price is taken from two gateways in namespaces of this host, joined by
wireguard-go, in one run over one connection: short slices of traffic with the fence
and without it take turns, and each is compared with its neighbour alone. Between them
the fence is put to sleep and woken, so that all else stays as it is. Both ends have it:
each packet passes it on its way out and on its way in, inside the tunnel and around it.
"""

import math
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from lab.inside import made_inside
from lab.netns import run as run_command

from benches.cpu import processes_cpu
from benches.fence_path import Path, make_path
from benches.figures import Figure, quartile_distance, summarise
from benches.registry import Bench, Options
from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.connection import NftConnection
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.dataplane.fence.nft.objects import new_table

COUNTS = (1, 5_000)
LOADED = 5_000
COST = "fence_cost"
LOAD = "fence_load_s"
MAX_PERCENT = 2.0
MAX_LOAD_S = 1.0
PAIRS = 150
QUICK_PAIRS = 30
SLICE_S = 0.15
"""Seconds: what other programs do in one slice they do in its neighbour, too."""

SETTLE_S = 0.01
"""What a change of the table leaves to the kernel."""

GRANT_S = 600.0

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
    options.say(f"{pairs} slices with and without a fence of {count} tunnels, in turn")
    bare: list[Slice] = []
    fenced: list[Slice] = []
    with make_path() as path, _fences(path, count) as wake:
        _slice(path)  # caches, neighbours, handshake
        for number in range(pairs):
            # The order changes, so that what drifts favours neither.
            for is_awake in (number % 2 == 0, number % 2 == 1):
                wake(is_awake)
                (fenced if is_awake else bare).append(_slice(path))
    dearer = [_percent(a.cost, b.cost) for a, b in zip(fenced, bare, strict=True)]
    slower = [_percent(b.rate, a.rate) for a, b in zip(fenced, bare, strict=True)]
    worse = max(dearer, slower, key=statistics.median)
    note = (
        "the worse of CPU and time a full packet of a TCP stream through wireguard-go, "
        f"medians of {pairs} pairs of slices of {SLICE_S:g} s, each with the fence of "
        f"{count} tunnels and without: CPU {_interval(dearer)}, of all that handles it "
        f"({_median(bare, lambda s: s.cost):.2f} and "
        f"{_median(fenced, lambda s: s.cost):.2f} us; of the cheapest quarters "
        f"{_percent(_calm(fenced), _calm(bare)):+.2f} %); time {_interval(slower)} "
        f"({_median(bare, lambda s: s.rate):.0f} and "
        f"{_median(fenced, lambda s: s.rate):.0f} packets/s)"
    )
    return Figure(
        f"{COST}.{count}",
        statistics.median(worse),
        "%",
        quartile_distance(worse),
        MAX_PERCENT,
        note,
    )


def _percent(value: float, reference: float) -> float:
    return 100.0 * (value / reference - 1.0)


def _calm(slices: Sequence[Slice]) -> float:
    """Return the mean cost of the cheapest quarter: others only ever add to it."""
    costs = sorted(each.cost for each in slices)
    return statistics.mean(costs[: len(costs) // 4])


def _median(slices: Sequence[Slice], value: Callable[[Slice], float]) -> float:
    return statistics.median(map(value, slices))


def _interval(samples: Sequence[float]) -> str:
    """Say a median, and where that of all possible samples is, 19 times out of 20."""
    ordered = sorted(samples)
    # Of n samples the number below the median is binomial: n/2, give or take.
    reach = math.ceil(0.98 * math.sqrt(len(ordered)))
    middle = len(ordered) // 2
    low = ordered[max(middle - reach, 0)]
    high = ordered[min(middle + reach, len(ordered) - 1)]
    return f"{statistics.median(ordered):+.2f} % ({low:+.2f} to {high:+.2f})"


@contextmanager
def _fences(path: Path, count: int) -> Iterator[Callable[[bool], None]]:
    """Put up a fence at both ends, with everything granted; yield what wakes them."""
    plan = plan_of(count)
    # Not owned: it is put to sleep over sockets of ours.
    fences = [made_inside(host, lambda: NftFence(owned=False)) for host in path.hosts]
    sockets = [made_inside(host, NftConnection) for host in path.hosts]

    def wake(is_awake: bool) -> None:  # said by its name
        for one in sockets:
            one.transact([new_table(0 if is_awake else c.NFT_TABLE_F_DORMANT)])
        time.sleep(SETTLE_S)

    try:
        for fence, device in zip(fences, path.devices, strict=True):
            fence.load(plan)
            for tunnel in plan.tunnels:
                fence.grant(tunnel.name, Passage((device,)), GRANT_S)
        yield wake
    finally:
        for fence, one in zip(fences, sockets, strict=True):
            fence.remove()
            fence.close()
            one.close()


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
