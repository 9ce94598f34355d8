"""Runs the benches asked for and prints their figures."""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benches.catalogue import BENCHES
from benches.figures import Figure, render_json, render_notes, render_table
from benches.registry import Options, UnknownFigureError, choose_names, run_benches

EXIT_MISSED = 1
EXIT_USAGE = 2


def main() -> int:
    """Run as a program; return the exit status."""
    arguments = _parse()
    known = [name for bench in BENCHES for name in bench.names]
    if arguments.list:
        print("\n".join(known))
        return 0
    try:
        wanted = choose_names(known, arguments.names)
    except UnknownFigureError as error:
        print(f"bench: no figure is called {error}; see: scripts/bench --list")
        return EXIT_USAGE
    start = time.monotonic()

    def say(text: str) -> None:
        print(
            f"[{time.monotonic() - start:5.0f} s] {text}", file=sys.stderr, flush=True
        )

    figures = run_benches(BENCHES, Options(wanted, arguments.quick, say))
    print(render_table(figures))
    notes = render_notes(figures)
    if notes:
        print(f"\n{notes}")
    if arguments.json:
        arguments.json.write_text(render_json(figures, _machine(arguments.quick)))
    return _status(figures)


def _status(figures: list[Figure]) -> int:
    missed = [figure.name for figure in figures if figure.met is False]
    unknown = [figure.name for figure in figures if figure.value is None]
    print(
        f"\n{len(figures)} figures, {len(missed)} missed, {len(unknown)} not measured"
        + (f"; missed: {', '.join(missed)}" if missed else "")
    )
    return EXIT_MISSED if missed or any(one.failed for one in figures) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure what docs/performance.md promises.",
        epilog="Exit status: 1 for a missed target or a failed bench, 2 for bad usage.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figure, or prefix")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--list", action="store_true", help="name the figures")
    return parser.parse_args()


def _machine(quick: bool) -> dict[str, Any]:
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "quick": quick,
    }


if __name__ == "__main__":
    sys.exit(main())
