"""What the machine withheld is measured; little, or unknown, excuses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.underload.measure import (
    MARGIN,
    Watch,
    Withheld,
    pressure_total,
    stolen_and_all,
)

SPIN = "import time; end = time.monotonic() + 20\nwhile time.monotonic() < end: pass"


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.close()


def stop_for(watch: Watch, seconds: float) -> None:
    """Withhold the processor from the sleeper alone."""
    os.kill(watch.sleeper.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(watch.sleeper.pid, signal.SIGCONT)


def test_a_stall_is_seen_and_a_later_time_forgets_it(watch: Watch) -> None:
    stop_for(watch, 1.0)
    found = watch.end()
    assert found.stall is not None
    assert found.stall > 0.7
    assert found.late is not None
    assert found.late > 0.3
    assert any(word.startswith("woken ") for word in found.excesses())
    watch.end()
    watch.begin()
    time.sleep(0.3)
    later = watch.end()
    assert later.stall is not None
    assert later.stall < found.stall


def test_a_stall_that_still_lasts_is_seen(watch: Watch) -> None:
    os.kill(watch.sleeper.pid, signal.SIGSTOP)
    try:
        found = watch.end()
    finally:
        os.kill(watch.sleeper.pid, signal.SIGCONT)
    assert found.stall == 5.0


def test_a_sleeper_that_died_excuses_nobody(watch: Watch) -> None:
    watch.sleeper.kill()
    watch.sleeper.wait()
    found = watch.end()
    assert (found.stall, found.late) == (None, None)


def test_the_sleeper_ends_with_its_reader() -> None:
    made = Watch()
    assert made.sleeper.stdin is not None
    made.sleeper.stdin.close()
    assert made.sleeper.wait(10.0) == 0
    made.sleeper.stdin = None
    made.close()


@pytest.mark.skipif(pressure_total() is None, reason="this kernel measures none")
@pytest.mark.may_skip("kernels without CONFIG_PSI")
def test_more_work_than_processors_is_pressure(watch: Watch) -> None:
    count = 2 * (os.cpu_count() or 1)
    spinning = [subprocess.Popen((sys.executable, "-c", SPIN)) for _ in range(count)]  # noqa: S603  # our own interpreter
    try:
        time.sleep(0.5)
        watch.begin()
        time.sleep(1.0)
        found = watch.end()
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    assert found.pressure is not None
    assert found.pressure > 0.6
    assert any(word.startswith("somebody waited") for word in found.excesses())


def test_what_is_not_told_is_not_known(tmp_path: Path) -> None:
    assert pressure_total(tmp_path / "none") is None
    told = tmp_path / "cpu"
    told.write_text("some avg10=1.00 avg60=2.00 avg300=3.00 total=1500000\nfull ...\n")
    assert pressure_total(told) == 1.5
    told.write_text("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n")
    assert stolen_and_all(told) == (8, 36)
    told.write_text("cpu  1 2 3 4\n")
    assert stolen_and_all(told) is None


@pytest.mark.parametrize(
    ("withheld", "excesses"),
    [
        (Withheld(10.0, 0.01, 0.02, 0.3, 0.01), 0),
        (Withheld(10.0, MARGIN, 0.25, 0.6, 0.05), 0),  # at the limits, not over
        (Withheld(10.0, None, None, None, None), 0),
        (Withheld(0.1, 0.01, 0.9, 1.0, 1.0), 0),  # all of it, and yet too little
        (Withheld(10.0, 0.2, 0.02, 0.3, 0.0), 1),
        (Withheld(10.0, None, None, 0.61, None), 1),
        (Withheld(10.0, 0.4, 0.3, 0.9, 0.2), 4),
    ],
)
def test_excesses(withheld: Withheld, excesses: int) -> None:
    assert len(withheld.excesses()) == excesses
