"""Packets lost over rotations, and CPU of a rotation, on every plane there is."""

import json
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benches.cpu import processes_cpu, session_pids
from benches.figures import Figure, quartile_distance, summarise
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

_LOST, _CPU = "lost", "rotation_cpu_ms"


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


def run(options: Options) -> list[Figure]:
    """Measure every plane that has a figure asked for."""
    figures: list[Figure] = []
    for plane in PLANES:
        wanted = {f"{_LOST}.{plane}", f"{_CPU}.{plane}"} & options.wanted
        if wanted:
            figures += _measure(plane, wanted, options)
    return figures


def _measure(plane: str, wanted: set[str], options: Options) -> list[Figure]:
    try:
        place = place_for(plane)
    except PlaceError as error:
        units = {_LOST: "packets", _CPU: "ms"}
        return [
            Figure(name, None, units[name.split(".")[0]], note=str(error))
            for name in sorted(wanted)
        ]
    options.say(f"two daemons with plane {plane}, {place.text}")
    phases = ["idle", "rotate"] if f"{_CPU}.{plane}" in wanted else []
    if f"{_LOST}.{plane}" in wanted:
        phases.append("lost")
    clock = GuestClock()
    interval = SLOW_INTERVAL if place.slowness > 1 else INTERVALS[plane]
    result = _run_pair(plane, place, phases, interval, clock, quick=options.quick)
    figures = []
    if "lost" in phases:
        figures.append(_lost_figure(plane, place, result["lost"], interval))
    if "rotate" in phases:
        figures.append(_cpu_figure(plane, place, result, interval, clock))
    return figures


def _run_pair(
    plane: str,
    place: Place,
    phases: list[str],
    interval: float,
    clock: GuestClock,
    *,
    quick: bool,
) -> dict[str, Any]:
    rotations = QUICK_ROTATIONS if quick else ROTATIONS
    samples = rotations if place.slowness == 1 else QUICK_ROTATIONS
    packets = SLOW_PACKET_INTERVAL if place.slowness > 1 else 0.001
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as name:
        out = Path(name) / "out.json"
        run_module(
            place,
            Path(name),
            "benches.pair_run",
            [
                f"--plane={plane}",
                f"--phases={','.join(phases)}",
                f"--interval={interval}",
                f"--samples={samples}",
                f"--rotations={rotations}",
                f"--packet-interval={packets}",
                f"--slowness={min(place.slowness, 10)}",
                f"--out={out}",
            ],
            timeout=300 + 6 * rotations * interval,
            on_line=clock.on_line,
        )
        result: dict[str, Any] = json.loads(out.read_text())
    return result


def _lost_figure(
    plane: str, place: Place, counted: dict[str, Any], interval: float
) -> Figure:
    rate = counted["sent"] / 2 / counted["seconds"]
    note = (
        f"{counted['rotations']} rotations, one each {interval:g} s, "
        f"{counted['failed']} failed; {counted['sent']} packets, {rate:.0f} a second "
        f"each way; {place.text}"
    )
    if counted["rotations"] < 1 or counted["failed"]:
        # Packets that survive because nothing rotates prove nothing.
        return Figure(f"{_LOST}.{plane}", None, "packets", target=MAX_LOST, note=note)
    return Figure(
        f"{_LOST}.{plane}", counted["lost"], "packets", target=MAX_LOST, note=note
    )


def _cpu_figure(
    plane: str, place: Place, result: dict[str, Any], interval: float, clock: GuestClock
) -> Figure:
    """Return the net CPU of a rotation; the note has the gross."""
    idle, active = result["idle"]["cpu"], result["rotate"]["cpu"]
    what = "both daemons" + (" and wireguard-go" if plane == "wireguard-go" else "")
    if place.name == "uml":
        # The guest's own clocks tick in hundredths of a second, and count what the
        # host waits for a disk as its work: what the host spends on it is the truth.
        guest = _net(idle, active)
        idle, active = clock.samples("idle"), clock.samples("rotate")
        what = f"the whole guest as its host sees it (guest's own clock: {guest:.1f})"
    gross = summarise("", "ms", [value * 1000 for value in active])
    resting = summarise("", "ms", [value * 1000 for value in idle])
    net = _net(idle, active)
    note = (
        f"CPU of {what} in {interval:g} s with one rotation, {gross.value:.1f} ms, "
        f"less that in {interval:g} s without, {resting.value:.1f} ms; "
        f"{result['rotate']['rotations']} rotations in {len(active)} intervals; "
        f"{place.text}"
    )
    spread = quartile_distance([value * 1000 for value in active])
    target = MAX_CPU_MS.get(plane)
    return Figure(f"{_CPU}.{plane}", net, "ms", spread, target, note)


def _net(idle: list[float], active: list[float]) -> float:
    """Return the milliseconds by which the medians differ."""
    values = [
        summarise("", "s", samples, note="").value or 0.0 for samples in (idle, active)
    ]
    return (values[1] - values[0]) * 1000


BENCH = Bench(
    tuple(f"{kind}.{plane}" for kind in (_LOST, _CPU) for plane in PLANES), run
)
