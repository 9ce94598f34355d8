"""What a command changes without the daemon is noted in the journal: by whom, how."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.second_login import read_login
from gateway.control.peer import name_user
from gateway.control.schema import Method
from gateway.dataplane.fence.base import FencePlan
from gateway.dataplane.fence.plan_file import write_plan
from gateway.host import journal
from tests.cli.conftest import StartDaemon, a_status, qgw


@pytest.fixture
def taken(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A journal's socket."""
    path = tmp_path_factory.mktemp("journal") / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.settimeout(0)
        monkeypatch.setattr(journal, "JOURNAL_SOCKET", str(path))
        yield made


def entry(taken: socket.socket) -> dict[str, str]:
    lines = taken.recv(65536).decode().splitlines()
    with pytest.raises(BlockingIOError):
        taken.recv(65536)
    return dict(line.split("=", 1) for line in lines)


def expect(taken: socket.socket, said: str) -> None:
    found = entry(taken)
    user = name_user(read_login())
    assert found["MESSAGE"] == f"{user}, pid {os.getpid()}: {said}"
    assert (found["QGW_EVENT"], found["QGW_USER"]) == ("command", user)
    assert (found["SYSLOG_IDENTIFIER"], found["PRIORITY"]) == ("qgw", "6")


def test_a_new_identity(
    taken: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    new = ("identity", "new", "--private", "id.key", "--public", "id.pub")
    assert qgw(*new).code == 0
    expect(taken, "identity.new private=id.key public=id.pub: done")
    assert qgw(*new).code == 1
    expect(
        taken,
        "identity.new private=id.key public=id.pub: error: id.pub is there already",
    )


def test_new_secrets_of_the_key_store(
    taken: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for what in ("new-master-key", "new-seed"):
        assert qgw("keystore", what, what).code == 0
        expect(taken, f"keystore.{what} file={what}: done")


def test_a_fence_that_may_not_be_removed(
    taken: socket.socket, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon({Method.STATUS: a_status()})
    assert daemon.qgw("fence", "remove").code == 1
    expect(
        taken,
        "fence.remove everything=False: error: qgwd is running and keeps the fence",
    )


def test_what_only_reads_is_not_noted(taken: socket.socket, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    write_plan(empty, FencePlan())
    assert qgw("fence", "load", str(empty)).code == 0
    assert qgw("fence", "load", str(tmp_path / "none.json")).code == 1
    qgw("identity", "fingerprint", str(tmp_path / "none"))
    with pytest.raises(BlockingIOError):
        taken.recv(65536)


def test_a_host_without_a_journal_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "JOURNAL_SOCKET", str(tmp_path / "none"))
    result = qgw("keystore", "new-seed", str(tmp_path / "seed"))
    assert (result.code, result.err) == (0, "")
