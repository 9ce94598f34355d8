"""Lines that come again and again: first, then counted at growing pauses, then over."""

import errno
import io
import logging
from collections.abc import Iterator

import pytest

from gateway.host.bounded_log import OVER_AFTER, VARIANTS, BoundedLines
from gateway.host.logging import ConsoleFormatter

logger = logging.getLogger("gateway.tests.bounded")


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
    logger.addHandler(made.handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield made
    logger.removeHandler(made.handler)
    logger.propagate = True


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
