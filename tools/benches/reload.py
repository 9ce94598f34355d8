"""What a reload costs the event loop, and what it costs the traffic."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.figures import Figure, summarise
from benches.hub import make_branches, tunnel_name
from benches.memory import write_hub
from benches.places import PlaceError, place_for, run_module
from benches.registry import Bench, Options
from gateway.dataplane.choose import available_planes

TUNNELS = 1000
TIMES, QUICK_TIMES = 10, 3
TIMEOUT = 600
MAX_MS = 50.0

_COST, _LOST = f"reload_ms.{TUNNELS}", "lost.reload"


def measure_cost(options: Options) -> list[Figure]:
    """Measure a hub that changes one tunnel of many."""
    options.say(f"a hub's daemon with {TUNNELS} tunnels that reloads")
    times = QUICK_TIMES if options.quick else TIMES
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as name:
        folder = Path(name)
        path = write_hub(folder, make_branches(TUNNELS))
        file = folder / "tunnels.d" / f"{tunnel_name(TUNNELS // 2)}.toml"
        done = subprocess.run(
            [sys.executable, "-m", "benches.reload_hub", path, file, str(times)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout)
    note = (
        "CPU time of the event loop's thread while one tunnel's MTU changes; "
        f"a reload takes {max(found['whole']):.0f} ms at most, in other threads, and "
        f"the loop was late by {max(found['wait']):.0f} ms at most, waits for a "
        "processor left out; data plane and fence in memory"
    )
    return [summarise(_COST, "ms", found["busy"], target=MAX_MS, note=note)]


def measure_loss(options: Options) -> list[Figure]:
    """Count packets lost while tunnels are added, changed and removed by reloads."""
    plane = next((each.name for each in available_planes() if each.works), "esp")
    try:
        place = place_for(plane)
    except PlaceError as error:
        return [Figure(_LOST, None, "packets", target=0.0, note=str(error))]
    options.say(f"{_LOST}: two daemons, plane {plane}, {place.text}")
    times = QUICK_TIMES if options.quick else TIMES
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as name:
        out = Path(name) / "out.json"
        run_module(
            place,
            Path(name),
            "benches.reload_run",
            [
                *(f"--plane={plane}", f"--times={times}"),
                *(f"--tunnels={TUNNELS}", f"--out={out}"),
            ],
            timeout=TIMEOUT,
        )
        found = json.loads(out.read_text())
    note = (
        f"of {found['sent']} sent, each way one every 2 ms, over {found['reloads']} "
        f"reloads that change the tunnel's MTU, prefixes and interval and another "
        f"tunnel of {TUNNELS + 1}; plane {plane}; {place.text}"
    )
    return [Figure(_LOST, float(found["lost"]), "packets", None, 0.0, note)]


BENCHES = (Bench((_COST,), measure_cost), Bench((_LOST,), measure_loss))
