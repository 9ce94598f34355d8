"""Run the test lanes and say at the end which ran; `scripts/test` calls this.

A lane is a set of tests that need the same kernel. Lanes run side by side as far as
the processors go round: most lanes wait most of the time, for daemons, intervals and
timeouts, and those that keep all processors busy have them to themselves. Every test
file belongs to a lane: the unit lane takes what no other names.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "lanes"
BIN = ROOT / ".venv" / "bin"

LANE_SECONDS = 600
"""A lane that takes longer hangs; all of them together have 15 minutes."""

PROCESSORS = float(max(2, os.cpu_count() or 2))
"""What running lanes keep busy together, at most."""

BUDGET_SECONDS = 900
"""What a whole run may take on two processors; over it, the end says so."""

SLOWEST = ("--durations=8", "--durations-min=5")
"""Where a lane's time goes stands at the end of its log."""

PYTEST = (
    *(str(BIN / "python"), "-m", "pytest"),
    # A kernel's console counts as a terminal; colours would hide the closing line.
    *("-p", "no:cacheprovider", "--color=no", *SLOWEST),
)
OWN_KERNEL = ("tests/kernel", "tests/faults", "tests/systemd")

NETNS = "tests/netns"

CAP_SYS_RESOURCE = 24
"""Number of the capability, capability.h of Linux."""

STRICT = "QGW_LANE_STRICT"
"""The variable under which tests/conftest.py forgives no skip."""

INSTALLED = "QGW_SYSTEMD_INSTALLED"
"""The variable under which tests/systemd boots from a root with the gateway in it."""

KILLING = "tests/kill"

UML_INTERVAL = 10
"""Seconds between epochs under faults in User-mode Linux, where a daemon takes some
three seconds to start, and six on a busy machine: within one interval, it must have
started and recovered."""

SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")
COUNTED = {
    "passed": "passed",
    "xfailed": "passed",
    "failed": "failed",
    "xpassed": "failed",
    "error": "failed",
    "errors": "failed",
    "skipped": "skipped",
}
"""What each of pytest's words counts as here."""

SUMMARY_LINE = re.compile(
    r"^=* ?\d+ (?:passed|failed|skipped|errors?|xfailed|deselected).* in [\d.]+s"
)


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane.

    Attributes:
        name: What the operator calls it.
        needs: What it is for, and what it needs.
        path: What must exist for it to run.
        commands: The commands to run, in order; a function when the kernel decides.
        together: Whether they run side by side instead, each in a kernel of its own.
        processors: How many it keeps busy, on average; see `PROCESSORS`.
    """

    name: str
    needs: str
    path: str
    commands: Callable[[], list[tuple[str, ...]]]
    processors: float
    together: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How a lane ended."""

    lane: Lane
    state: str
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    why: str = ""


class CannotRunError(Exception):
    """Raised when this machine lacks what a lane needs; says what."""


def lint() -> list[tuple[str, ...]]:
    """Style, types, layers, shell scripts."""
    if not shutil.which("shellcheck"):
        raise CannotRunError("shellcheck is not installed: run scripts/setup test")
    files = (
        path for folder in ("scripts", ".ci") for path in (ROOT / folder).iterdir()
    )
    shell = re.compile(rb"#!/[^\n]*\b(?:ba)?sh\n")
    scripts = sorted(
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file() and shell.match(path.read_bytes())
    )
    return [
        (str(BIN / "ruff"), "check", "."),
        (str(BIN / "ruff"), "format", "--check", "."),
        (str(BIN / "mypy"),),
        (str(BIN / "lint-imports"),),
        ("shellcheck", *scripts),
    ]


def unit() -> list[tuple[str, ...]]:
    """All tests that need neither root nor a kernel of their own."""
    ignored = [f"--ignore={path}" for path in (*OWN_KERNEL, NETNS, KILLING)]
    coverage = (str(BIN / "coverage"), "run", "-m", *PYTEST[2:])
    return [(*coverage, "-n", "2", *ignored, "tests")]


def kill() -> list[tuple[str, ...]]:
    """Tests that race a child against a kill: measuring coverage would slow it."""
    return [(*PYTEST, KILLING)]


def netns() -> list[tuple[str, ...]]:
    """Tests between network namespaces of this host's kernel."""
    need_root()
    # Most of these wait; those that count lost packets need the processors.
    beside = ("-n", "3", "--dist", "loadfile", "-m", "not lossless")
    return [
        (*PYTEST, *beside, NETNS),
        (*PYTEST, "-m", "lossless", NETNS),
    ]


def wireguard_go() -> list[tuple[str, ...]]:
    """WireGuard in user space; needs a TUN device."""
    need_root()
    if not Path("/dev/net/tun").exists():
        raise CannotRunError("/dev/net/tun is missing: modprobe tun")
    return [(*PYTEST, "tests/kernel/wireguard_go")]


def esp() -> list[tuple[str, ...]]:
    """ESP, here or in User-mode Linux: it has one processor, so there are two."""
    need_root()
    here = kernel_has_esp()
    inside = () if here else ("scripts/in-uml", "--", *passed_on())
    folder = ROOT / "tests/kernel/esp"
    files = sorted(str(path.relative_to(ROOT)) for path in folder.glob("test_*.py"))
    halves = (files,) if here else (files[::2], files[1::2])
    return [(*inside, *PYTEST, *half) for half in halves]


def wireguard() -> list[tuple[str, ...]]:
    """The kernel's WireGuard and xfrm interfaces, here or in two virtual machines.

    Without KVM one machine keeps one processor busy.
    """
    need_root()
    tests = (*PYTEST, "tests/kernel/wireguard", "tests/kernel/esp_interface")
    if kernel_has_wireguard() and kernel_has_xfrm_interface():
        return [tests]
    inside = ("scripts/in-vm", "--", *passed_on(), *tests, "-k")
    return [(*inside, "TestRotation"), (*inside, "not TestRotation")]


def faults() -> list[tuple[str, ...]]:
    """A hundred kills, restarts and cuts, and some of them on ESP wherever it is.

    They wait most of the time, for daemons to start and epochs to be due.
    """
    need_root()
    commands: list[tuple[str, ...]] = [(*PYTEST, "tests/faults")]
    if not kernel_has_esp():
        fewer = ("env", "QGW_FAULT_COUNT=20", f"QGW_FAULT_INTERVAL={UML_INTERVAL:g}")
        commands.append(
            (
                *("scripts/in-uml", "--", *passed_on(), *fewer, *PYTEST),
                "tests/faults/test_hundred_faults.py",
            )
        )
    return commands


def systemd() -> list[tuple[str, ...]]:
    """The unit and README.md's set-up under systemd, on two booted machines."""
    need_root()
    if not shutil.which("debootstrap"):
        raise CannotRunError("debootstrap is not installed: run scripts/setup test")
    return [("scripts/systemd-root",), (*PYTEST, "tests/systemd")]


def systemd_esp() -> list[tuple[str, ...]]:
    """The same set-up with ESP, and what only a root without limits may do."""
    need_root()
    root, tests = systemd()
    chosen = (*tests, "-k", "readme or memory")
    if kernel_has_esp() and may_raise_limits():
        return [root, chosen]
    # pip is slow in there, and the lane above has followed README.md to the letter.
    inside = ("scripts/in-uml", "--", *passed_on(), "env", f"{INSTALLED}=1", *chosen)
    return [(*root, "--installed"), inside]


LANES = (
    Lane("unit", "no root, no kernel of its own", "tests", unit, 1.6),
    Lane("systemd", "root, namespaces, debootstrap", "tests/systemd", systemd, 0.4),
    Lane("netns", "root, network namespaces", NETNS, netns, 0.8),
    Lane(
        "faults",
        "root, network namespaces",
        "tests/faults",
        faults,
        0.5,
        together=True,
    ),
    Lane("kill", "processes that are killed", KILLING, kill, 0.4),
    Lane("wireguard-go", "root, TUN", "tests/kernel/wireguard_go", wireguard_go, 0.3),
    Lane(
        "systemd-esp", "User-mode Linux, debootstrap", "tests/systemd", systemd_esp, 0.7
    ),
    Lane("lint", "ruff, mypy, import-linter, shellcheck", "gateway", lint, 1.0),
    Lane(
        "wireguard",
        "a kernel with WireGuard and xfrm interfaces",
        "tests/kernel/wireguard",
        wireguard,
        2.0,
        together=True,
    ),
    Lane(
        "esp",
        "a kernel with ESP and AES-GCM",
        "tests/kernel/esp",
        esp,
        2.0,
        together=True,
    ),
)
"""In the order in which they begin as processors become free."""


def passed_on() -> tuple[str, ...]:
    """Begin a command that runs in another kernel, which inherits no environment."""
    return ("env", f"{STRICT}=1") if os.environ.get("CI") == "true" else ()


def need_root() -> None:
    """Refuse, with the way out, when this is not root."""
    if os.geteuid():
        raise CannotRunError("needs root: run scripts/test as root")


def may_raise_limits() -> bool:
    """Say whether root may raise resource limits here: some hosts forbid it."""
    status = Path("/proc/self/status").read_text()
    (effective,) = re.findall(r"^CapEff:\s+(\w+)$", status, re.MULTILINE)
    return bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)


def kernel_takes(*command: str) -> bool:
    """Say whether a command works in a network namespace made for it."""
    done = subprocess.run(
        ("unshare", "--net", *command), capture_output=True, check=False
    )
    return done.returncode == 0


def kernel_has_esp() -> bool:
    """Say whether this kernel installs an AES-GCM SA."""
    state = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x101 mode tunnel"
    key = "0x" + "00" * 36
    aead = ("aead", "rfc4106(gcm(aes))", key, "128")
    return kernel_takes("ip", "xfrm", "state", "add", *state.split(), *aead)


def kernel_has_wireguard() -> bool:
    """Say whether this kernel makes WireGuard devices."""
    return kernel_takes("ip", "link", "add", "probe", "type", "wireguard")


def kernel_has_xfrm_interface() -> bool:
    """Say whether this kernel makes xfrm interfaces and installs AES-GCM SAs."""
    probe = ("ip", "link", "add", "probe", "type", "xfrm", "dev", "lo", "if_id", "1")
    return kernel_has_esp() and kernel_takes(*probe)


def log_of(lane: Lane) -> Path:
    """Name the lane's log."""
    return LOGS / f"{lane.name}.log"


def part_of(lane: Lane, number: int) -> Path:
    """Name the log of one of the lane's commands, until they are joined."""
    return LOGS / f"{lane.name}.{number}.log"


def count(log: str) -> tuple[int, int, int]:
    """Read passed, failed and skipped off pytest's closing lines."""
    totals = dict.fromkeys(COUNTED.values(), 0)
    for line in log.splitlines():
        if SUMMARY_LINE.match(line):
            for number, word in SUMMARY.findall(line):
                totals[COUNTED[word]] += int(number)
    return totals["passed"], totals["failed"], totals["skipped"]


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
    until = started + LANE_SECONDS

    def one(number: int) -> str:
        with part_of(lane, number).open("w") as log:
            print("$", *commands[number], file=log, flush=True)
            ended = execute(
                commands[number], environment, log, seconds=until - time.monotonic()
            )
        return f"{Path(commands[number][0]).name} {ended}" if ended else ""

    with ThreadPoolExecutor(len(commands) if lane.together else 1) as pool:
        wrong = [said for said in pool.map(one, range(len(commands))) if said]
    with log_of(lane).open("w") as log:
        for number in range(len(commands)):
            log.write(part_of(lane, number).read_text(errors="replace"))
            part_of(lane, number).unlink()
    seconds = time.monotonic() - started
    passed, failed, skipped = count(log_of(lane).read_text(errors="replace"))
    if lane.commands is lint:
        passed, failed = len(commands) - len(wrong), len(wrong)
    elif not passed and not wrong:
        wrong.append("no test ran")
    state = "failed" if wrong else "ran"
    return Result(lane, state, seconds, passed, failed, skipped, ", ".join(wrong))


def execute(
    command: tuple[str, ...],
    environment: dict[str, str],
    log: TextIO,
    *,
    seconds: float,
) -> str:
    """Run one command and say how it went wrong, or nothing."""
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
    try:
        status = process.wait(max(seconds, 1.0))
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"was still running after {LANE_SECONDS} s"
        raise
    return f"exited with {status}" if status else ""


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
    with ThreadPoolExecutor(len(LANES)) as pool:
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


def table(results: Sequence[Result], seconds: float) -> None:
    """Print which lanes ran, and the closing line that machines read."""
    print(
        f"{'lane':<14}{'state':<9}{'passed':>7}{'failed':>7}{'skipped':>8}{'seconds':>9}"
    )
    for result in results:
        print(
            f"{result.lane.name:<14}{result.state:<9}{result.passed:>7}"
            f"{result.failed:>7}{result.skipped:>8}{result.seconds:>9.1f}"
            f"  {result.why}".rstrip()
        )
    print(f"{'all':<14}{'':<9}{'':>22}{seconds:>9.1f}")
    if seconds > BUDGET_SECONDS:
        print(f"over the budget of {BUDGET_SECONDS} s")
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    # A lane that broke without a failed test still counts as one failure.
    failed += sum(1 for r in results if r.state == "failed" and not r.failed)
    skipped = sum(result.skipped for result in results)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


def is_covered() -> bool:
    """Combine what the lanes measured into one report; whether it is enough.

    Only the unit lane measures: what runs in other kernels alone counts as missed,
    and `fail_under` in pyproject.toml leaves room for it.
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
    parser.add_argument("lane", nargs="*", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--list", action="store_true", help="name the lanes and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for lane in LANES:
            print(f"{lane.name:<14}{lane.needs}")
        return 0
    unknown = [name for name in arguments.lane if name not in names]
    if unknown:
        parser.error(f"no lane {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = arguments.lane or names
    lanes = [lane for lane in LANES if lane.name in wanted]
    strict = os.environ.get("CI") == "true"
    # A shell has us ignore it in the background, and with us what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    started = time.monotonic()
    results = run_all(lanes, strict=strict)
    covered = is_covered()
    table(results, time.monotonic() - started)
    # Under CI a lane without its tests fails the run: it must never go unnoticed.
    bad = {"failed", "not run"} | ({"missing"} if strict or arguments.lane else set())
    if not covered:
        print("too little is covered by tests; see the report above")
    return 1 if not covered or any(one.state in bad for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
