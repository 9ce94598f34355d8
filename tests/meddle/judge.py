"""What must hold whatever is done to the two gateways, judged from outside them.

1. No frame on the links to the router shows the sites' payload in clear.
2. No host behind a gateway and no socket of one receives what the meddler forged.
3. Traffic flows again within `HEALS` seconds of the last step, where it can.
4. No end says ``up`` while nothing arrives for longer than `SILENT` seconds.
5. An end that answers and is not ``up`` says why.
6. When traffic flows again, both ends come to say ``up``.
"""

import itertools
import time
from collections.abc import Callable, Sequence

from lab.flows import Flow

from gateway.rotation.limits import PROOF_TIMEOUT
from tests.meddle.slowness import SLOW
from tests.meddle.witness import POLL, Saying

INTERVAL = 2.0 * SLOW
"""Seconds between epochs: the shortest there is."""

LIFETIME = 10.0 * SLOW
"""Seconds of `max_epoch_lifetime`: longer than a proof may take."""

HEALS = 2.0
"""Seconds until traffic flows again after the last step; in a virtual machine, what
`tests.meddle.slowness.floor` measures beside that step is added."""

STEADY = 0.4 * SLOW
"""Seconds of flowing traffic that are believed."""

GAP = 0.35 * SLOW
"""Seconds without a packet that are not flowing traffic."""

NOTICED = INTERVAL + PROOF_TIMEOUT + SLOW + POLL
"""Seconds: an epoch until the next one is due, that one until it must be proven, a poll
of the daemon's, and one of ours."""

CLOCK = 0.15 * SLOW
"""Seconds that this process may be late to read what has arrived."""

SILENT = LIFETIME + CLOCK + POLL
"""Seconds for which an end may say ``up`` while nothing comes, at the very most: until
the last epoch that was in force ends, which a timer of the daemon's sees to, and a poll
of ours. Silence alone is noticed later than that only where lifetimes are longer than
`PROBED_SILENCE` (docs/adr/0221, 0256)."""

SAYS_SO = 3.0 * SLOW
"""Seconds until both ends say what already is: `in force` needs an answer of each."""

LOOK = 0.05
"""Seconds between two looks."""


def stalled(flows: Sequence[Flow], since: float, heals: float = HEALS) -> list[str]:
    """Return the flows that do not flow, or began too late, each with what is so.

    Returns as soon as all have flowed for `STEADY` seconds.
    """
    until = since + heals + STEADY + CLOCK
    while True:
        now = time.monotonic()
        begins = {flow.name: flow.steady_since(since, now, GAP) for flow in flows}
        if all(
            began is not None and now - max(began, since) >= STEADY
            for began in begins.values()
        ):
            break
        if now >= until:
            break
        time.sleep(LOOK)
    problems = []
    for name, began in begins.items():
        if began is None:
            problems.append(f"{name} does not flow")
        elif began - since > heals:
            problems.append(f"{name} flows after {began - since:.2f} s")
    return problems


def still_flowing(flows: Sequence[Flow], start: float, end: float) -> list[str]:
    """Return the flows that had packets arrive in a span of time, with how many."""
    counts = {flow.name: flow.passed_between(start, end) for flow in flows}
    return [f"{name} goes on: {count}" for name, count in counts.items() if count]


def untrue(
    letter: str, said: Sequence[Saying], flows: Sequence[Flow], now: float
) -> list[str]:
    """Return where an end said ``up`` while nothing came, or gave no reason.

    Args:
        letter: The end.
        said: What it said since the step began, the oldest first.
        flows: Those of which at least one must arrive while it says ``up``.
        now: When the last of it was said.
    """
    problems = []
    silent = [one for one in said if one.state not in ("", "up") and not one.reason]
    if silent:
        problems.append(f"{letter} says {silent[0].state} and not why")
    arrivals = sorted(received for flow in flows for _, received in list(flow.arrivals))
    for begin, end in spans_up(said, now):
        inside = [at for at in arrivals if begin < at < end]
        edges = [begin, *inside, end]
        longest = max(b - a for a, b in itertools.pairwise(edges))
        if longest > SILENT:
            problems.append(f"{letter} says up while nothing comes for {longest:.1f} s")
    return problems


def spans_up(said: Sequence[Saying], now: float) -> list[tuple[float, float]]:
    """Return the spans of time in which an end said ``up`` without a break."""
    spans: list[tuple[float, float]] = []
    begin: float | None = None
    for one in said:
        if one.state == "up" and begin is None:
            begin = one.at
        elif one.state != "up" and begin is not None:
            spans.append((begin, one.at))
            begin = None
    if begin is not None:
        spans.append((begin, now))
    return spans


def wait_for(true: Callable[[], bool], seconds: float) -> bool:
    """Wait for something; say whether it came true."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK)
    return True
