"""Starting a wireguard-go: a stand-in that is slow to make its socket."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dataplane.wireguard import process
from gateway.dataplane.wireguard.process import ProcessTable
from gateway.errors import DataPlaneError

STAND_IN = """\
#!{python}
import socket, sys, time
sock = socket.socket(socket.AF_UNIX)
sock.bind("{path}")
time.sleep({delay})
{then}
"""


@pytest.fixture
def table() -> Iterator[ProcessTable]:
    made = ProcessTable()
    yield made
    for pid in made._pids.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p") / "wg0.sock"


def write_program(path: Path, *, delay: float, then: str) -> str:
    program = path.parent / "program"
    program.write_text(
        STAND_IN.format(python=sys.executable, path=path, delay=delay, then=then)
    )
    program.chmod(0o700)
    return str(program)


def test_it_has_started_once_it_takes_connections(
    table: ProcessTable, path: Path
) -> None:
    then = "sock.listen(); time.sleep(60)"
    table.start(write_program(path, delay=0.3, then=then), "wg0")
    table.wait_for("wg0", path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))  # refused as long as it has only its name


def test_one_that_ends_instead_is_told_from_one_that_is_slow(
    table: ProcessTable, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.start(write_program(path, delay=0.0, then="sys.exit(1)"), "wg0")
    with pytest.raises(DataPlaneError, match="wg0 ended at once"):
        table.wait_for("wg0", path)
    path.unlink()
    monkeypatch.setattr(process, "START_TIMEOUT", 0.3)
    table.start(write_program(path, delay=60.0, then=""), "wg0")
    with pytest.raises(DataPlaneError, match="wg0 does not start"):
        table.wait_for("wg0", path)
