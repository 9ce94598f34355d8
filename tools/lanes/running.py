"""Lanes run side by side, each into a log of its own."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

from lanes.catalogue import lint
from lanes.command import STRICT
from lanes.count import count, repeated
from lanes.lane import ROOT, CannotRunError, Lane, Result

LOGS = ROOT / ".cache" / "lanes"

PROCESSORS = float(max(2, os.cpu_count() or 2))
"""What running lanes keep busy together, at most."""


def log_of(lane: Lane) -> Path:
    """Name the lane's log."""
    return LOGS / f"{lane.name}.log"


def part_of(lane: Lane, number: int) -> Path:
    """Name the log of one of the lane's commands, until they are joined."""
    return LOGS / f"{lane.name}.{number}.log"


def run(lane: Lane, *, strict: bool) -> Result:
    """Run one lane into its log."""
    if not (ROOT / lane.path).exists():
        return Result(lane, "missing", 0.0, why=f"no {lane.path}")
    try:
        commands = lane.commands()
    except CannotRunError as error:
        return Result(lane, "not run", 0.0, why=str(error))
    environment = dict(os.environ, COVERAGE_FILE=str(LOGS / f".coverage.{lane.name}"))
    if strict:
        environment[STRICT] = "1"
    started = time.monotonic()
    until = started + lane.seconds
    busy: list[float] = []

    def one(number: int) -> str:
        with part_of(lane, number).open("w") as log:
            print("$", *commands[number], file=log, flush=True)
            left = until - time.monotonic()
            ended, used = execute(commands[number], environment, log, seconds=left)
            busy.append(used)
        return f"{Path(commands[number][0]).name} {ended}" if ended else ""

    with ThreadPoolExecutor(len(commands) if lane.together else 1) as pool:
        wrong = [how for how in pool.map(one, range(len(commands))) if how]
    with log_of(lane).open("w") as log:
        for number in range(len(commands)):
            log.write(part_of(lane, number).read_text(errors="replace"))
            part_of(lane, number).unlink()
    seconds = time.monotonic() - started
    said = log_of(lane).read_text(errors="replace")
    passed, failed, skipped = count(said)
    again = tuple(repeated(said))
    if lane.commands is lint:
        passed, failed = len(commands) - len(wrong), len(wrong)
    elif not passed and not wrong:
        wrong.append("no test ran")
    state = "failed" if wrong else "ran"
    aside = lane.aside()
    if aside:
        wrong.append(aside)
    if again:
        wrong.append(f"{len(again)} repeated under load")
    why = ", ".join(wrong)
    processors = sum(busy) / seconds
    return Result(lane, state, seconds, passed, failed, skipped, why, again, processors)


def execute(
    command: tuple[str, ...],
    environment: dict[str, str],
    log: TextIO,
    *,
    seconds: float,
) -> tuple[str, float]:
    """Run one command.

    Returns:
        How it went wrong, or nothing, and the seconds of processors that it used with
        all of its children that it waited for.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A group of its own, so that a hanging lane takes its kernels with it.
        start_new_session=True,
    )
    said = "was still running when its lane had to end"
    try:
        wait_for_end(process, max(seconds, 1.0))
        said = ""
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        if not isinstance(error, subprocess.TimeoutExpired):
            process.wait()
            raise
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not said:
        said = f"exited with {process.returncode}"
    return said, used.ru_utime + used.ru_stime


def wait_for_end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until a process has ended, without burying it: `wait4` counts its time.

    Raises:
        subprocess.TimeoutExpired: It goes on.
    """
    ended = os.pidfd_open(process.pid)
    try:
        if not select.select([ended], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired(process.args, seconds)
    finally:
        os.close(ended)


def report(result: Result) -> None:
    """Print one line when a lane ends, and the whole log when it failed."""
    print(f"{result.lane.name}: {result.state} {result.why}".rstrip(), flush=True)
    if result.state == "failed":
        print(f"--- {log_of(result.lane).relative_to(ROOT)}")
        print(log_of(result.lane).read_text(errors="replace"))
        print(f"--- end of {result.lane.name}", flush=True)


def run_all(lanes: Sequence[Lane], *, strict: bool) -> list[Result]:
    """Run lanes side by side, as many as the processors go round for."""
    waiting = list(lanes)
    running: dict[Future[Result], Lane] = {}
    results: list[Result] = []
    with ThreadPoolExecutor(len(lanes)) as pool:
        while waiting or running:
            for lane in tuple(waiting):
                busy = sum(one.processors for one in running.values())
                # A lane that wants more than there is runs alone.
                if not running or busy + lane.processors <= PROCESSORS + 0.01:
                    print(f"{lane.name}: {lane.needs}", flush=True)
                    waiting.remove(lane)
                    running[pool.submit(run, lane, strict=strict)] = lane
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                del running[ended]
                results.append(ended.result())
                report(results[-1])
    return sorted(results, key=lambda result: lanes.index(result.lane))
