"""What a handshake costs a hub, by the number of its tunnels: the machine alone.

The branches are tunnels of a second machine in the same process; only the hub's calls
are timed. Every tunnel has an epoch already, so that each measured handshake replaces
one, as a rotation does.
"""

import os
import time

from benches.answers import Driver, make_parameters
from benches.figures import Figure, summarise
from benches.registry import Bench, Options
from gateway.crypto.identity import PrivateIdentity, generate_identity
from gateway.handshake.machine import Machine

COUNTS = (1, 100, 5000)
MAX_GROWTH = 1.2
"""Cost at the most tunnels over the cost at one."""

UNPACED = 1e6
"""Epochs a second of one tunnel, beyond what any hub serves: its speed is measured."""

BATCH = 10
ROUNDS = 40
QUICK_ROUNDS = 10

SPACING = 0.024
"""Seconds of the machines' clock between handshakes: 5,000 tunnels in 120 s. Cookies
are asked for above 400 a second, and would be measured instead."""

_NAME, _GROWTH = "hub_handshakes_per_s", "hub_growth"


def tunnel_name(index: int) -> str:
    """Name the tunnel of a branch."""
    return f"branch-{index}"


def make_branches(count: int) -> list[PrivateIdentity]:
    """Return the identities of so many branches."""
    return [generate_identity(1) for _ in range(count)]


class Hub:
    """A hub's machine, and its branches'."""

    def __init__(self, count: int) -> None:
        own = generate_identity(1)
        self._count = count
        self._hub = Driver(Machine(random=os.urandom, peer_rate=UNPACED))
        self._branches = Driver(Machine(random=os.urandom, peer_rate=UNPACED))
        self._now = 0.0
        self._turn = 0
        for index, branch in enumerate(make_branches(count)):
            name = tunnel_name(index)
            self._hub.machine.add_tunnel(
                make_parameters(name, own, branch.public, initiator=False)
            )
            self._branches.machine.add_tunnel(
                make_parameters(name, branch, own.public, initiator=True)
            )
        for _ in range(count):
            self.handshake()

    def handshake(self) -> float:
        """Rotate the next tunnel in turn; return what it cost the hub, CPU seconds."""
        hub, branches = self._hub, self._branches
        self._now = now = self._now + SPACING
        # A stride that meets every tunnel, and never its neighbour in memory.
        name = tunnel_name(self._turn * 1009 % self._count)
        self._turn += 1
        hub.machine.handle_timer(now=now)
        branches.machine.handle_timer(now=now)
        hub.work(now=now)
        hub.machine.datagrams_to_send()
        branches.machine.datagrams_to_send()
        epoch = branches.start(name, "hub", now=now)
        spent = 0.0
        while arriving := branches.machine.datagrams_to_send():
            start = time.process_time()
            for data, _ in arriving:
                hub.receive(data, name, now=now)
            answers = hub.machine.datagrams_to_send()
            hub.machine.get_timer()
            spent += time.process_time() - start
            for data, _ in answers:
                branches.receive(data, "hub", now=now)
        if branches.committed.get(name) != epoch:
            raise RuntimeError(f"{name} did not rotate: {hub.machine.dropped()}")
        return spent


def run(options: Options) -> list[Figure]:
    """Measure hubs of every size in turns."""
    options.say(f"hubs of {COUNTS} tunnels in memory, each brought up first")
    hubs = {count: Hub(count) for count in COUNTS}
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
        for count, hub in hubs.items():
            spent = sum(hub.handshake() for _ in range(BATCH))
            costs[count].append(spent / BATCH)
    return summarise_hubs(_NAME, _GROWTH, costs, "the responder's machine alone")


def summarise_hubs(
    name: str, growth: str, costs: dict[int, list[float]], what: str
) -> list[Figure]:
    """Return handshakes a second on one core by number of tunnels, and the growth.

    Args:
        name: Of the figures, to which the number of tunnels is added.
        growth: Name of the figure that compares the ends.
        costs: By number of tunnels, the hub's CPU seconds a handshake, measured in
            turns.
        what: What the CPU time is of.
    """
    figures = [
        summarise(
            f"{name}.{count}",
            "1/s",
            [1 / cost for cost in costs[count]],
            note=f"one second over the CPU time of {what}",
        )
        for count in costs
    ]
    ratios = [
        most / least
        for least, most in zip(costs[COUNTS[0]], costs[COUNTS[-1]], strict=True)
    ]
    figures.append(
        summarise(
            growth,
            "times",
            ratios,
            target=MAX_GROWTH,
            note=f"cost of a handshake at {COUNTS[-1]} tunnels over that at one",
        )
    )
    return figures


BENCH = Bench((*(f"{_NAME}.{count}" for count in COUNTS), _GROWTH), run)
