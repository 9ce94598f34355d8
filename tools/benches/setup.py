"""How long a tunnel takes to come up, on a good link and on a bad one."""

import json
import tempfile
from pathlib import Path

from benches.figures import Figure, summarise
from benches.places import PlaceError, place_for_netem, run_module
from benches.registry import Bench, Options

PLANE = "esp"
TIMES = 5
QUICK_TIMES = 2
MAX_SECONDS = {"setup_s": 0.3, "setup_degraded_s": 3.0}


def _measure(name: str, options: Options) -> Figure:
    degraded = name == "setup_degraded_s"
    target = MAX_SECONDS[name]
    try:
        place = place_for_netem(PLANE)
    except PlaceError as error:
        return Figure(name, None, "s", target=target, note=str(error))
    options.say(f"{name}: two daemons, plane {PLANE}, {place.text}")
    times = QUICK_TIMES if options.quick else TIMES
    arguments = [f"--plane={PLANE}", f"--times={times}"]
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder:
        out = Path(folder) / "out.json"
        run_module(
            place,
            Path(folder),
            "benches.setup_run",
            [*arguments, *(["--degraded"] if degraded else []), f"--out={out}"],
            timeout=150.0 * times,
        )
        samples = json.loads(out.read_text())
    link = "each way 300 ms +-100 ms and 1 % lost" if degraded else "veth"
    note = (
        f"until a packet has come through in both directions; both daemons started "
        f"at once; plane {PLANE}; link {link}; worst of {times}: {max(samples):.2f} s; "
        f"{place.text}"
    )
    return summarise(name, "s", samples, target=target, note=note)


def _bench(name: str) -> Bench:
    return Bench((name,), lambda options: [_measure(name, options)])


BENCHES = tuple(_bench(name) for name in MAX_SECONDS)
