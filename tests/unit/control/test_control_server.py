import asyncio
import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.control import limits
from gateway.control.client import ControlClient
from gateway.control.server import ControlServer
from gateway.errors import ControlError
from tests.unit.control.conftest import HANDLERS


async def ask(path: Path, method: str, **params: object) -> object:
    def call() -> object:
        with ControlClient(path, timeout=10) as client:
            return client.call(method, params)

    return await asyncio.to_thread(call)


async def test_a_method_gets_its_parameters(
    server: ControlServer, socket_path: Path
) -> None:
    assert await ask(socket_path, "echo", name="é\n") == {"name": "é\n"}


async def test_one_connection_asks_many_times(
    server: ControlServer, socket_path: Path
) -> None:
    def call() -> list[object]:
        with ControlClient(socket_path) as client:
            return [client.call("echo", {"n": n}) for n in range(200)]

    assert await asyncio.to_thread(call) == [{"n": n} for n in range(200)]


async def test_a_failed_call_leaves_the_connection_usable(
    server: ControlServer, socket_path: Path
) -> None:
    def call() -> object:
        with ControlClient(socket_path) as client:
            with pytest.raises(ControlError):
                client.call("missing")
            return client.call("echo")

    assert await asyncio.to_thread(call) == {}


async def test_what_was_done_in_part_is_noted_so(
    server: ControlServer, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await ask(socket_path, "echo", failed={"a-b": "stays as it was"})
        await ask(socket_path, "echo", failed={})
    said = [line.partition(": ")[2] for line in caplog.messages]
    assert said == ["echo: 1 failed: a-b: stays as it was", "echo: done"]


async def test_a_large_answer_arrives_whole(
    server: ControlServer, socket_path: Path
) -> None:
    assert await ask(socket_path, "big") == "x" * 3_000_000


@pytest.mark.parametrize(
    ("method", "code", "details"),
    [
        ("missing", "not-found", ()),
        ("bad-config", "config", ("g.toml:3: listen: expected a port, found 'x'",)),
        ("full-disk", "key-store", ()),
        ("nothing", "unknown-method", ()),
    ],
)
async def test_errors_arrive_with_their_code(
    server: ControlServer,
    socket_path: Path,
    method: str,
    code: str,
    details: tuple[str, ...],
) -> None:
    with pytest.raises(ControlError) as caught:
        await ask(socket_path, method)
    assert caught.value.code == code
    assert caught.value.details == details


async def test_a_fault_tells_the_client_nothing_and_the_log_no_input(
    server: ControlServer, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ControlError) as caught:
        await ask(socket_path, "bug", key="c2VjcmV0")
    assert caught.value.code == "internal"
    assert "ValueError" not in caught.value.message
    assert "ValueError" in caplog.text
    assert "in bug" in caplog.text
    assert "c2VjcmV0" not in caplog.text


async def test_a_secret_in_a_result_never_leaves(
    server: ControlServer, socket_path: Path
) -> None:
    with pytest.raises(ControlError) as caught:
        await ask(socket_path, "leak")
    assert caught.value.code == "internal"


async def test_a_handler_that_hangs_is_given_up(
    server: ControlServer, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDLER_TIMEOUT", 0.05)
    with pytest.raises(ControlError) as caught:
        await ask(socket_path, "slow")
    assert caught.value.code == "timeout"


async def test_the_group_may_connect_and_others_may_not(
    server: ControlServer, socket_path: Path
) -> None:
    found = socket_path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == os.getegid()


async def test_without_its_group_the_socket_is_the_owners(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ControlServer(socket_path, "no-such-group", HANDLERS)
    with caplog.at_level(logging.WARNING):
        await server.start()
    try:
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        assert "group no-such-group does not exist" in caplog.text
        assert await ask(socket_path, "echo") == {}
    finally:
        await server.stop()


async def test_stop_removes_the_socket_and_ends_connections(
    server: ControlServer, socket_path: Path
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(socket_path))
    writer.write(b'{"id":1,"method":"slow"}\n')
    await writer.drain()
    await asyncio.sleep(0.05)
    await server.stop()
    assert not socket_path.exists()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await server.stop()  # twice is once


async def test_a_live_socket_is_refused_and_keeps_working(
    server: ControlServer, socket_path: Path
) -> None:
    second = ControlServer(socket_path, "root", HANDLERS)
    with pytest.raises(ControlError) as caught:
        await second.start()
    assert caught.value.code == "busy"
    await second.stop()
    assert await ask(socket_path, "echo") == {}


async def test_a_socket_listened_on_without_a_lock_is_refused(
    socket_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(socket_path))
        stranger.listen()
        with pytest.raises(ControlError, match="another qgwd listens"):
            await ControlServer(socket_path, "root", HANDLERS).start()
    assert socket_path.exists()


async def test_a_dead_daemons_socket_is_replaced(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
        dead.listen()
    server = ControlServer(socket_path, "root", HANDLERS)
    await server.start()
    try:
        assert await ask(socket_path, "echo") == {}
    finally:
        await server.stop()


async def test_a_file_that_is_no_socket_is_left_alone(socket_path: Path) -> None:
    socket_path.write_text("precious")
    with pytest.raises(ControlError, match="is not a socket"):
        await ControlServer(socket_path, "root", HANDLERS).start()
    assert socket_path.read_text() == "precious"


async def test_a_socket_that_replaced_ours_is_left_alone(
    server: ControlServer, socket_path: Path
) -> None:
    socket_path.unlink()
    socket_path.write_text("somebody else's")
    await server.stop()
    assert socket_path.read_text() == "somebody else's"


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "control.sock"
    with pytest.raises(ControlError, match="cannot make") as caught:
        await ControlServer(path, "root", HANDLERS).start()
    assert str(path.parent) in caught.value.hint


async def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="longer than 107 bytes"):
        await ControlServer(tmp_path / ("x" * 108), "root", HANDLERS).start()
