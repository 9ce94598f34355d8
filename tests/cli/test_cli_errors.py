"""How `qgw` ends: exit code and stderr, to the letter."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import session
from gateway.control import limits
from gateway.errors import ConfigError, ConfigProblem
from tests.cli.conftest import StartDaemon, a_tunnel, qgw


def test_version() -> None:
    result = qgw("--version")
    assert (result.code, result.out, result.err) == (0, f"qgw {__version__}\n", "")


def test_help_fits_a_screen() -> None:
    result = qgw("--help")
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) <= 24
    # click cuts a command's summary that does not fit with three dots.
    assert not [line for line in lines[1:] if line.endswith("...")]


def test_no_command_prints_help_and_exits_2() -> None:
    result = qgw()
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: qgw [OPTIONS] COMMAND [ARGS]...\n")


@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (["frobnicate"], "no such command 'frobnicate'\nhint: see qgw --help"),
        (
            ["tunnel", "show"],
            "missing argument 'NAME'\nhint: see qgw tunnel show --help",
        ),
        (
            ["status", "--interval", "x"],
            (
                "invalid value for '--interval': 'x' is not a valid float range\n"
                "hint: see qgw status --help"
            ),
        ),
        (
            ["keystore", "import", "FILE"],
            "missing option '--link'\nhint: see qgw keystore import --help",
        ),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], err: str) -> None:
    result = qgw(*arguments)
    assert (result.code, result.out, result.err) == (2, "", f"qgw: {err}\n")


def test_without_a_daemon_3_and_how_to_start_it(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    result = qgw("--socket", str(path), "tunnel", "list")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        f"qgw: qgwd is not running: nothing listens at {path}\n"
        "hint: start it: systemctl start qgwd\n"
    )


@pytest.mark.parametrize("command", [["reload"], ["status"], ["tunnel", "list"]])
def test_with_an_unreadable_configuration_which_socket_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    default = tmp_path / "default.sock"
    monkeypatch.setattr(session, "DEFAULT_CONTROL_SOCKET", default)
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\ncontrol_socket = "own.sock"\nidentity = \n')
    config.chmod(0o600)
    result = qgw("--config", str(config), *command)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"qgw: {config}:3: ")
    assert f"so the default socket was tried, and nothing listens at {default}" in (
        result.err
    )
    assert "is not running" not in result.err
    assert result.err.endswith("qgw --socket PATH\n")


def test_a_daemon_that_hangs_exits_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        session.CommandSession.client, "__defaults__", (0.1,)
    )  # seconds instead of a minute
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        result = qgw("--socket", str(tmp_path / "s"), "tunnel", "list")
    assert result.code == 3
    assert result.err.startswith("qgw: no answer from qgwd within 0 seconds\nhint: ")
    assert limits.CLIENT_TIMEOUT > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_without_permission_4_and_which_group(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
        closed.listen()
        path.chmod(0o660)
        os.seteuid(65534)
        try:
            result = qgw("--socket", str(path), "status")
        finally:
            os.seteuid(0)
    assert (result.code, result.out) == (4, "")
    assert result.err == (
        f"qgw: permission denied for {path}\n"
        "hint: run it as root, or join a group and log in again: "
        'usermod -aG qgw "$USER", or -aG qgw-view to look only\n'
    )


def test_a_refused_reload_lists_every_problem(start_daemon: StartDaemon) -> None:
    problems = (
        ConfigProblem("/etc/qgw/gateway.toml", 3, "gateway.listen", "a port", "'x'"),
        ConfigProblem("/etc/qgw/tunnels.d/a.toml", 0, "file", "a file", "none"),
    )
    result = start_daemon({"reload": ConfigError(problems)}).qgw("reload")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "/etc/qgw/gateway.toml:3: gateway.listen: expected a port, found 'x'\n"
        "/etc/qgw/tunnels.d/a.toml: file: expected a file, found none\n"
        "qgw: 2 problems in the configuration\n"
        "hint: correct them and run: qgw config check\n"
    )


def test_reload_says_what_changed(start_daemon: StartDaemon) -> None:
    answer = {
        "added": ["rome"],
        "removed": [],
        "changed": ["paris", "lyon"],
        "unchanged": ["oslo"],
        "restart_needed": ["gateway.listen"],
        "details": {"paris": "mtu, peer OLD -> NEW"},
        "warnings": ["gateway.toml:1: links.x.ca: expected this, found that"],
        "failed": {},
    }
    result = start_daemon({"reload": answer}).qgw("reload")
    assert result.code == 0
    assert result.out == ("added: rome\nchanged: paris (mtu, peer OLD -> NEW), lyon\n")
    assert result.err == (
        "warning: gateway.toml:1: links.x.ca: expected this, found that\n"
        "not applied before a restart: gateway.listen\n"
        "  hint: systemctl restart qgwd (traffic goes on meanwhile)\n"
    )
    shown = start_daemon({"reload": answer}).qgw("reload", "--json")
    assert json.loads(shown.out) == answer
    nothing: dict[str, object] = {key: [] for key in answer}
    nothing |= {"details": {}, "failed": {}}
    assert start_daemon({"reload": nothing}).qgw("reload").out == "nothing changed\n"


def test_reload_fails_where_a_tunnel_stays_as_it_was(
    start_daemon: StartDaemon,
) -> None:
    answer: dict[str, object] = {
        **{key: [] for key in ("added", "removed", "changed", "unchanged")},
        "restart_needed": [],
        "details": {"paris": "mtu"},
        "warnings": [],
        "failed": {"paris": "stays as it was: the kernel refused"},
    }
    daemon = start_daemon({"reload": answer, "approve": confirmed_with(answer)})
    result = daemon.qgw("reload")
    assert result.code == 1
    assert result.out == "nothing changed\n"
    assert result.err == "qgw: paris: stays as it was: the kernel refused\n"
    shown = daemon.qgw("reload", "--json")
    assert (shown.code, json.loads(shown.out)) == (1, answer)
    result = daemon.qgw("approve", "1")
    assert (result.code, result.out, result.err) == (
        1,
        "",
        (
            "qgw: 1 failed: paris: stays as it was: the kernel refused, as eve asked: "
            "take it\n"
        ),
    )
    assert daemon.qgw("approve", "1", "--json").code == 1


def test_what_was_confirmed_and_done_is_said_so(start_daemon: StartDaemon) -> None:
    answer: dict[str, object] = {"erased": 3}
    result = start_daemon({"approve": confirmed_with(answer)}).qgw("approve", "1")
    assert (result.code, result.err) == (0, "")
    assert result.out == "done, as eve asked: take it\n"


def confirmed_with(answer: dict[str, object]) -> dict[str, object]:
    """Return what `approve` answers."""
    return {"act": "act", "what": "take it", "asked_by": "eve", "result": answer}


def test_a_fault_of_qgw_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_value: object) -> None:
        raise ZeroDivisionError("with a secret in it")

    monkeypatch.setattr("gateway.crypto.identity.generate_identity", fail)
    result = qgw("identity", "new", "--private", "/nonexistent/a", "--public", "/x/b")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("qgw: a fault of qgw itself: ZeroDivisionError at ")
    assert "secret" not in result.err
    assert "Traceback" not in result.err


def test_the_socket_is_found_in_the_configuration(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    daemon = start_daemon({"tunnel.list": [a_tunnel()]})
    main_file = tmp_path / "gateway.toml"
    # Not a configuration the daemon would take: the socket is found all the same.
    main_file.write_text(f'[gateway]\ncontrol_socket = "{daemon.path.name}"\nx = 1\n')
    assert qgw("--config", str(main_file), "tunnel", "list").code == 0


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    result = qgw("--config", str(path), "status")
    assert result.code == 1
    assert result.err == (
        f"qgw: cannot read {path}: no such file or directory\n"
        "hint: name the socket itself: qgw --socket PATH\n"
    )


def test_a_closed_pipe_is_no_traceback(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"tunnel.list": [a_tunnel(f"t{n}") for n in range(3000)]})
    process = subprocess.Popen(  # noqa: S603  # our own command
        [
            sys.executable,
            "-m",
            "gateway.cli.main",
            "--socket",
            str(daemon.path),
            "tunnel",
            "list",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(10)
    assert err == b""
