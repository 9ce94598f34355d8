"""From both daemons ready to the first packet through: ``python -m benches.setup_run``.

Both daemons are started at the same moment, each time in fresh namespaces with fresh
identities. Writes one JSON object to ``--out``.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

from lab.gateway import INNER, Gateway, Settings, make_pair
from lab.netns import impair, linked_pair
from lab.tools import finish_tool, spawn_tool

INTERVAL = 60.0
"""Seconds between rotations: none in the time looked at."""

DEGRADED = ("delay", "300ms", "100ms", "loss", "1%")


def measure_once(turn: int, plane: str, seconds: float, *, degraded: bool) -> float:
    """Return the seconds until packets had come through in both directions.

    Raises:
        RuntimeError: None came through.
    """
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder,
        linked_pair(f"s{turn}") as namespaces,
    ):
        if degraded:
            for namespace in namespaces:
                impair(namespace, *DEGRADED)
        settings = Settings(plane=plane, interval=INTERVAL)
        ends = make_pair(Path(folder) / "gateways", namespaces, settings)
        tools = [
            spawn_tool(
                end.namespace,
                "benches.first_packet",
                INNER[end.letter],
                INNER[other.letter],
                str(seconds),
            )
            for end, other in (ends, reversed(ends))
        ]
        try:
            ready = start_both(ends)
            reports = [finish_tool(tool, seconds + 30.0) for tool in tools]
            first = [report["first_received"] for report in reports]
            if None in first:
                logs = "\n".join(end.tail() for end in ends)
                raise RuntimeError(f"no packet came through: {first}\n{logs}")
        finally:
            for end in ends:
                end.stop()
                end.end_children()
    return float(max(first) - ready)


def start_both(ends: tuple[Gateway, Gateway]) -> float:
    """Start both daemons at once; return when the later one was ready."""
    times: dict[str, float] = {}

    def wait(end: Gateway) -> None:
        times[end.letter] = end.wait_ready()

    for end in ends:
        end.start()
    threads = [threading.Thread(target=wait, args=(end,)) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(times) < len(ends):
        raise RuntimeError("a daemon did not become ready; see its message above")
    return max(times.values())


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", required=True)
    parser.add_argument("--degraded", action="store_true")
    parser.add_argument("--times", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    seconds = 90.0 if arguments.degraded else 60.0
    samples = []
    for turn in range(arguments.times):
        samples.append(
            measure_once(turn, arguments.plane, seconds, degraded=arguments.degraded)
        )
        print(f"{time.monotonic():.0f}: {samples[-1]:.3f} s", flush=True)
    arguments.out.write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
