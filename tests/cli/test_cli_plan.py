"""``qgw plan``: tables, JSON, pictures, live stocks, and what bad input gets."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli.exit_codes import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from tests.cli.conftest import Outcome, StartDaemon, a_link, a_status, qgw
from tests.unit.planner.examples import EXAMPLE, SMALL, write

FROM = ("--start", "2026-11-01")


def example(folder: Path, *arguments: str) -> Outcome:
    """Plan a copy without the permissions that a clone's umask gave it."""
    return qgw("plan", str(write(folder, EXAMPLE.read_text())), *FROM, *arguments)


def test_the_example_says_what_to_change(tmp_path: Path) -> None:
    outcome = example(tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[1] == "  from: 2026-11-01 00:00 UTC"
    rows = {line.split(" ")[0]: line for line in lines}
    assert " holds " in rows["redu-lux"]
    assert " short " in rows["lux-sin"]
    assert " short " in rows["redu-sin"]
    advice = [line for line in lines if "would hold" in line]
    assert len(advice) == 2
    assert advice[0].startswith("lux-sin: would hold with 95.0% at qkd_every = ")
    assert advice[0].endswith("with redu-sin changed likewise")
    assert "more: see --json" in outcome.out
    assert "Singapore" in outcome.out


def test_documentation_shows_what_is_printed(tmp_path: Path) -> None:
    """docs/plan.md quotes the example's tunnels and advice."""
    page = (EXAMPLE.parents[1] / "docs" / "plan.md").read_text()
    shown = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    quoted = [line for line in shown if line.startswith(("redu-lux", "lux-sin"))]
    assert len(quoted) == 3
    assert set(quoted) <= set(example(tmp_path).out.splitlines())


def test_json_has_all_of_it(tmp_path: Path) -> None:
    outcome = example(tmp_path, "--json", "--days", "7", "--probability", "0.9")
    answer = json.loads(outcome.out)
    assert (answer["days"], answer["probability"]) == (7, 0.9)
    assert answer["start"] == "2026-11-01T00:00:00+00:00"
    links = {each["link"]: each for each in answer["links"]}
    band = links["satellite"]["stock_quantiles"]
    assert {len(each) for each in band.values()} == {len(answer["times"])}
    assert band["0.05"][0] == band["0.95"][0] == 12_000
    passes = links["satellite"]["passes"]
    assert {each["station"] for each in passes} == {"Luxembourg", "Singapore"}
    assert all(each["max_elevation"] >= 20.0 for each in passes)
    assert all(
        each["expected_bits"] == round(each["bits"] * each["probability"])
        for each in passes
    )
    tunnels = {each["tunnel"]: each for each in answer["tunnels"]}
    assert tunnels["redu-lux"]["advice"] is None
    assert tunnels["redu-lux"]["lacks_median"] is None
    # 720 keys a day, and 2 pads for each 64 of them.
    assert tunnels["redu-sin"]["keys_per_day_and_hop"] == 742.5


def test_it_begins_now(tmp_path: Path) -> None:
    answer = json.loads(qgw("plan", str(write(tmp_path)), "--json").out)
    start = datetime.fromisoformat(answer["start"])
    assert abs(datetime.now(UTC) - start) < timedelta(minutes=1)


def test_a_start_may_say_its_offset(tmp_path: Path) -> None:
    file = str(write(tmp_path))
    out = qgw("plan", file, "--start", "2026-11-01T08:00+08:00").out
    assert "from: 2026-11-01 00:00 UTC" in out


def test_pictures(tmp_path: Path) -> None:
    file = str(write(tmp_path))
    for name, begin in (("a.png", b"\x89PNG"), ("b.SVG", b"<?xml")):
        image = tmp_path / name
        assert qgw("plan", file, *FROM, "--picture", str(image)).code == 0
        assert image.read_bytes().startswith(begin)
    ElementTree.parse(tmp_path / "b.SVG")  # noqa: S314  # our own
    outcome = qgw("plan", file, *FROM, "--picture", str(tmp_path / "no" / "a.png"))
    assert outcome.code == FAILED
    assert "cannot write" in outcome.err
    assert "no such file or directory" in outcome.err


def test_live_stocks_are_the_daemons(start_daemon: StartDaemon, tmp_path: Path) -> None:
    file = str(write(tmp_path))
    daemon = start_daemon(
        {"status": a_status(links=[a_link("space", available=123_456)])}
    )
    outcome = daemon.qgw("plan", file, *FROM, "--live", "--json")
    assert outcome.code == 0
    assert outcome.err == (
        f"warning: the daemon has no link fibre: 1000 keys, as in {file}\n"
    )
    links = {each["link"]: each for each in json.loads(outcome.out)["links"]}
    assert links["space"]["stock"] == links["space"]["capacity"] == 123_456
    assert links["fibre"]["stock"] == 1000
    stranger = start_daemon({"status": a_status()})
    outcome = stranger.qgw("plan", file, *FROM, "--live")
    assert outcome.code == NOT_FOUND
    assert outcome.err.startswith("qgw: the daemon has no link of ")


def test_live_without_a_daemon(tmp_path: Path) -> None:
    outcome = qgw("--socket", "/nonexistent", "plan", str(write(tmp_path)), "--live")
    assert outcome.code == UNREACHABLE


def test_problems_are_named_with_their_lines(tmp_path: Path) -> None:
    text = SMALL.replace('["fibre"]', '["fiber"]').replace("rate = 256", "rate = -1")
    file = write(tmp_path, text)
    outcome = qgw("plan", str(file), *FROM)
    assert (outcome.code, outcome.out) == (FAILED, "")
    rate = "expected a number of bits a second from 0 to 1e+09, found -1"
    link = "expected a known link (fibre, space), found 'fiber'"
    assert outcome.err.splitlines() == [
        f"{file}:7: links.fibre.rate: {rate}",
        f"{file}:15: tunnels.a.links[0]: {link}",
        "qgw: 2 problems in the configuration",
        f"hint: correct them and run again: qgw plan {file}",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--start", "tomorrow"),
        ("--days", "0"),
        ("--days", "367"),
        ("--probability", "1"),
        ("--picture", "stock.gif"),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...]) -> None:
    outcome = qgw("plan", str(EXAMPLE), *arguments)
    assert (outcome.code, outcome.out) == (USAGE, "")
    assert "hint: see qgw plan --help" in outcome.err


@pytest.mark.parametrize("package", ["numpy", "sgp4", "matplotlib"])
def test_what_is_missing_is_named(tmp_path: Path, package: str) -> None:
    """In a process where the package cannot be imported; the rest of qgw works."""
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from gateway.cli.main import main; sys.exit(main())"
    )
    file, image = str(write(tmp_path)), str(tmp_path / "a.png")
    for arguments, code in (
        (["plan", file, "--picture", image], FAILED),
        (["plan", "--help"], 0),
    ):
        result = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stderr
        if code:
            assert f"needs {package}" in result.stderr
            assert "scripts/install --plan" in result.stderr
