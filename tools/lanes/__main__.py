"""Run the test lanes and say at the end which ran; `scripts/test` calls this.

A lane is a set of tests that need the same kernel. Lanes run side by side as far as
the processors go round: most lanes wait most of the time, for daemons, intervals and
timeouts, and those that keep all processors busy have them to themselves. Every test
file belongs to a lane: the unit lane takes what no other names.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from lanes.catalogue import LANES
from lanes.lane import BIN, ROOT, Result
from lanes.liboqs import NOT_TESTED, is_at_hand
from lanes.running import LOGS, run_all

BUDGET_SECONDS = 1200
"""What a whole run may take on two processors; over it, the end says so."""


def table(results: Sequence[Result], seconds: float) -> None:
    """Print which lanes ran, and the closing line that machines read."""
    print(
        f"{'lane':<14}{'state':<9}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>9}{'busy':>6}"
    )
    for result in results:
        print(
            f"{result.lane.name:<14}{result.state:<9}{result.passed:>7}"
            f"{result.failed:>7}{result.skipped:>8}{result.seconds:>9.1f}{result.processors:>6.2f}"
            f"  {result.why}".rstrip()
        )
    print(f"{'all':<14}{'':<9}{'':>22}{seconds:>9.1f}")
    if any(result.lane.name == "unit" for result in results) and not is_at_hand():
        print(NOT_TESTED)
    if seconds > BUDGET_SECONDS:
        print(f"over the budget of {BUDGET_SECONDS} s")
    repeated = [line for result in results for line in result.repeated]
    if repeated:
        print(f"{len(repeated)} repeated under load, since the processor was withheld:")
        for line in repeated:
            print(f"  {line}")
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    # A lane that broke without a failed test still counts as one failure.
    failed += sum(1 for r in results if r.state == "failed" and not r.failed)
    skipped = sum(result.skipped for result in results)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


def is_covered() -> bool:
    """Combine what the lanes measured into one report; whether it is enough.

    The unit lane measures, and so do the fence's tests and wireguard-go's, whose
    planes run in the test's own process. What runs in other kernels alone counts as
    missed, and `fail_under` in pyproject.toml leaves room for it.
    """
    measured = [str(path) for path in LOGS.glob(".coverage.*")]
    if not measured:
        return True
    tool = str(BIN / "coverage")
    data = f"--data-file={LOGS / '.coverage'}"
    subprocess.run((tool, "combine", "-q", data, *measured), cwd=ROOT, check=False)
    report = (tool, "report", data, "--skip-covered")
    return subprocess.run(report, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run what was asked for; 0 only when every lane of it ran and passed."""
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__)
    names = [lane.name for lane in LANES]
    parser.add_argument(
        "lane",
        nargs="*",
        help=f"{', '.join(names)} (default: all but those that take long)",
    )
    parser.add_argument("--list", action="store_true", help="name the lanes and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for lane in LANES:
            long = ", by name alone" if lane.by_name else ""
            print(f"{lane.name:<14}{lane.needs}{long}")
        return 0
    unknown = [name for name in arguments.lane if name not in names]
    if unknown:
        parser.error(f"no lane {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = arguments.lane or [lane.name for lane in LANES if not lane.by_name]
    lanes = [lane for lane in LANES if lane.name in wanted]
    strict = os.environ.get("CI") == "true"
    # A shell has us ignore it in the background, and with us what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    started = time.monotonic()
    results = run_all(lanes, strict=strict)
    # What the unit lane leaves out is most of it: without it, nothing can be said.
    covered = "unit" not in {lane.name for lane in lanes} or is_covered()
    table(results, time.monotonic() - started)
    # Under CI a lane without its tests fails the run: it must never go unnoticed.
    bad = {"failed", "not run"} | ({"missing"} if strict or arguments.lane else set())
    if not covered:
        print("too little is covered by tests; see the report above")
    return 1 if not covered or any(one.state in bad for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
