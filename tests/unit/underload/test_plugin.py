"""A failure is repeated when the machine withheld the processor, and else never.

The inner runs make the machine withhold it by stopping the sleeper. A machine that
gives it cannot be had on demand, so there the measure's answer is fixed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lanes.count import count, repeated

ROOT = Path(__file__).parents[3]

BEGIN = """
import os, signal, time
import pytest
from tests.underload import plugin

plugin.CALM, plugin.PATIENCE = 0.1, 0.2

def withhold(pytestconfig):
    sleeper = pytestconfig.pluginmanager.get_plugin("underload").watch.sleeper
    os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(sleeper.pid, signal.SIGCONT)

@pytest.fixture
def stall(pytestconfig):
    withhold(pytestconfig)
"""

GIVEN = """
from tests.underload import measure

def end(self):
    return measure.Withheld(10.0, 0.01, 0.02, 0.5, 0.0)

measure.Watch.end = end
"""
"""A machine that gave the processor."""


def run_pytest(folder: Path, test: str, *options: str) -> str:
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_inner.py").write_text(BEGIN + test)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("QGW_")}
    done = subprocess.run(  # noqa: S603  # our own interpreter
        (
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *("-p", "tests.underload.plugin", *options, "test_inner.py"),
        ),
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "QGW_LANE_STRICT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert "INTERNALERROR" not in done.stdout, done.stdout
    return done.stdout


MADE_ANEW = """
made = []

@pytest.fixture(scope="module")
def shared():
    made.append(1)
    yield len(made)

def test_before(shared):
    assert shared == 1

def test_fails_once(shared, stall):
    assert shared == 2, "the first attempt's words"

def test_after(shared):
    assert shared == 2
"""


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["here", "worker"])
def test_repeated_with_all_made_anew_and_told(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    output = run_pytest(tmp_path, MADE_ANEW, *options)
    assert count(output) == (3, 0, 0)
    assert "the first attempt's words" in output
    (line,) = repeated(output)
    assert line.startswith("test_inner.py::test_fails_once: woken ")
    assert "1 repeated under load in " in output


def test_at_most_twice(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "\ndef test_fails(stall):\n    assert False\n")
    assert count(output) == (0, 1, 0)
    assert len(repeated(output)) == 2


def test_a_setup_and_a_teardown_that_fail_are_repeated(tmp_path: Path) -> None:
    test = """
begun, ended = [], []

@pytest.fixture(scope="module")
def setup(stall_module):
    begun.append(1)
    assert len(begun) == 2

@pytest.fixture(scope="module")
def stall_module(pytestconfig):
    withhold(pytestconfig)

@pytest.fixture
def teardown(stall):
    yield
    ended.append(1)
    assert len(ended) == 2

def test_first(setup):
    pass

def test_second(teardown):
    pass
"""
    output = run_pytest(tmp_path, test)
    assert count(output) == (2, 0, 0), output
    assert len(repeated(output)) == 2


def test_the_limit_of_time_is_of_each_attempt(tmp_path: Path) -> None:
    test = """
turns = []

@pytest.mark.timeout(2)
def test_hangs_once(stall):
    turns.append(1)
    time.sleep(30 if len(turns) == 1 else 1.2)
"""
    output = run_pytest(tmp_path, test)
    assert count(output) == (1, 0, 0), output
    assert "Timeout (>2.0s)" in output
    assert len(repeated(output)) == 1


def test_a_failure_on_a_machine_that_gave_the_processor_stays(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, GIVEN + "\ndef test_fails():\n    assert False\n")
    assert count(output) == (0, 1, 0)
    assert repeated(output) == []


def test_what_no_load_makes_is_not_repeated(tmp_path: Path) -> None:
    test = """
from hypothesis import given, strategies

@given(strategies.integers())
def test_property(stall_module, number):
    assert number < 100

@pytest.fixture(scope="module")
def stall_module(pytestconfig):
    withhold(pytestconfig)

def test_skips(stall):
    pytest.skip("no such kernel")

def test_finds(stall):
    from tests.underload import findings
    findings.tell("a packet in clear")
    assert False, "packets were lost"

def test_never(stall):
    from tests.underload import findings
    findings.never([], "nothing")
    findings.never(["key 7"], "keys used twice")
"""
    output = run_pytest(tmp_path, test)
    assert count(output) == (0, 4, 0), output
    assert "AssertionError: keys used twice: ['key 7']" in output
    assert repeated(output) == []


def test_a_run_of_failures_is_no_accident(tmp_path: Path) -> None:
    test = """
plugin.MOST = 3

@pytest.mark.parametrize("number", range(4))
def test_fails(stall, number):
    assert False
"""
    output = run_pytest(tmp_path, test)
    assert count(output) == (0, 4, 0)
    assert len(repeated(output)) == 3
