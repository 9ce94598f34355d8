"""Packets lost over rotations, and CPU of a rotation, on every plane there is."""

import json
import statistics
import tempfile
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benches.cpu import processes_cpu, session_pids
from benches.figures import Figure, summarise
from benches.pair_run import MARK
from benches.places import Place, PlaceError, place_for, run_module
from benches.registry import Bench, Options

PLANES = ("esp", "wireguard", "wireguard-go")
ROTATIONS = 20
QUICK_ROTATIONS = 5
MAX_LOST = 0
MAX_CPU_MS = {"esp": 9.0}
"""strongSwan's CHILD rekey with ML-KEM takes 5.7 to 9.3 ms in User-mode Linux."""

INTERVALS = {"esp": 2.0, "wireguard": 3.0, "wireguard-go": 3.0}
SLOW_INTERVAL = 10.0
"""Seconds between rotations in a kernel that is emulated."""

SLOW_PACKET_INTERVAL = 0.05
"""Seconds between packets there: a Python program that sends and receives one takes
2 ms of its own, and there are two on as many emulated processors."""

TUNNELS = 20
"""Tunnels that rotate while CPU is measured, each at a phase of its own. A rotation
alone in two seconds finds every cache cold and costs far more, which matters to
nobody; it is told all the same, as `rotation_cpu_lone_ms`."""

SLOW_TUNNELS = 4
MIN_SHARE = 0.9
"""Of the rotations due in a phase; fewer mean that something fails."""

_LOST, _CPU, _LONE = "lost", "rotation_cpu_ms", "rotation_cpu_lone_ms"


@dataclass(slots=True)
class GuestClock:
    """Reads from outside what a guest costs, at each mark that it prints."""

    readings: dict[str, list[float]] = field(default_factory=dict)

    def on_line(self, line: str, pid: int) -> None:
        """Take a reading where the line is a mark."""
        if line.startswith(MARK):
            spent = processes_cpu(session_pids(pid))
            self.readings.setdefault(line.removeprefix(MARK).strip(), []).append(spent)

    def samples(self, phase: str) -> list[float]:
        """Return CPU seconds between the marks of a phase."""
        found = self.readings.get(phase, [])
        return [after - before for before, after in pairwise(found)]


def run(plane: str, options: Options) -> list[Figure]:
    """Measure those figures of a plane that were asked for."""
    names = [name for name in _names(plane) if name in options.wanted]
    try:
        place = place_for(plane)
    except PlaceError as error:
        return [Figure(name, None, "", note=f"not measured: {error}") for name in names]
    figures = []
    for name in names:
        options.say(f"{name}: two daemons, {place.text}")
        measure = _measure_lost if name.startswith(_LOST) else _measure_cpu
        figures.append(measure(name, plane, place, options))
    return figures


def _names(plane: str) -> tuple[str, ...]:
    return tuple(f"{kind}.{plane}" for kind in (_LOST, _CPU, _LONE))


def _interval(plane: str, place: Place) -> float:
    return SLOW_INTERVAL if place.slowness > 1 else INTERVALS[plane]


def _measure_lost(name: str, plane: str, place: Place, options: Options) -> Figure:
    rotations = QUICK_ROTATIONS if options.quick else ROTATIONS
    packets = SLOW_PACKET_INTERVAL if place.slowness > 1 else 0.001
    interval = _interval(plane, place)
    counted = _run_pair(
        plane,
        place,
        interval,
        [
            "--phases=lost",
            f"--rotations={rotations}",
            f"--packet-interval={packets}",
        ],
        GuestClock(),
    )["lost"]
    rate = counted["sent"] / 2 / counted["seconds"]
    note = (
        f"{counted['rotations']} rotations, one each {interval:g} s, "
        f"{counted['failed']} failed; {counted['sent']} packets, {rate:.0f} a second "
        f"each way; {place.text}"
    )
    if counted["rotations"] < rotations or counted["failed"]:
        # Packets that survive because nothing rotates prove nothing.
        raise RuntimeError(f"too few rotations: {note}")
    return Figure(name, counted["lost"], "packets", target=MAX_LOST, note=note)


def _measure_cpu(name: str, plane: str, place: Place, options: Options) -> Figure:
    interval = _interval(plane, place)
    samples = QUICK_ROTATIONS if options.quick or place.slowness > 1 else ROTATIONS
    tunnels = 1 if name.startswith(_LONE) else TUNNELS
    if place.slowness > 1:
        tunnels = min(tunnels, SLOW_TUNNELS)
    clock = GuestClock()
    result = _run_pair(
        plane,
        place,
        interval,
        ["--phases=idle,rotate", f"--samples={samples}", f"--tunnels={tunnels}"],
        clock,
    )
    return _cpu_figure(name, plane, place, result, tunnels, clock)


def _run_pair(
    plane: str, place: Place, interval: float, arguments: list[str], clock: GuestClock
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder:
        out = Path(folder) / "out.json"
        run_module(
            place,
            Path(folder),
            "benches.pair_run",
            [
                f"--plane={plane}",
                f"--interval={interval}",
                f"--slowness={min(place.slowness, 10)}",
                f"--out={out}",
                *arguments,
            ],
            timeout=300 + 4 * ROTATIONS * interval,
            on_line=clock.on_line,
        )
        result: dict[str, Any] = json.loads(out.read_text())
    return result


def _cpu_figure(
    name: str,
    plane: str,
    place: Place,
    result: dict[str, Any],
    tunnels: int,
    clock: GuestClock,
) -> Figure:
    """Return the net CPU of a rotation; the note has the gross."""
    idle, active = result["idle"]["cpu"], result["rotate"]["cpu"]
    rotations = result["rotate"]["rotations"]
    expected = tunnels * len(active)
    if rotations < MIN_SHARE * expected - 1:
        raise RuntimeError(f"{rotations} rotations where {expected} were due")
    what = "both daemons" + (" and wireguard-go" if plane == "wireguard-go" else "")
    if place.name == "uml":
        # The guest's own clocks tick in hundredths of a second, and count what the
        # host waits for a disk as its work: what the host spends on it is the truth.
        idle, active = clock.samples("idle"), clock.samples("rotate")
        what = "the whole guest as its host sees it"
    resting = statistics.median(idle)
    each = rotations / len(active)
    samples = [(one - resting) / each * 1000 for one in active]
    note = (
        f"CPU of {what}, less what it is without rotations; {tunnels} tunnels, "
        f"{rotations} rotations; gross {statistics.median(active) / each * 1000:.1f}"
        f" ms a rotation, at rest {resting * 1000:.1f} ms an interval; {place.text}"
    )
    target = None if name.startswith(_LONE) else MAX_CPU_MS.get(plane)
    return summarise(name, "ms", samples, target=target, note=note)


def _bench(plane: str) -> Bench:
    return Bench(_names(plane), partial(run, plane))


BENCHES = tuple(_bench(plane) for plane in PLANES)
