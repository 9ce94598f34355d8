"""``qgw fence`` where it needs no kernel: what it refuses, and what it prints."""

import os
import shutil
import tempfile
from pathlib import Path

import click
import pytest

from gateway.cli.fence import render
from gateway.control.schema import Method
from gateway.dataplane.fence.base import (
    FencedTunnel,
    FencePlan,
    FenceState,
    TunnelFence,
)
from gateway.dataplane.fence.plan_file import write_plan
from tests.cli.conftest import StartDaemon, a_status, qgw, qgw_as


def test_a_fence_that_the_daemon_keeps_is_not_removed(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon({Method.STATUS: a_status()})
    for option in ((), ("--everything",)):
        outcome = daemon.qgw("fence", "remove", *option)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith("qgw: qgwd is running and keeps the fence\n")


def test_a_configuration_that_is_missing_is_no_running_daemon(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    outcome = qgw("--config", str(path), "fence", "remove")
    assert outcome.code != 0
    assert outcome.err.startswith(f"qgw: cannot read {path}")


def test_nothing_is_loaded_where_no_tunnel_is_configured(tmp_path: Path) -> None:
    said = "nothing to refuse: no tunnel is configured\n"
    (tmp_path / "gateway.toml").write_text('[gateway]\nstate_dir = "state"\n')
    (tmp_path / "state").mkdir()
    write_plan(tmp_path / "state" / "fence.json", FencePlan())
    outcome = qgw("--config", str(tmp_path / "gateway.toml"), "fence", "load")
    assert (outcome.code, outcome.out) == (0, said)


def test_where_neither_record_nor_configuration_is_there_that_is_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "gateway.toml").write_text('[gateway]\nstate_dir = "state"\n[tunnels')
    outcome = qgw("--config", str(tmp_path / "gateway.toml"), "fence", "load")
    assert outcome.code == 1
    assert "fence.json is not there, and " in outcome.err
    assert "mend the configuration" in outcome.err


def test_a_named_record_that_is_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    outcome = qgw("fence", "load", str(path))
    assert (outcome.code, outcome.out, outcome.err) == (
        1,
        "",
        f"qgw: {path} is not there\nhint: qgwd writes it: fence.json in state_dir\n",
    )


def test_where_the_configuration_is_lost_the_record_counts_alone(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    write_plan(state / "fence.json", FencePlan())
    main = tmp_path / "gateway.toml"
    main.write_text('[gateway]\nstate_dir = "state"\n')
    (tmp_path / "tunnels.d").mkdir()
    broken = tmp_path / "tunnels.d" / "b.toml"
    broken.write_text("[tunnels")
    outcome = qgw("--config", str(main), "fence", "load")
    assert outcome.code == 0
    assert outcome.err.startswith(f"not read, and not refused: {broken}:1: ")


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    path.write_text("{}")
    outcome = qgw("fence", "load", str(path))
    assert (outcome.code, outcome.err) == (
        1,
        f"qgw: {path} is damaged\nhint: start qgwd: it writes the file anew\n",
    )


def test_a_record_that_is_a_fifo_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "fence.json"
    os.mkfifo(path)
    outcome = qgw("fence", "load", str(path))
    assert (outcome.code, outcome.err) == (
        1,
        f"qgw: {path} is not a plain file\nhint: name a file\n",
    )


def test_a_picture_of_it_fits_a_screen() -> None:
    name = "a-name-of-thirty-two-letters-xyz"
    state = FenceState(
        present=True,
        tunnels={
            "a-b": TunnelFence(granted=271.4),
            name: TunnelFence(2**40, 12, 0.0),
        },
    )
    text = click.unstyle(render(state))
    assert text == (
        "fence: nftables table inet qgw\n"
        "  tunnels: 2, of which 1 may pass\n"
        "\n"
        "TUNNEL                            MAY PASS FOR  REFUSED OUT    REFUSED IN\n"
        "a-b                               4m31s         0              0\n"
        f"{name}  no            1099511627776  12"
    )
    assert max(map(len, text.splitlines())) <= 80
    assert render(FenceState(present=False)).startswith("no fence: the nftables table")
    assert render(FenceState(present=False, reason="why")) == "no fence: why"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to become another user")
def test_a_daemon_that_may_not_be_asked_is_not_said_to_run(tmp_path: Path) -> None:
    done = qgw_as("nobody", "--socket", str(tmp_path / "none"), "fence", "remove")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"qgw: permission denied for {tmp_path}/none\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to become another user")
@pytest.mark.parametrize(
    ("words", "act"),
    [(("show",), "look at"), (("load",), "load"), (("remove",), "remove")],
)
def test_who_is_not_root_is_told_so(words: tuple[str, ...], act: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="qgw-f-"))  # others may not enter pytest's
    try:
        folder.chmod(0o755)
        write_plan(folder / "fence.json", FencePlan((FencedTunnel("a-b", ()),)))
        file = (str(folder / "fence.json"),) if words == ("load",) else ()
        socket = ("--socket", str(folder / "none"))
        done = qgw_as("nobody", *socket, "fence", *words, *file)
    finally:
        shutil.rmtree(folder)
    assert (done.code, done.out, done.err) == (
        1,
        "",
        (
            f"qgw: to {act} the fence takes root: the kernel is asked itself\n"
            "hint: run it as root; qgw tunnel show NAME asks the daemon\n"
        ),
    )
