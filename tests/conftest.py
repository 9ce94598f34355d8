"""How tests are reported: a lane of `scripts/test` forgives no skipped test.

Under ``QGW_LANE_STRICT=1`` a skip counts as a failure, so that nothing stops
running without anyone noticing. A test that may well be skipped, because what it
needs cannot be had everywhere, says so and why::

    @pytest.mark.may_skip("liboqs is not in Debian")
"""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from gateway.events.bus import subscribe
from gateway.observe.journal.listener import log

# As qgwd does first: tests read the lines that an operator would.
subscribe(log)

STRICT = os.environ.get("QGW_LANE_STRICT") == "1"

# Lanes share two processors with a virtual machine: wall time says nothing there.
# Where nothing is forgiven, properties get the same inputs each time, as Hypothesis'
# own profile for CI has it, so that a failure is the change's. Other runs look on.
settings.register_profile("lanes", deadline=None, print_blob=True, derandomize=STRICT)
settings.load_profile("lanes")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where skips are not forgiven."""
    report = yield
    forgiven = item.get_closest_marker("may_skip") or hasattr(report, "wasxfail")
    if STRICT and report.skipped and not forgiven:
        report.longrepr = f"skipped where every test must run: {reason(report)}"
        report.outcome = "failed"
        # For tests/underload, which does not excuse it.
        report.refused_skip = True  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    """The same for a whole file that skips itself."""
    report = yield
    if STRICT and report.skipped:
        report.longrepr = f"skipped where every test must run: {reason(report)}"
        report.outcome = "failed"
    return report


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Say why a test was skipped."""
    longrepr = report.longrepr
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)
