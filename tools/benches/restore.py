"""How long traffic stops when others take out of the kernel what a tunnel needs."""

import json
import statistics
import tempfile
from pathlib import Path

from benches.figures import Figure, quartile_distance
from benches.places import PlaceError, place_for, run_module
from benches.registry import Bench, Options
from gateway.dataplane.choose import available_planes

NAME = "restore_s"
MAX_SECONDS = 1.0
TIMES, QUICK_TIMES = 4, 2
"""Of each kind, at both ends in turn: an end that loses the same thing a fifth time
within a minute takes it for a fight, and pauses."""

TIMEOUT = 600


def measure(options: Options) -> list[Figure]:
    """Measure over the best data plane of this kernel."""
    plane = next((each.name for each in available_planes() if each.works), "esp")
    try:
        place = place_for(plane)
    except PlaceError as error:
        return [Figure(NAME, None, "s", target=MAX_SECONDS, note=str(error))]
    options.say(f"{NAME}: two daemons, plane {plane}, {place.text}")
    times = QUICK_TIMES if options.quick else TIMES
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder:
        out = Path(folder) / "out.json"
        run_module(
            place,
            Path(folder),
            "benches.restore_run",
            [f"--plane={plane}", f"--times={times}", f"--out={out}"],
            timeout=TIMEOUT,
        )
        found = json.loads(out.read_text())
    samples = [sample for kind in found.values() for sample in kind]
    worst = max(found, key=lambda kind: max(found[kind]))
    note = (
        f"from the end of what an administrator does ({', '.join(found)}) until "
        f"packets pass both ways: the worst of {len(samples)} ({worst}), whose median "
        f"is {statistics.median(samples):.3f} s; plane {plane}; {place.text}"
    )
    spread = quartile_distance(samples)
    return [Figure(NAME, max(samples), "s", spread, MAX_SECONDS, note)]


BENCH = Bench((NAME,), measure)
