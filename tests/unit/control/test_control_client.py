import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.control import client as client_module
from gateway.control import limits
from gateway.control.client import ControlClient
from gateway.control.limits import CLIENT_TIMEOUT
from gateway.errors import ControlError


def serve_once(path: Path, behave: Callable[[socket.socket], None]) -> threading.Thread:
    """Listen at `path` and give the first connection to `behave`."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            behave(connection)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def failure(path: Path, timeout: float = CLIENT_TIMEOUT) -> ControlError:
    with (
        ControlClient(path, timeout=timeout) as client,
        pytest.raises(ControlError) as caught,
    ):
        client.call("status")
    return caught.value


def test_no_socket_says_how_to_start_the_daemon(tmp_path: Path) -> None:
    error = failure(tmp_path / "control.sock")
    assert error.code == "unreachable"
    assert error.message.startswith("qgwd is not running")
    assert error.hint == "start it: systemctl start qgwd"


def test_a_dead_socket_says_how_to_start_the_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    assert failure(tmp_path / "control.sock").code == "unreachable"


def test_a_daemon_that_closes_at_once_is_unreachable(tmp_path: Path) -> None:
    thread = serve_once(tmp_path / "s", lambda _connection: None)
    assert failure(tmp_path / "s").code == "unreachable"
    thread.join()


def test_a_daemon_that_never_ends_its_line_times_out(tmp_path: Path) -> None:
    def dribble(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b" ")
                time.sleep(0.02)

    thread = serve_once(tmp_path / "s", dribble)
    began = time.monotonic()
    assert failure(tmp_path / "s", timeout=0.3).code == "timeout"
    assert time.monotonic() - began < 5.0
    thread.join()


def test_a_daemon_that_says_nothing_times_out(tmp_path: Path) -> None:
    done = threading.Event()

    def say_nothing(_connection: socket.socket) -> None:
        done.wait(5)

    thread = serve_once(tmp_path / "s", say_nothing)
    error = failure(tmp_path / "s", timeout=0.1)
    done.set()
    thread.join()
    assert error.code == "timeout"


def test_a_daemon_that_takes_no_connections_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(str(tmp_path / "s"))
        full.listen(0)
        first.connect(str(tmp_path / "s"))
        error = failure(tmp_path / "s")
    assert error.code == "unreachable"
    assert "does not take connections" in error.message


def test_an_endless_answer_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER", 100_000)

    def pour(connection: socket.socket) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                connection.sendall(b"x" * 10_000)

    thread = serve_once(tmp_path / "s", pour)
    error = failure(tmp_path / "s")
    thread.join()
    assert "longer than 100000 bytes" in error.message


def test_an_answer_in_small_pieces_is_put_together(tmp_path: Path) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(1000)
        for byte in b'{"id":1,"result":7}\n':
            connection.sendall(bytes([byte]))

    thread = serve_once(tmp_path / "s", drip)
    with ControlClient(tmp_path / "s") as client:
        assert client.call("status") == 7
    thread.join()


def test_a_request_too_large_is_not_sent(tmp_path: Path) -> None:
    with (
        ControlClient(tmp_path / "s") as client,
        pytest.raises(ControlError) as caught,
    ):
        client.call("status", {"x": "y" * limits.MAX_MESSAGE})
    assert caught.value.code == "too-large"


def test_a_path_too_long_is_an_error_of_ours(tmp_path: Path) -> None:
    assert failure(tmp_path / ("x" * 200)).code == "unreachable"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_closed_socket_says_which_group_to_join(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        (tmp_path / "s").chmod(0o600)
        try:
            os.seteuid(65534)
            error = failure(tmp_path / "s")
        finally:
            os.seteuid(0)
    assert error.code == "not-permitted"
    assert "usermod -aG qgw" in error.hint
