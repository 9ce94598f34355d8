"""Two gateways are killed, restarted and cut off a hundred times, and heal alone.

``QGW_FAULT_SEED`` draws another hundred; ``QGW_FAULT_COUNT``, ``QGW_FAULT_PLANE``
and ``QGW_FAULT_INTERVAL`` do what they say. ``QGW_FAULT_KEEP`` names a folder that
the gateways' logs are left in.
"""

import os
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from lab.gateway import TUNNEL, Gateway, Settings, make_pair
from lab.netns import Namespace, linked_pair
from lab.stream import Stream
from lab.tools import finish_tool, start_capture
from lab.watch import Watcher

from gateway.dataplane.choose import best_plane
from gateway.errors import ControlError, PlaneUnsupportedError
from tests.faults.ledger import find_unmarked, find_violations, read_lineages
from tests.faults.plan import Burst, draw_plan
from tests.faults.site import Site
from tests.underload.findings import never

SEED = int(os.environ.get("QGW_FAULT_SEED", "20"))
COUNT = int(os.environ.get("QGW_FAULT_COUNT", "100"))
INTERVAL = float(os.environ.get("QGW_FAULT_INTERVAL", "5"))
"""Seconds: the shorter, the harder is "within one interval"."""

LIFETIME = 2 * INTERVAL
"""Seconds of `max_epoch_lifetime`: some faults must last longer."""

GAP = 0.5
"""Seconds without a packet that are not flowing traffic: 25 packets."""

HEAL = 30.0
"""Seconds to look on when a recovery is late, to tell late from never."""

EQUAL_EVERY = 5
"""Bursts between two looks whether both ends have one epoch in force."""

pytestmark = pytest.mark.timeout(1500)


def say(text: str) -> None:
    """Tell who reads the lane's log."""
    print(text, flush=True)  # noqa: T201  # it is for reading


@dataclass(slots=True)
class Outcome:
    """What became of all faults."""

    recoveries: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


@pytest.fixture
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    if os.geteuid():
        pytest.skip("needs root: run scripts/test faults as root")
    with linked_pair() as pair:
        yield pair


@pytest.fixture
def plane() -> str:
    chosen = os.environ.get("QGW_FAULT_PLANE", "auto")
    try:
        return best_plane() if chosen == "auto" else chosen
    except PlaneUnsupportedError as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture
def ends(
    tmp_path: Path,
    namespaces: tuple[Namespace, Namespace],
    plane: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Gateway, Gateway]]:
    # For the programs of the lab, which run in processes of their own.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "tools"))
    settings = Settings(
        plane=plane,
        interval=INTERVAL,
        lifetime=LIFETIME,
        # Loads fastest, and starting is most of what recovery takes.
        provider="openssl",
    )
    pair = make_pair(tmp_path / "gateways", namespaces, settings)
    yield pair
    for end in pair:
        if end.process is not None:
            end.process.send_signal(signal.SIGCONT)
        end.stop()
        end.end_children()
    if keep := os.environ.get("QGW_FAULT_KEEP"):
        for end in pair:
            Path(keep).mkdir(parents=True, exist_ok=True)
            shutil.copy(end.log, Path(keep) / f"{end.letter}.log")


@pytest.fixture
def captures(
    namespaces: tuple[Namespace, Namespace], ends: tuple[Gateway, Gateway]
) -> Iterator[list[Popen[str]]]:
    del ends  # it sets up what the programs need
    running = []
    try:
        for namespace in namespaces:
            running.append(start_capture(namespace))  # noqa: PERF401  # one may fail
        yield running
    finally:
        for capture in running:
            if capture.poll() is None:
                capture.kill()
                capture.communicate()


def test_a_hundred_faults_heal_by_themselves(
    ends: tuple[Gateway, Gateway],
    namespaces: tuple[Namespace, Namespace],
    captures: list[Popen[str]],
    plane: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with capsys.disabled():
        run_faults(ends, namespaces, captures, plane)


def run_faults(
    ends: tuple[Gateway, Gateway],
    namespaces: tuple[Namespace, Namespace],
    captures: list[Popen[str]],
    plane: str,
) -> None:
    """Let a hundred faults happen, and hold the two gateways to what they promise."""
    say(f"\nseed {SEED}, plane {plane}, a new epoch every {INTERVAL:g} s")
    has_process = plane == "wireguard-go"
    plan = draw_plan(SEED, COUNT, lifetime=LIFETIME, has_process=has_process)
    for end in reversed(ends):
        end.start()
    for end in ends:
        end.wait_ready()
    Watcher(ends).wait_in_force(HEAL)
    site, stream = Site(ends, INTERVAL), Stream(namespaces)
    try:
        outcome = endure(plan, site, stream, ends)
        epoch = wait_equal(ends, 2 * INTERVAL)
    finally:
        stream.close()
    for capture in captures:
        capture.send_signal(signal.SIGTERM)
    seen = [finish_tool(capture) for capture in captures]
    tell(plan, outcome, site, epoch)
    never(sum(capture["leaked_bytes"] for capture in seen), "bytes in clear")
    never(find_violations(ends[0].log, ends[1].log), "keys")
    assert not outcome.late, "\n".join(outcome.late)
    assert not site.died, "\n".join(site.died)
    assert [capture["dropped"] for capture in seen] == [0, 0]
    assert min(capture["frames"] for capture in seen) > len(plan)
    for end in ends:
        end.stop()
        never(find_unmarked(end.log, end.folder / "state" / "keys.db"), "unmarked")
        assert "Traceback" not in end.log.read_text()


def endure(
    plan: list[Burst], site: Site, stream: Stream, ends: tuple[Gateway, Gateway]
) -> Outcome:
    """Let every burst happen; measure how long traffic then needs to flow again."""
    outcome = Outcome()
    for number, burst in enumerate(plan):
        repaired = site.strike(burst)
        for end in ends:
            # A tunnel outlives its daemon: what counts is what the new one makes of it.
            end.wait_ready()
        stream.wait_both_ways(repaired, until=repaired + HEAL)
        time.sleep(burst.dwell)
        if number % EQUAL_EVERY == EQUAL_EVERY - 1:
            wait_equal(ends, 2 * INTERVAL)
        steady = stream.steady_since(repaired, time.monotonic(), gap=GAP)
        outcome.recoveries.append(steady - repaired)
        text = "; ".join(map(str, burst.faults))
        clock = time.strftime("%H:%M:%S")
        say(f"{clock} {number:3} {steady - repaired:6.2f} s after {text}")
        if steady - repaired > INTERVAL:
            states = [describe(end) for end in ends]
            outcome.late.append(
                f"burst {number}: {steady - repaired:.2f} s after {text}: {states}"
            )
    return outcome


def wait_equal(ends: tuple[Gateway, Gateway], timeout: float) -> int:
    """Wait until both ends have the same epoch in force; return its number."""
    until = time.monotonic() + timeout
    while True:
        states = [describe(end) for end in ends]
        first, second = states
        if first and first == second and first["local"] and first["peer"]:
            return int(first["epoch"])
        assert time.monotonic() < until, f"no equal epochs in force: {states}"
        time.sleep(0.1)


def describe(end: Gateway) -> dict[str, Any]:
    """Return what an end says of the epoch it has."""
    try:
        status = end.call("tunnel.show", name=TUNNEL)
    except ControlError:
        return {}
    return {
        "epoch": status["epoch"],
        "key_id": status["key_id"],
        "sources": status["sources"],
        "local": status["in_force"]["local"],
        "peer": status["in_force"]["peer"],
        "reason": status["reason"],
    }


def tell(plan: list[Burst], outcome: Outcome, site: Site, epoch: int) -> None:
    """Print what happened, for who reads the lane's log."""
    kinds = Counter(fault.kind.value for burst in plan for fault in burst.faults)
    for kind, count in kinds.most_common():
        say(f"{count:4} {kind}")
    times = sorted(outcome.recoveries)
    p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
    say(
        f"{sum(kinds.values())} faults in {len(plan)} bursts, "
        f"{site.missed} aims missed; epoch {epoch} at the end"
    )
    say(
        f"traffic back after {statistics.median(times):.2f} s (median), {p95:.2f} s "
        f"(95 %), {times[-1]:.2f} s (most); allowed: {INTERVAL:g} s"
    )
    for letter, end in site.ends.items():
        lineages = read_lineages(end.log)
        epochs = sum(map(len, lineages))
        say(f"{letter}: {epochs} epochs, {len(lineages) - 1} times restored")
