"""A lane forgives no skip, and its table counts what pytest says."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lanes import __main__ as closing
from lanes import catalogue, elsewhere, kernels, running
from lanes.count import count
from lanes.lane import CannotRunError, Lane, Result

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
        timeout=150,
    )
    return done.stdout


def test_skips_fail_under_strict(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, SKIPPING, strict=True)
    assert count(output) == (2, 2, 1)
    assert "skipped where every test must run: Skipped: no such kernel" in output


def test_skips_are_told_otherwise(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, SKIPPING, strict=False)
    assert count(output) == (2, 0, 3)


def test_a_file_that_skips_itself_fails_under_strict(tmp_path: Path) -> None:
    whole = 'import pytest\npytest.importorskip("no_such_module_at_all")\n'
    passed, failed, _ = count(run_pytest(tmp_path, whole, strict=True))
    assert (passed, failed) == (0, 1)


def test_what_the_unit_lane_leaves_out_has_a_lane() -> None:
    (command,) = catalogue.unit()
    left_out = [part.removeprefix("--ignore=") for part in command if "ignore=" in part]
    assert len(left_out) > 5
    for path in left_out:
        assert [lane for lane in catalogue.LANES if lane.path.startswith(path)], path


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
def test_count(line: str, counts: tuple[int, int, int]) -> None:
    assert count(f"noise\n{line}\nnoise") == counts


def lane_of(*commands: tuple[str, ...]) -> Lane:
    return Lane("try", "", "tests", lambda: list(commands), 1)


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOGS", tmp_path)
    monkeypatch.setattr(closing, "LOGS", tmp_path)


@pytest.mark.usefixtures("logs")
def test_a_lane_without_a_test_fails() -> None:
    result = running.run(lane_of(("true",)), strict=False)
    assert (result.state, result.why) == ("failed", "no test ran")


@pytest.mark.usefixtures("logs")
def test_a_lane_whose_command_fails_fails() -> None:
    said = ("echo", "== 3 passed in 0.1s ==")
    result = running.run(lane_of(said, ("false",)), strict=False)
    assert (result.state, result.passed, result.why) == (
        "failed",
        3,
        "false exited with 1",
    )


@pytest.mark.usefixtures("logs")
def test_a_lane_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(sleep 3; touch {alive}) & wait"
    lane = replace(lane_of(("sh", "-c", script)), seconds=1)
    result = running.run(lane, strict=False)
    assert result.why == "sh was still running when its lane had to end"
    time.sleep(3)
    assert not alive.exists()


@pytest.mark.usefixtures("logs")
def test_too_little_covered_is_not_enough(tmp_path: Path) -> None:
    assert closing.is_covered()  # lanes that measure nothing have nothing to show
    subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", "coverage", "run",
         f"--data-file={tmp_path / '.coverage.try'}", "-m", "gateway.errors"],
        cwd=ROOT,
        check=True,
        timeout=150,
    )  # fmt: skip
    assert not closing.is_covered()


def test_lanes_share_the_processors_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
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
        return Result(lane, "ran", 0.1)

    monkeypatch.setattr(running, "run", run)
    monkeypatch.setattr(running, "PROCESSORS", 2.0)
    chosen = [Lane(name, "", "tests", list, share) for name, share in shares.items()]
    results = running.run_all(chosen, strict=False)
    assert [result.lane.name for result in results] == list(shares)
    assert sorted(most)[-1] == 3.0  # the one that wants more than there is, alone
    assert sorted(most)[-2] <= 2.01
    assert max(aside) == 2


def test_every_lane_is_named_once() -> None:
    names = [lane.name for lane in catalogue.LANES]
    assert len(set(names)) == len(names)
    assert {"lint", "unit", "netns", "wireguard-go", "esp", "wireguard"} <= set(names)


@pytest.mark.parametrize(
    ("here", "refusal", "begins", "aside"),
    [
        (True, "", "python", ""),
        (False, "", "in-uml", ""),
        (False, "in-uml: it died", "in-vm", "it died"),
    ],
)
def test_esp_goes_to_the_virtual_machine_and_says_so(
    monkeypatch: pytest.MonkeyPatch, here: bool, refusal: str, begins: str, aside: str
) -> None:
    monkeypatch.setattr(elsewhere, "need_root", lambda: None)
    monkeypatch.setattr(elsewhere, "kernel_has_esp", lambda: here)
    monkeypatch.setattr(elsewhere, "uml_refusal", lambda: refusal)
    commands = elsewhere.esp()
    assert all("not esp_interface" in line for line in commands)
    assert {Path(command[0]).name for command in commands} == {begins}
    files = {word for line in commands for word in line if word.endswith(".py")}
    folder = ROOT / "tests/kernel/esp"
    filtered = {elsewhere.FILTERED} if begins == "in-uml" else set()
    kernels = {f"tests/kernel/esp/{p.name}" for p in folder.glob("test_*.py")}
    assert files == kernels | filtered
    (lane,) = (lane for lane in catalogue.LANES if lane.name == "esp")
    said = lane.aside()
    assert said.endswith(aside)
    assert bool(said) == bool(aside)


@pytest.mark.usefixtures("logs")
def test_what_is_said_aside_stands_in_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = ("echo", "== 3 passed in 0.1s ==")
    lane = Lane("try", "", "tests", lambda: [said], 1, aside=lambda: "elsewhere")
    result = running.run(lane, strict=False)
    closing.table([result], 1.0)
    assert result.state == "ran"
    assert "elsewhere" in capsys.readouterr().out


def test_what_runs_in_user_mode_linux_alone_says_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    kernels.uml_refusal.cache_clear()
    try:
        with pytest.raises(CannotRunError, match="bash"):
            kernels.in_uml()
    finally:
        kernels.uml_refusal.cache_clear()


@pytest.mark.usefixtures("logs")
def test_what_was_repeated_stands_in_the_table_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = "tests/x.py::test_y[1 of 2]: woken 0.40 s late (limit 0.15 s)"
    said = rf"REPEATED {line}\r\n== 3 passed, 1 repeated under load in 0.1s ==\n"
    result = running.run(lane_of(("printf", said)), strict=False)
    closing.table([result], 1.0)
    assert (result.state, result.passed, result.failed) == ("ran", 3, 0)
    assert result.repeated == (line,)
    _, row, _, told, each, _ = capsys.readouterr().out.splitlines()
    assert row.endswith("  1 repeated under load")
    assert told.startswith("1 repeated under load")
    assert each == f"  {line}"
