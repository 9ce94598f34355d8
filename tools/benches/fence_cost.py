"""What the fence costs each packet that passes it, beside what bare hooks cost.

A packet's price is taken from two gateways in namespaces of this host, joined by
wireguard-go, in one run over one connection: short slices of traffic with nothing in
the way, with hooks that have no rule, and with the fence take turns, and each is
compared with its neighbours alone. Both ends have it: each packet passes it on its way
out and on its way in, inside the tunnel and around it.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations

from benches.cpu import processes_cpu
from benches.fence_path import Path, make_path
from benches.fence_switch import Stands, switch
from benches.figures import Figure, quartile_distance
from benches.registry import Options
from gateway.dataplane.fence.base import FencePlan

MAX_PERCENT = 2.0
ROUNDS = 198
QUICK_ROUNDS = 36
"""Multiples of 6: every order of the three is there as often."""

SLICE_S = 0.1
"""Seconds: what other programs do in one slice they do in its neighbours, too."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A short while of traffic.

    Attributes:
        cost: Microseconds of CPU a packet.
        rate: Packets a second.
    """

    cost: float
    rate: float


Slices = dict[Stands, list[Slice]]


def measure_cost(
    plan: FencePlan, cost: str, floor: str, options: Options, *, one_cpu: bool
) -> list[Figure]:
    """Measure both figures in one run.

    Args:
        plan: What the fence holds.
        cost: Name of the figure of the whole fence.
        floor: Name of that of its hooks without a rule.
        options: How the run goes.
        one_cpu: Whether both ends share one processor, so that nothing waits for
            another and no thread looks for work in vain.
    """
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    count = len(plan.tunnels)
    where = "one processor" if one_cpu else "all processors"
    options.say(f"{rounds} rounds with and without a fence of {count} tunnels, {where}")
    found: Slices = {each: [] for each in Stands}
    with _processors(one_cpu), make_path() as path, switch(path, plan) as wake:
        wake(Stands.NOTHING)
        _slice(path)  # caches, neighbours, handshake
        orders = tuple(permutations(Stands))
        for number in range(rounds):
            # What drifts favours none.
            for each in orders[number % len(orders)]:
                wake(each)
                found[each].append(_slice(path))
        resent = path.resent()
    about = (
        f"a full packet of a TCP stream through wireguard-go on {where}, "
        f"medians of {rounds} rounds of slices of {SLICE_S:g} s, {resent} segments "
        "sent again"
    )
    return [
        _figure(cost, found, Stands.FENCE, f"fence of {count} tunnels: {about}"),
        _figure(floor, found, Stands.HOOKS, f"its hooks without a rule: {about}"),
    ]


def _figure(name: str, found: Slices, what: Stands, note: str) -> Figure:
    """Return the worse of CPU and time."""
    bare, fenced = found[Stands.NOTHING], found[what]
    dearer = [_percent(a.cost, b.cost) for a, b in zip(fenced, bare, strict=True)]
    slower = [_percent(b.rate, a.rate) for a, b in zip(fenced, bare, strict=True)]
    worse = max(dearer, slower, key=statistics.median)
    note = (
        f"the worse of CPU and time, {note}: CPU {_interval(dearer)}, of all that "
        f"handles it ({_median(bare, lambda s: s.cost):.2f} and "
        f"{_median(fenced, lambda s: s.cost):.2f} us; of the cheapest quarters "
        f"{_percent(_calm(fenced), _calm(bare)):+.2f} %); time {_interval(slower)} "
        f"({_median(bare, lambda s: s.rate):.0f} and "
        f"{_median(fenced, lambda s: s.rate):.0f} packets/s)"
    )
    return Figure(
        name,
        statistics.median(worse),
        "%",
        quartile_distance(worse),
        MAX_PERCENT if what is Stands.FENCE else None,
        note,
    )


@contextmanager
def _processors(one: bool) -> Iterator[None]:  # said by its name
    """Keep this thread, and all that it starts, to one processor or to none."""
    before = os.sched_getaffinity(0)
    if one:
        os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _slice(path: Path) -> Slice:
    begin, cpu = time.monotonic(), processes_cpu(path.pids) + time.process_time()
    sent = path.exchange(SLICE_S)
    used = processes_cpu(path.pids) + time.process_time() - cpu
    return Slice(1e6 * used / sent, sent / (time.monotonic() - begin))


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
