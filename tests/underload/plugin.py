"""A pytest plugin: a test that failed while the processor was withheld runs again.

    python -m pytest -p tests.underload.plugin ...

A failed test is repeated if, and only if, the machine withheld the processor beyond a
limit of `measure` while it ran; at most twice, with every fixture made anew. Each
attempt that does not count is told at the end with its measures and its own words.
A failure on a machine that gave the processor stays a failure, and so do

* what tells of a finding, such as a packet in clear (`findings`);
* the failure of a property, since the inputs that it found are a finding;
* a skip where every test must run, since no load makes one;
* what fails after `MOST` repeats, since a run of failures is no accident.
"""

import time
from collections.abc import Sequence

import pytest
from _pytest.runner import call_and_report

from tests.underload import findings
from tests.underload.measure import Watch

ATTEMPTS = 3
"""Of one test."""

MOST = 10
"""Repeats in one process."""

CALM = 2.0
"""Seconds without an excess after which a test is repeated, ..."""

PATIENCE = 20.0
"""... or after so many with one. The last attempt counts, whatever the load."""

REPEATED = "repeated under load"
"""What pytest's closing line calls attempts that do not count."""

ATTEMPT = pytest.StashKey[int]()
"""Of an item, which attempt is next."""

PROPERTY = "is_hypothesis_test"
"""Attribute of a test function that draws its inputs."""


class UnderLoad:
    """Runs tests, in the process that runs them; tells of repeats, in the other.

    Attributes:
        repeats: How many there were in this process.
    """

    def __init__(self) -> None:
        self.repeats = 0
        self._watch: Watch | None = None

    @property
    def watch(self) -> Watch:
        """The measure, begun when first wanted: not every process runs tests."""
        if self._watch is None:
            self._watch = Watch()
        return self._watch

    def pytest_unconfigure(self) -> None:
        """End the measure."""
        if self._watch is not None:
            self._watch.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool:
        """Run a test, and again until an attempt counts."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        attempt = item.stash.get(ATTEMPT, 1)
        reports = self._attempt(item, nextitem, is_last=attempt == ATTEMPTS)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if any(str(report.outcome) == "repeated" for report in reports):
            self.repeats += 1
            item.stash[ATTEMPT] = attempt + 1
            if item.config.pluginmanager.hasplugin("timeout"):
                # The limit of time, which else goes on while we wait; the hook that
                # is called next sets another one.
                item.config.hook.pytest_timeout_cancel_timer(item=item)
            self._wait_for_calm()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return True

    def _attempt(
        self, item: pytest.Item, nextitem: pytest.Item | None, *, is_last: bool
    ) -> Sequence[pytest.TestReport]:
        """Run a test once; return its reports, or the one that does not count."""
        if not getattr(item, "_request", True):
            item._initrequest()  # type: ignore[attr-defined]  # as pytest's runner does
        findings.forget()
        self.watch.begin()
        reports = [call_and_report(item, "setup", log=False)]
        if reports[0].passed:
            reports.append(call_and_report(item, "call", log=False))
        excused = None if is_last else self._excuse(item, reports)
        session = item.session
        # What other tests shared with it may be what broke: all is made anew.
        end = excused or session.shouldfail or session.shouldstop
        last = None if end else nextitem
        reports.append(call_and_report(item, "teardown", log=False, nextitem=last))
        if not excused and not is_last and reports[-1].failed:
            excused = self._excuse(item, reports)
        if hasattr(item, "_request"):
            item._request = False
            item.funcargs = None  # type: ignore[attr-defined]
        return [excused] if excused else reports

    def _excuse(
        self, item: pytest.Item, reports: Sequence[pytest.TestReport]
    ) -> pytest.TestReport | None:
        """Return the failure as one that does not count, if the machine is why."""
        failed = [report for report in reports if report.failed]
        if not failed or self.repeats >= MOST or hasattr(failed[0], "refused_skip"):
            return None
        if findings.told() or getattr(getattr(item, "obj", None), PROPERTY, False):
            return None
        excesses = self.watch.end().excesses()
        if not excesses:
            return None
        report = failed[0]
        report.outcome = "repeated"  # type: ignore[assignment]
        report.withheld = ", ".join(excesses)  # type: ignore[attr-defined]
        return report

    def _wait_for_calm(self) -> None:
        """Wait for a machine that gives the processor, or no longer."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.watch.begin()
            time.sleep(CALM)
            if not self.watch.end().excesses():
                break

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Give attempts that do not count a name of their own."""
        if str(report.outcome) == "repeated":
            return REPEATED, "L", ("REPEATED", {"yellow": True})
        return None

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Tell of each attempt that did not count, in its own words."""
        for report in terminalreporter.getreports(REPEATED):
            terminalreporter.write_sep("_", f"{REPEATED}: {report.nodeid}")
            report.toterminal(terminalreporter._tw)
        for report in terminalreporter.getreports(REPEATED):
            terminalreporter.write_line(f"REPEATED {report.nodeid}: {report.withheld}")


def pytest_configure(config: pytest.Config) -> None:
    """Put the guard in place."""
    config.pluginmanager.register(UnderLoad(), "underload")
