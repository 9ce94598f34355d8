"""The clock a year back and a year forward: nothing happens."""

import json
from pathlib import Path

import pytest
from lab.gateway import Gateway

from gateway.errors import ControlError
from tests.netns.labs import INTERVAL, Lab, state, status, until

YEAR = 365 * 86_400


def library() -> Path | None:
    """Return libfaketime for threads, wherever Debian put it."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


@pytest.fixture
def faked(lab: Lab) -> Lab:
    """Two gateways whose time of day can be set, but not their monotonic clock."""
    preload = library()
    if preload is None:
        pytest.skip("libfaketime is missing: run scripts/setup test")
    # The second start adopts what the first made. libfaketime breaks time.sleep, which
    # only waiting for a wireguard-go process needs.
    lab.start()
    for end in lab.ends:
        end.stop()
        set_clock(end, 0)
        end.prefix = (
            "env",
            f"LD_PRELOAD={preload}",
            f"FAKETIME_TIMESTAMP_FILE={end.folder / 'clock'}",
            # Read anew at most once a second: each reading slows the daemon down.
            "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            # Or waits of the monotonic clock end at once: Python's threads would spin
            # for the interpreter lock, and a daemon on a busy machine hang for seconds.
            "FAKETIME_FORCE_MONOTONIC_FIX=0",
        )
    lab.start()
    return lab


def set_clock(end: Gateway, seconds: int) -> None:
    fresh = end.folder / "clock.new"
    fresh.write_text(f"{seconds:+d}s\n")
    fresh.replace(end.folder / "clock")


def year_logged(end: Gateway) -> int:
    """Return the year of the newest line of the log, which has the time of day."""
    lines = [line for line in end.tail(50).splitlines() if line[:2] == "20"]
    return int(lines[-1][:4])


@pytest.mark.lossless
def test_a_year_back_and_forward(faked: Lab) -> None:
    lab = faked
    this_year = year_logged(lab.a)
    blocked: list[str] = []
    for end, shift in (
        (lab.a, -YEAR),
        (lab.b, YEAR),
        (lab.a, YEAR),
    ):
        first = lab.newest()
        set_clock(end, shift)
        with lab.traffic(1.6 * INTERVAL) as result:
            lab.in_force(first)
            for one in lab.ends:
                try:
                    found_state = state(one)
                    blocked += [found_state] if found_state != "up" else []
                except ControlError as error:  # it must keep answering too
                    blocked.append(error.message)
        assert result["lost"] == 0
        until(lambda end=end: year_logged(end) != this_year, "the clock's year")  # type: ignore[misc]
    assert blocked == []
    for end in lab.ends:
        found = status(end)
        assert found["tunnels"][0]["failed_rotations"] == 0
        assert 0 < found["uptime_s"] < 120
        assert found["links"][0]["expired"] == 0
        assert json.dumps(found).find("-31") == -1  # no age of minus a year


@pytest.mark.lossless
def test_restarted_under_another_clock(faked: Lab) -> None:
    lab = faked
    for end, shift in ((lab.a, YEAR), (lab.b, -YEAR)):
        before = lab.newest()
        end.stop()
        set_clock(end, shift)
        with lab.traffic(3.0) as result:
            end.start()
            end.wait_ready()
            lab.in_force(before)
        assert "adopted epoch" in end.log.read_text()
        assert result["lost"] == 0
