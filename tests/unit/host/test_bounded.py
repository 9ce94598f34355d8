"""Lines that come again and again: first, then counted at growing pauses, then over."""

import errno
import io
import logging
from collections.abc import Iterator

import pytest

from gateway.events.supply import OutageNoted
from gateway.host.bounded_log import OVER_AFTER, VARIANTS, BoundedLines, alike
from gateway.host.logging import ConsoleFormatter
from gateway.supply.outage import Outage

logger = logging.getLogger("gateway.tests.bounded")
outages = logging.getLogger(OutageNoted.__module__)


class Log:
    """A handler with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(ConsoleFormatter())
        self.bounded = BoundedLines(lambda: self.now)
        self.handler.addFilter(self.bounded)

    def lines(self) -> list[str]:
        """Return what was written since, from the level on."""
        said = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return [line.split(" ", 2)[2] for line in said.splitlines()]

    def look(self) -> None:
        """Write what is over."""
        for record in self.bounded.over():
            self.handler.handle(record)


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    for each in (logger, outages):
        each.addHandler(made.handler)
        each.setLevel(logging.DEBUG)
        each.propagate = False
    yield made
    for each in (logger, outages):
        each.removeHandler(made.handler)
        each.setLevel(logging.NOTSET)
        each.propagate = True


def test_first_then_counted_then_over(log: Log) -> None:
    for number in range(22 * 32):
        logger.error("cannot take one: %s, try %d", "no files", number)
        log.now += 1 / 32
    assert log.lines() == [
        "ERROR: cannot take one: no files, try 0",
        "ERROR: cannot take one: no files, try 320 (320 times)",
    ]
    log.now += OVER_AFTER - 1
    log.look()
    assert log.lines() == []
    log.now += 2
    log.look()
    (line,) = log.lines()
    assert line.startswith("INFO event=over: no more for 1m01s: cannot take one: ")
    assert line.endswith("no files, try 0 (704 times in 21s)")
    log.look()
    logger.error("cannot take one: %s, try %d", "no files", 7)
    assert log.lines() == ["ERROR: cannot take one: no files, try 7"]


def test_one_that_came_once_has_no_end(log: Log) -> None:
    logger.warning("once")
    log.now += 10 * OVER_AFTER
    log.look()
    assert log.lines() == ["WARNING: once"]


def test_tunnels_and_reasons_are_told_apart(log: Log) -> None:
    for name in ("a", "b"):
        for reason in ("dead", "gone", "dead"):
            logger.warning("lost: %s", reason, extra={"tunnel": name})
    assert len(log.lines()) == 4


def test_who_chooses_the_words_does_not_fill_the_log(log: Log) -> None:
    for number in range(10_000):
        logger.warning("refused %s", f"192.0.2.{number}")
    assert len(log.lines()) == VARIANTS + 1


def test_what_is_no_warning_and_states_are_always_said(log: Log) -> None:
    for _ in range(3):
        logger.info("up")
        logger.error("blocked", extra={"event": "blocked"})
    assert len(log.lines()) == 6


def run_out() -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_traceback_about_descriptors_is_one_line(log: Log) -> None:
    for _ in range(100):
        try:
            run_out()
        except OSError:
            logger.exception("accept failed\nsocket: <fd 7>")
    assert log.lines() == ["ERROR: accept failed: Too many open files"]


def test_lines_that_a_place_calls_alike_are_whatever_they_name(log: Log) -> None:
    for number in range(1600):
        key_id = f"{number:08x}-0000"
        reason = ("short", "differs")[number >= 800]
        logger.error("refused %s", f"{key_id} ({reason})", extra=alike("keys", reason))
        log.now += 1 / 64
    log.now += OVER_AFTER
    log.look()
    said = [line for line in log.lines() if "event=over" not in line]
    assert said == [
        "ERROR: refused 00000000-0000 (short)",
        "ERROR: refused 00000280-0000 (short) (640 times)",
        "ERROR: refused 00000320-0000 (differs)",
        "ERROR: refused 000005a0-0000 (differs) (640 times)",
    ]


@pytest.fixture
def outage() -> Outage:
    return Outage("fibre", "kme")


def test_an_hour_of_a_fault_is_a_handful_of_lines_with_its_age(
    log: Log, outage: Outage
) -> None:
    for _ in range(3600):
        outage.failed("server", "cannot draw: HTTP 500")
        log.now += 1.0
    said = log.lines()
    assert said[0] == "WARNING event=kme-server link=fibre: cannot draw: HTTP 500"
    assert said[1].endswith(": cannot draw: HTTP 500 (10 times)")
    assert said[3].endswith(": cannot draw: HTTP 500, for 1m10s (40 times)")
    assert len(said) <= 10
    log.look()
    assert log.lines() == []
    outage.recovered("gives keys again")
    outage.recovered("gives keys again")
    said = log.lines()
    assert said == ["INFO event=kme-ok link=fibre: gives keys again after 1h00m"]
    log.now += OVER_AFTER
    log.look()
    assert log.lines() == []
    outage.failed("server", "cannot draw: HTTP 500")
    (line,) = log.lines()
    assert line.endswith(": cannot draw: HTTP 500")


def test_what_fails_and_recovers_every_few_seconds_is_one_fault(
    log: Log, outage: Outage
) -> None:
    for _ in range(15):
        outage.failed("empty", "no key", is_usual=True)
        log.now += 1.5
        outage.recovered("gives keys again")
        log.now += 1.5
    said = log.lines()
    assert [line.split()[1] for line in said] == [
        *("event=kme-empty", "event=kme-ok"),
        *("event=kme-empty", "event=kme-ok"),
        *("event=kme-empty", "event=kme-ok"),
    ]
    assert said[2].endswith(": no key (4 times)")


def test_faults_of_one_work_end_together_and_of_others_not(
    log: Log, outage: Outage
) -> None:
    other = Outage("fibre", "store")
    outage.failed("empty", "no key")
    outage.failed("server", "HTTP 500")
    other.failed("failed", "disk full")
    log.now += 90.0
    outage.recovered("gives keys again")
    assert len(log.lines()) == 4
    log.now += 90.0
    other.failed("failed", "disk full")
    (line,) = log.lines()
    assert line.endswith(": disk full, for 3m00s")


def test_an_end_that_was_not_logged_does_not_make_the_next_fault_older(
    log: Log, outage: Outage
) -> None:
    outages.setLevel(logging.WARNING)
    outage.failed("server", "HTTP 500")
    outage.recovered("gives keys again")
    log.now += 7200.0
    outage.failed("server", "HTTP 500")
    assert [line.partition(": ")[2] for line in log.lines()] == ["HTTP 500"] * 2
