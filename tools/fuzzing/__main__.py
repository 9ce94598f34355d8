"""Fuzz targets one after the other and print what each tried; `scripts/fuzz`."""

import argparse
import sys
from pathlib import Path

from fuzzing.running import Run, fuzz
from tests.fuzz.target import load, names

DEFAULT_SECONDS = 60


def table(runs: list[Run]) -> None:
    """Print how many inputs each target took, and what was found."""
    print(
        f"{'target':<14}{'seconds':>8}{'inputs':>11}{'a second':>10}{'branches':>10}"
        f"{'corpus':>8}"
    )
    for run in runs:
        rate = run.inputs / run.seconds if run.seconds else 0.0
        print(
            f"{run.name:<14}{run.seconds:>8.0f}{run.inputs:>11}{rate:>10.0f}"
            f"{run.branches:>10}{run.corpus:>8}"
        )
    for run in runs:
        for path in run.found:
            print(f"found: scripts/fuzz {run.name} --input {path}")
        if run.failed and not run.found:
            print(f"{run.name} did not run to its end: see {run.log}")


def main() -> int:
    """Run what was asked for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"{', '.join(names())} (all)")
    parser.add_argument(
        "--seconds", type=int, default=DEFAULT_SECONDS, help="for each target"
    )
    parser.add_argument("--input", type=Path, help="a file to run once, plainly")
    parser.add_argument("--list", action="store_true", help="name the targets and stop")
    arguments = parser.parse_args()
    wanted = arguments.target or names()
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(names())}")
    if arguments.list:
        for name in wanted:
            print(f"{name:<14}{load(name).about}")
        return 0
    if arguments.input is not None:
        for name in wanted:
            load(name).run(arguments.input.read_bytes())
        return 0
    runs = []
    for name in wanted:
        print(f"{name}: {arguments.seconds} s", file=sys.stderr, flush=True)
        runs.append(fuzz(name, arguments.seconds))
    table(runs)
    return 1 if any(run.failed for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
