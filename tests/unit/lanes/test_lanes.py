"""A lane forgives no skip, and its table counts what pytest says."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

SKIPPING = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("no such kernel")

@pytest.mark.skipif(True, reason="never here")
def test_marked():
    pass

@pytest.mark.may_skip("cannot be had everywhere")
def test_forgiven():
    pytest.skip("no liboqs")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""


@pytest.fixture
def lanes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lanes", ROOT / "scripts/lanes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lanes"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def run_pytest(folder: Path, test: str, *, strict: bool) -> str:
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_inner.py").write_text(test)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("QGW_")}
    if strict:
        environment["QGW_LANE_STRICT"] = "1"
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_inner.py"),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    return done.stdout


def test_skips_fail_under_strict(tmp_path: Path, lanes: ModuleType) -> None:
    output = run_pytest(tmp_path, SKIPPING, strict=True)
    assert lanes.count(output) == (2, 2, 1)
    assert "skipped where every test must run: Skipped: no such kernel" in output


def test_skips_are_told_otherwise(tmp_path: Path, lanes: ModuleType) -> None:
    output = run_pytest(tmp_path, SKIPPING, strict=False)
    assert lanes.count(output) == (2, 0, 3)


def test_a_file_that_skips_itself_fails_under_strict(
    tmp_path: Path, lanes: ModuleType
) -> None:
    whole = 'import pytest\npytest.importorskip("no_such_module_at_all")\n'
    passed, failed, _ = lanes.count(run_pytest(tmp_path, whole, strict=True))
    assert (passed, failed) == (0, 1)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("==== 12 passed in 0.31s ====", (12, 0, 0)),
        (
            "=== 1 failed, 2 passed, 3 skipped, 4 errors in 62.10s (0:01:02) ===",
            (2, 5, 3),
        ),
        ("3 passed, 1 xfailed, 1 xpassed, 9 deselected in 1.00s\r", (4, 1, 0)),
        ("FAILED tests/x.py - 3 failed in a test's own words", (0, 0, 0)),
        ("===== no tests ran in 0.01s =====", (0, 0, 0)),
    ],
)
def test_count(lanes: ModuleType, line: str, counts: tuple[int, int, int]) -> None:
    assert lanes.count(f"noise\n{line}\nnoise") == counts


def lane_of(lanes: ModuleType, *commands: tuple[str, ...]) -> object:
    return lanes.Lane("try", "", "tests", lambda: list(commands), 1)


@pytest.fixture
def logs(lanes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LOGS", tmp_path)


@pytest.mark.usefixtures("logs")
def test_a_lane_without_a_test_fails(lanes: ModuleType) -> None:
    result = lanes.run(lane_of(lanes, ("true",)), strict=False)
    assert (result.state, result.why) == ("failed", "no test ran")


@pytest.mark.usefixtures("logs")
def test_a_lane_whose_command_fails_fails(lanes: ModuleType) -> None:
    said = ("echo", "== 3 passed in 0.1s ==")
    result = lanes.run(lane_of(lanes, said, ("false",)), strict=False)
    assert (result.state, result.passed, result.why) == (
        "failed",
        3,
        "false exited with 1",
    )


@pytest.mark.usefixtures("logs")
def test_a_lane_that_hangs_is_ended_with_its_children(
    lanes: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lanes, "LANE_SECONDS", 1)
    alive = tmp_path / "alive"
    script = f"(sleep 3; touch {alive}) & wait"
    result = lanes.run(lane_of(lanes, ("sh", "-c", script)), strict=False)
    assert result.why == "sh was still running after 1 s"
    time.sleep(3)
    assert not alive.exists()


@pytest.mark.usefixtures("logs")
def test_too_little_covered_is_not_enough(lanes: ModuleType, tmp_path: Path) -> None:
    assert lanes.is_covered()  # lanes that measure nothing have nothing to show
    subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", "coverage", "run",
         f"--data-file={tmp_path / '.coverage.try'}", "-m", "gateway.errors"],
        cwd=lanes.ROOT,
        check=True,
        timeout=60,
    )  # fmt: skip
    assert not lanes.is_covered()


def test_lanes_share_the_processors_there_are(
    lanes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"a": 1.6, "b": 2.0, "c": 0.4, "d": 3.0, "e": 0.5}
    busy: list[float] = []
    most: list[float] = []
    aside: list[int] = []

    def run(lane: Any, *, strict: bool) -> object:
        busy.append(lane.processors)
        time.sleep(0.05)
        most.append(sum(busy))
        aside.append(len(busy))
        time.sleep(0.05)
        busy.remove(lane.processors)
        return lanes.Result(lane, "ran", 0.1)

    monkeypatch.setattr(lanes, "run", run)
    monkeypatch.setattr(lanes, "PROCESSORS", 2.0)
    chosen = [
        lanes.Lane(name, "", "tests", list, share) for name, share in shares.items()
    ]
    results = lanes.run_all(chosen, strict=False)
    assert [result.lane.name for result in results] == list(shares)
    assert sorted(most)[-1] == 3.0  # the one that wants more than there is, alone
    assert sorted(most)[-2] <= 2.01
    assert max(aside) == 2


def test_every_lane_is_named_once(lanes: ModuleType) -> None:
    names = [lane.name for lane in lanes.LANES]
    assert len(set(names)) == len(names)
    assert {"lint", "unit", "netns", "wireguard-go", "esp", "wireguard"} <= set(names)
