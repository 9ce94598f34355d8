import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import (
    Daemon,
    StartDaemon,
    a_link,
    a_status,
    a_tunnel,
    an_alert,
    qgw,
)

QGW = [sys.executable, "-m", "gateway.cli.main"]


def test_status_shows_the_whole_picture(start_daemon: StartDaemon) -> None:
    answer = a_status(
        alerts=[
            an_alert("liboqs is not installed", severity="note"),
            an_alert(
                "stock is low", "see: qgw qkd status alpha", about="link", name="a"
            ),
            an_alert(
                "blocked: no new epoch within max_epoch_lifetime, since the peer does "
                "not answer",
                "check that qgwd runs at the peer, the endpoint, that UDP 51810 passes "
                "both ways, and both fingerprints",
                severity="critical",
                about="tunnel",
                name="paris",
            ),
        ]
    )
    result = start_daemon({"status": answer}).qgw("status")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "qgwd: 0.1.0\n"
        "  running: 3h05m, pid 4711\n"
        "  identity: abcde-fghij-klmno-pqrst-uvwxy-z2345-67abc-defgh\n"
        "  suite: 1 (X25519, ML-KEM-768, AES-256-GCM, SHA-384)\n"
        "  ml-kem from: openssl\n"
        "  listening: 0.0.0.0:51810, [::]:51810\n"
        "  planes: esp (not on this host: wireguard)\n"
        "  fence: stands\n"
        "  dropped: 15 datagrams: replay 12, bad-mac1 3\n"
        "\n"
        "NAME   STATE  PLANE  EPOCH  QKD    IN FORCE  NEXT   PEER\n"
        "paris  up     esp    42     fresh  both 31s  1m29s  192.0.2.1:51810\n"
        "\n"
        "LINK   SOURCE  STOCK  KEYS  RESERVED  USED  DROPPED  IN/S  OUT/S  EMPTY IN\n"
        "alpha  file    ok     980   1         41    0        0.00  0.01   1d08h\n"
        "\n"
        "critical: tunnel paris: blocked: no new epoch within max_epoch_lifetime, "
        "since\n"
        "  the peer does not answer\n"
        "  hint: check that qgwd runs at the peer, the endpoint, that UDP 51810 "
        "passes\n"
        "    both ways, and both fingerprints\n"
        "warning: link a: stock is low\n"
        "  hint: see: qgw qkd status alpha\n"
        "note: liboqs is not installed\n"
    )


def test_a_fence_that_does_not_stand_says_why(start_daemon: StartDaemon) -> None:
    answer = a_status(fence={"present": False, "reason": "no module nf_tables"})
    out = start_daemon({"status": answer}).qgw("status").out
    assert "\n  fence: none: no module nf_tables\n" in out
    answer = a_status(fence={"present": False, "reason": ""})
    assert "\n  fence: gone\n" in start_daemon({"status": answer}).qgw("status").out


def test_no_line_is_wider_than_a_terminal(start_daemon: StartDaemon) -> None:
    words = "something that is not right and takes many words to say, " * 5
    answer = a_status(
        tunnels=[a_tunnel(f"tunnel-number-{n}", state="unproven") for n in range(3)],
        links=[a_link("fibre-to-marseille", unconfirmed=12, available=123_456)],
        planes=[{"plane": "wireguard", "supported": False, "detail": words}],
        alerts=[an_alert(words, words, "critical", "tunnel", "tunnel-number-1")],
    )
    out = start_daemon({"status": answer}).qgw("status").out
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_the_whole_answer(start_daemon: StartDaemon) -> None:
    result = start_daemon({"status": a_status()}).qgw("status", "--json")
    assert json.loads(result.out) == a_status()


def test_watch_shows_it_again_as_json_lines(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"status": a_status()})
    result = daemon.qgw(
        "status", "--watch", "--json", "--interval", "0.2", "--count", "3"
    )
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [json.loads(line)["pid"] for line in lines] == [4711] * 3


def test_watch_does_not_wait_for_a_daemon_that_never_ran(tmp_path: Path) -> None:
    result = qgw("--socket", str(tmp_path / "none"), "status", "--watch")
    assert (result.code, result.out) == (3, "")


def watch(daemon: Daemon, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own command
        [*QGW, "--socket", str(daemon.path), "status", "--watch", "--interval", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_a_watch_cleanly(start_daemon: StartDaemon) -> None:
    process = watch(start_daemon({"status": a_status()}))
    assert process.stdout is not None
    assert process.stdout.readline() == "qgwd: 0.1.0\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")


def test_watch_lives_through_a_restart_of_the_daemon(start_daemon: StartDaemon) -> None:
    first = start_daemon({"status": a_status()})
    process = watch(first)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "qgwd: 0.1.0\n"
    moved = first.path.with_suffix(".away")
    first.path.rename(moved)
    assert process.stderr.readline().startswith("waiting: qgwd is not running")
    moved.rename(first.path)
    first.answers["status"] = a_status(version="0.2.0")
    deadline = time.monotonic() + 10
    while process.stdout.readline() != "qgwd: 0.2.0\n":
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0


def on_a_terminal(daemon: Daemon, environ: dict[str, str]) -> bytes:
    """Run ``qgw status`` with a terminal as its output and return what it wrote."""
    master, slave = pty.openpty()
    with open(slave, "wb") as terminal:  # noqa: PTH123  # a descriptor
        subprocess.run(  # noqa: S603  # our own command
            [*QGW, "--socket", str(daemon.path), "status"],
            stdout=terminal,
            env={**os.environ, **environ},
            check=True,
        )
        output = os.read(master, 65_536)
    os.close(master)
    return output


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)]
)
def test_colours_are_for_terminals_that_want_them(
    start_daemon: StartDaemon, environ: dict[str, str], coloured: bool
) -> None:
    answer = a_status(
        tunnels=[a_tunnel(state="blocked")], links=[a_link(alarm="empty")]
    )
    output = on_a_terminal(start_daemon({"status": answer}), environ)
    assert b"blocked" in output
    assert (b"\x1b[31m" in output) is coloured
