import os
import subprocess
import sys

import pytest

from tests.cli.conftest import StartDaemon, a_link, a_status, a_tunnel, qgw


def complete(words: str) -> list[str]:
    """Ask as bash does: the last word is the one being typed."""
    result = subprocess.run(  # our own command
        [sys.executable, "-m", "gateway.cli.main"],
        env={
            **os.environ,
            "_QGW_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_calls_qgw_back(shell: str) -> None:
    result = qgw("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert f"_QGW_COMPLETE={shell}_complete" in result.out


def test_bash_accepts_the_script() -> None:
    script = qgw("completion", "bash").out
    subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=True)


def test_commands_are_completed() -> None:
    assert complete("qgw tun") == ["tunnel"]
    assert complete("qgw tunnel r") == ["rotate"]
    assert complete("qgw qkd f") == ["fetch"]
    assert complete("qgw pl") == ["plan"]


def test_names_are_the_daemons(start_daemon: StartDaemon) -> None:
    answer = a_status(
        tunnels=[a_tunnel("paris"), a_tunnel("parma"), a_tunnel("rome")],
        links=[a_link("alpha"), a_link("beta")],
    )
    path = start_daemon({"status": answer}).path
    assert complete(f"qgw --socket {path} tunnel show pa") == ["paris", "parma"]
    assert complete(f"qgw --socket {path} keystore import --link b") == ["beta"]
    for command in ("status", "fetch", "test"):
        assert complete(f"qgw --socket {path} qkd {command} a") == ["alpha"]


def test_without_a_daemon_there_is_nothing_to_offer() -> None:
    assert complete("qgw --socket /nonexistent tunnel show pa") == []
