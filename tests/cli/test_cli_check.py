"""``qgw status --check``: what a monitoring system sees, line and exit code."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.errors import ControlError
from tests.cli.conftest import (
    Outcome,
    StartDaemon,
    a_link,
    a_status,
    a_tunnel,
    an_alert,
    qgw,
)

WHOLE = "up=1;;;0;1 failed_rotations=0c stock_alpha=980;20:;1:;0"
PARIS = (
    "epoch_age=32s lifetime_left=328s rotations=41c failed_rotations=0c "
    "rx_bytes=1268776c tx_bytes=148c stock_alpha=980;20:;1:;0"
)

BLOCKED = an_alert("blocked: the peer is silent", "", "critical", "tunnel", "paris")
LOW = an_alert("stock is low: 12 keys", "", "warning", "link", "alpha")
NOTE = an_alert("simulated, NOT quantum keys", "", "note", "link", "alpha")
FORWARDING = an_alert("net.ipv4.ip_forward = 0 | nothing passes")


def check(start_daemon: StartDaemon, *options: str, **changes: object) -> Outcome:
    return start_daemon({"status": a_status(**changes)}).qgw(
        "status", "--check", *options
    )


def test_all_is_well(start_daemon: StartDaemon) -> None:
    result = check(start_daemon, alerts=[NOTE])
    assert (result.code, result.err) == (0, "")
    assert result.out == f"QGW OK - 1 of 1 tunnel up | {WHOLE}\n"


def test_one_thing_is_not_right(start_daemon: StartDaemon) -> None:
    result = check(start_daemon, alerts=[NOTE, LOW])
    assert result.code == 1
    assert result.out == (
        f"QGW WARNING - link alpha: stock is low: 12 keys | {WHOLE}\n"
    )


def test_the_worst_comes_first_and_counts(start_daemon: StartDaemon) -> None:
    tunnels = [a_tunnel("paris", state="blocked", failed_rotations=3), a_tunnel("rome")]
    result = check(
        start_daemon,
        tunnels=tunnels,
        alerts=[LOW, FORWARDING, BLOCKED, an_alert("x"), an_alert("y")],
    )
    assert result.code == 2
    assert result.out == (
        "QGW CRITICAL - tunnel paris: blocked: the peer is silent; "
        "link alpha: stock is low: 12 keys; net.ipv4.ip_forward = 0 / nothing passes; "
        "2 more | "
        "up=1;;;0;2 blocked=1;;;0 failed_rotations=3c stock_alpha=980;20:;1:;0\n"
    )


def test_one_tunnel_and_its_link_alone(start_daemon: StartDaemon) -> None:
    changes = {
        "tunnels": [a_tunnel("paris"), a_tunnel("rome", link="beta", state="blocked")],
        "links": [a_link(), a_link("beta", available=0)],
        "alerts": [
            FORWARDING,
            an_alert("blocked", "", "critical", "tunnel", "rome"),
            an_alert("stock is empty", "", "critical", "link", "beta"),
        ],
    }
    result = check(start_daemon, "--tunnel", "paris", **changes)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"QGW OK - tunnel paris: up, epoch 42, in force for 31s | {PARIS}\n"
    )
    result = check(start_daemon, "--tunnel", "rome", **changes)
    assert result.code == 2
    assert result.out.startswith(
        "QGW CRITICAL - tunnel rome: blocked; link beta: stock is empty | epoch_age="
    )
    assert result.out.endswith(" stock_beta=0;20:;1:;0\n")


def test_a_tunnel_that_need_not_be_up_warns_whoever_asks_for_it(
    start_daemon: StartDaemon,
) -> None:
    resting = a_tunnel(
        state="down", enabled=False, epoch_age_s=None, lifetime_left_s=None, link=None
    )
    result = check(start_daemon, tunnels=[resting])
    assert (result.code, result.out[:29]) == (0, "QGW OK - 0 of 1 tunnel up | u")
    result = check(start_daemon, "--tunnel", "paris", tunnels=[resting])
    assert result.code == 1
    assert result.out == (
        "QGW WARNING - tunnel paris: down | rotations=41c failed_rotations=0c "
        "rx_bytes=1268776c tx_bytes=148c\n"
    )


def test_an_unknown_tunnel(start_daemon: StartDaemon) -> None:
    result = check(start_daemon, "--tunnel", "rome")
    assert (result.code, result.err) == (3, "")
    assert result.out == "QGW UNKNOWN - there is no tunnel named rome\n"


def test_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "none"
    result = qgw("--socket", str(path), "status", "--check")
    assert (result.code, result.err) == (3, "")
    assert result.out == (
        f"QGW UNKNOWN - qgwd is not running: nothing listens at {path}\n"
    )


def test_a_daemon_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.status.CHECK_TIMEOUT", 0.2)
    path = tmp_path / "silent"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        result = qgw("--socket", str(path), "status", "--check")
    assert (result.code, result.err) == (3, "")
    assert result.out.startswith("QGW UNKNOWN - no answer from qgwd within ")


def test_the_time_it_takes_counts_from_the_start_of_the_process() -> None:
    code = (
        "import time; time.sleep(0.5); from gateway.cli.status import age; print(age())"
    )
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603  # our own
        (sys.executable, "-c", code), capture_output=True, text=True, check=True
    )
    # Ticks of a process's start are hundredths of a second.
    assert 0.5 <= float(done.stdout) <= time.monotonic() - began + 0.01


@pytest.mark.parametrize(
    "answer",
    [
        ControlError("you may not control qgwd", "", code="not-permitted"),
        RuntimeError("a fault"),
        {},
        [],
        a_status(tunnels=[{"name": "paris"}]),
        a_status(tunnels=7),
        a_status(alerts=[{}]),
        a_status(alerts=["warning"]),
        a_status(links=[None]),
    ],
)
def test_whatever_the_daemon_says_is_no_traceback(
    start_daemon: StartDaemon, answer: object
) -> None:
    result = start_daemon({"status": answer}).qgw("status", "--check")
    assert (result.code, result.err) == (3, "")
    assert result.out.startswith("QGW UNKNOWN - ")
    assert len(result.out.splitlines()) == 1


@pytest.mark.parametrize("option", ["--watch", "--json"])
def test_it_goes_alone(start_daemon: StartDaemon, option: str) -> None:
    result = check(start_daemon, option)
    assert result.code == 3
    assert result.out == (
        "QGW UNKNOWN - --check goes with neither --watch nor --json\n"
    )


def test_a_tunnel_is_judged_only_with_check(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"status": a_status()})
    result = daemon.qgw("status", "--tunnel", "paris")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("qgw: --tunnel goes with --check\n")


def test_what_a_peer_writes_stays_in_its_line(start_daemon: StartDaemon) -> None:
    hostile = an_alert("\x1b[2J | up=9\r\nOK", "", "critical", "tunnel", "paris")
    result = check(start_daemon, alerts=[hostile])
    (line,) = result.out.splitlines()
    assert line.count("|") == 1
    assert "\x1b" not in line
