"""Packets lost over rotations, and CPU of a rotation, on every plane there is."""

import json
import statistics
import tempfile
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab import strongswan

from benches.cpu import processes_cpu, session_pids
from benches.figures import Figure, summarise
from benches.pair_run import MARK
from benches.places import Place, PlaceError, place_for, run_module
from benches.registry import Bench, Options

PLANES = ("esp", "wireguard", "wireguard-go")
ROTATIONS = 20
QUICK_ROTATIONS = 5
MAX_LOST = 0
MAX_CPU_MS = {"rotation_cpu_ms.esp": 9.0}
"""strongSwan's CHILD rekey with ML-KEM takes 5.7 to 9.3 ms in User-mode Linux."""

INTERVALS = {"esp": 2.0, "wireguard": 3.0, "wireguard-go": 3.0}
SLOW_INTERVAL = 10.0
"""Seconds between rotations in a kernel that is emulated."""

SLOW_PACKET_INTERVAL = 0.05
"""Seconds between packets there: a Python program that sends and receives one takes
2 ms of its own, and there are two on as many emulated processors."""

TUNNELS = 50
CPU_INTERVAL = 50.0
REST_INTERVAL = 3600.0
"""So one rotation a second while CPU is measured, each tunnel at a phase of its own.
From 50 seconds up a tunnel at rest looks at its counters each ten, as it also does
while none rotates, so that the difference is that of rotations alone."""

SHARED_INTERVALS = {"wireguard": 5.0, "wireguard-go": 5.0}
"""Two gateways share one WireGuard peer and so one tunnel, which rotates as often as
it can. Its looks at the counters, five in an interval, count with its rotations."""

WINDOW = 10.0
WINDOWS = 5
"""As many as make `CPU_INTERVAL`: each tunnel rotates once, whatever its phase."""

SLOW_WINDOWS = 10

MIN_SHARE = 0.9
"""Of the rotations due; fewer, or more by as much, mean that something fails."""

_LOST, _CPU = "lost", "rotation_cpu_ms"
PEER = f"{_CPU}.strongswan"


@dataclass(slots=True)
class GuestClock:
    """Reads from outside what a guest costs, at each mark that it prints."""

    readings: list[float] = field(default_factory=list)

    def on_line(self, line: str, pid: int) -> None:
        """Take a reading where the line is a mark."""
        if line.startswith(MARK):
            self.readings.append(processes_cpu(session_pids(pid)))

    def samples(self) -> list[float]:
        """Return CPU seconds between the marks."""
        return [after - before for before, after in pairwise(self.readings)]


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


def run_peer(options: Options) -> list[Figure]:
    """Measure strongSwan's rekeys as our rotations on ESP, where there is one."""
    try:
        place = _place_for_peer()
    except PlaceError as error:
        return [Figure(PEER, None, "", note=f"not measured: {error}")]
    options.say(f"{PEER}: two strongSwan daemons, {place.text}")
    module = "benches.peer_run"
    result, active = _cpu_windows(module, [], place, CPU_INTERVAL, TUNNELS, WINDOWS)
    if not result["rotations"]:
        raise RuntimeError(f"no rekey: {result['what']}")
    _, idle = _cpu_windows(module, [], place, REST_INTERVAL, TUNNELS, 2)
    return [_cpu_figure(PEER, result["what"], place, result["rotations"], active, idle)]


def _place_for_peer() -> Place:
    if not strongswan.is_installed():
        raise PlaceError("apt-get install charon-systemd strongswan-swanctl")
    return place_for("esp")


def _names(plane: str) -> tuple[str, ...]:
    return tuple(f"{kind}.{plane}" for kind in (_LOST, _CPU))


def _interval(plane: str, place: Place) -> float:
    return SLOW_INTERVAL if place.slowness > 1 else INTERVALS[plane]


def _measure_lost(name: str, plane: str, place: Place, options: Options) -> Figure:
    rotations = QUICK_ROTATIONS if options.quick else ROTATIONS
    packets = SLOW_PACKET_INTERVAL if place.slowness > 1 else 0.001
    interval = _interval(plane, place)
    counted = _run_pair(
        "benches.pair_run",
        place,
        interval,
        [
            "--phase=lost",
            *_plane(plane, place),
            f"--rotations={rotations}",
            f"--packet-interval={packets}",
        ],
        GuestClock(),
    )
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
    slow = place.slowness > 1
    tunnels = 1 if plane in SHARED_INTERVALS else TUNNELS
    interval = SHARED_INTERVALS.get(plane, CPU_INTERVAL)
    if slow:
        interval = max(interval, SLOW_INTERVAL)
    windows = SLOW_WINDOWS if slow and not options.quick else WINDOWS
    module, arguments = "benches.pair_run", ["--phase=cpu", *_plane(plane, place)]
    result, active = _cpu_windows(module, arguments, place, interval, tunnels, windows)
    _, idle = _cpu_windows(
        module, arguments, place, REST_INTERVAL, tunnels, max(windows // 2, 2)
    )
    rotations = result["rotations"]
    due = tunnels * windows * WINDOW / interval
    if not MIN_SHARE * due - 1 <= rotations <= due / MIN_SHARE + 1:
        raise RuntimeError(f"{rotations} rotations where {due:.0f} were due")
    what = "both daemons" + (" and wireguard-go" if plane == "wireguard-go" else "")
    return _cpu_figure(
        name, f"{what}, {tunnels} tunnels", place, rotations, active, idle
    )


def _cpu_windows(
    module: str,
    arguments: list[str],
    place: Place,
    interval: float,
    tunnels: int,
    windows: int,
) -> tuple[dict[str, Any], list[float]]:
    """Run a pair; return what it counted and the CPU seconds of each window."""
    clock = GuestClock()
    result = _run_pair(
        module,
        place,
        interval,
        [
            *arguments,
            f"--window={WINDOW}",
            f"--samples={windows}",
            f"--tunnels={tunnels}",
        ],
        clock,
    )
    # A User-mode Linux's own clocks tick in hundredths of a second, and count what the
    # host waits for a disk as its work: what the host spends on it is the truth.
    return result, clock.samples() if place.name == "uml" else result["cpu"]


def _plane(plane: str, place: Place) -> list[str]:
    """Return the arguments by which a pair of ours knows its plane."""
    return [f"--plane={plane}", f"--slowness={min(place.slowness, 10)}"]


def _run_pair(
    module: str,
    place: Place,
    interval: float,
    arguments: list[str],
    clock: GuestClock,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder:
        out = Path(folder) / "out.json"
        run_module(
            place,
            Path(folder),
            module,
            [f"--out={out}", f"--interval={interval:g}", *arguments],
            timeout=600 + 4 * ROTATIONS * min(interval, CPU_INTERVAL),
            on_line=clock.on_line,
        )
        result: dict[str, Any] = json.loads(out.read_text())
    return result


def _cpu_figure(
    name: str,
    what: str,
    place: Place,
    rotations: int,
    active: list[float],
    idle: list[float],
) -> Figure:
    """Return the net CPU of a rotation; the note has the gross."""
    if place.name == "uml":
        what += ", the whole guest as its host sees it"
    each = rotations / len(active)
    resting = statistics.median(idle)
    samples = [(one - resting) / each * 1000 for one in active]
    gross = statistics.median(active) / each * 1000
    note = (
        f"CPU of {what}, less what it is without rotations; "
        f"{rotations} rotations; gross {gross:.1f} ms a rotation, at rest "
        f"{resting / WINDOW * 1000:.1f} ms a second; {place.text}"
    )
    return summarise(name, "ms", samples, target=MAX_CPU_MS.get(name), note=note)


def _bench(plane: str) -> Bench:
    return Bench(_names(plane), partial(run, plane))


BENCHES = (*(_bench(plane) for plane in PLANES), Bench((PEER,), run_peer))
