"""Clients that mean harm, or are broken: each is bounded, none disturbs the rest."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control import limits
from gateway.control.server import ControlServer
from tests.unit.control.conftest import HANDLERS


async def talk(path: Path, data: bytes, *, end: bool = True) -> list[dict[str, object]]:
    """Send bytes, return every answer until the server closes."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 23)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        answers = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
    return [json.loads(line) for line in answers.splitlines()]


def code(answer: dict[str, object]) -> object:
    error = answer.get("error")
    return error["code"] if isinstance(error, dict) else "ok"


def codes(answers: list[dict[str, object]]) -> list[object]:
    return [code(answer) for answer in answers]


def open_to_all(path: Path) -> None:
    """Open a socket's mode and its folders, so that credentials alone decide."""
    path.chmod(0o666)
    for folder in path.parents:
        if folder.is_relative_to("/tmp/") and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o011)


async def test_garbage_lines_are_answered_and_survived(
    server: ControlServer, socket_path: Path
) -> None:
    lines = b'\x00\xff\n[]\n{"id":1,"method":"echo"}\n'
    answers = await talk(socket_path, lines)
    assert codes(answers) == ["bad-request", "bad-request", "ok"]


async def test_half_a_request_asks_for_nothing(
    server: ControlServer, socket_path: Path
) -> None:
    assert await talk(socket_path, b'{"id":1,"method":"echo"}') == []


async def test_the_longest_request_passes_and_a_longer_one_does_not(
    server: ControlServer, socket_path: Path
) -> None:
    frame = b'{"id":1,"method":"echo","params":{"x":"%s"}}\n'
    room = limits.MAX_MESSAGE - len(frame) + 2
    assert codes(await talk(socket_path, frame % (b"y" * room))) == ["ok"]
    too_large = frame % (b"y" * (room + 2))
    assert codes(await talk(socket_path, too_large)) == ["too-large"]


async def test_an_endless_line_is_cut_off_and_told_why(
    server: ControlServer, socket_path: Path
) -> None:
    def pour() -> tuple[int, bytes]:
        sent = 0
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(socket_path))
            with contextlib.suppress(BrokenPipeError):
                while sent < 16 * limits.MAX_MESSAGE:
                    sent += client.send(b"x" * (1 << 18))
            return sent, client.recv(4096)

    sent, answer = await asyncio.to_thread(pour)
    assert sent < 4 * limits.MAX_MESSAGE
    assert b"too-large" in answer


async def test_a_slow_client_is_cut_off(
    server: ControlServer, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.1)
    answers = await asyncio.wait_for(
        talk(socket_path, b'{"id":1,"meth', end=False), timeout=3
    )
    assert answers == []


async def test_a_client_that_does_not_listen_is_cut_off(
    server: ControlServer, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_TIMEOUT", 0.1)
    reader, writer = await asyncio.open_unix_connection(str(socket_path), limit=1024)
    writer.write(b'{"id":1,"method":"big"}\n')
    await asyncio.sleep(0.5)
    assert not server._connections
    answer = await asyncio.wait_for(reader.read(), 5)
    assert len(answer) < 3_000_000
    writer.close()


async def test_connections_are_bounded_and_come_back(
    server: ControlServer, socket_path: Path
) -> None:
    held = [
        await asyncio.open_unix_connection(str(socket_path))
        for _ in range(limits.MAX_CONNECTIONS)
    ]
    await asyncio.sleep(0.05)
    request = b'{"id":1,"method":"echo"}\n'
    assert codes(await talk(socket_path, b"")) == ["busy"]
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)
    assert codes(await talk(socket_path, request)) == ["ok"]


CONNECT_AS = """
import json, os, socket, sys
path, uid, gid, groups = sys.argv[1], *map(json.loads, sys.argv[2:])
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
client = socket.socket(socket.AF_UNIX)
client.connect(path)
try:
    client.sendall(b'{"id":1,"method":"echo"}\\n')
except BrokenPipeError:
    pass
print(client.makefile().readline())
"""

STRANGER = 65534
GROUP = 54321


async def connect_as(path: Path, uid: int, gid: int, groups: list[int]) -> object:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        CONNECT_AS,
        str(path),
        *map(json.dumps, (uid, gid, groups)),
        stdout=subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    return codes([json.loads(output)])[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")
async def test_only_root_and_the_group_are_served(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.control.server.find_group", lambda _name: GROUP)
    server = ControlServer(socket_path, "operators", HANDLERS)
    await server.start()
    open_to_all(socket_path)
    try:
        assert await connect_as(socket_path, STRANGER, STRANGER, []) == "not-permitted"
        assert await connect_as(socket_path, STRANGER, GROUP, []) == "ok"
        assert await connect_as(socket_path, STRANGER, STRANGER, [7, GROUP]) == "ok"
        # More groups than the kernel's answer has room for: the database is asked,
        # in which nobody is a member of this one.
        many = [*range(70_000, 70_300), GROUP]
        refused = await connect_as(socket_path, STRANGER, STRANGER, many)
        assert refused == "not-permitted"
        assert await connect_as(socket_path, 0, 0, []) == "ok"
    finally:
        await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")
async def test_without_a_group_a_stranger_is_refused(socket_path: Path) -> None:
    server = ControlServer(socket_path, "no-such-group", HANDLERS)
    await server.start()
    open_to_all(socket_path)
    try:
        assert await connect_as(socket_path, STRANGER, STRANGER, []) == "not-permitted"
        assert await connect_as(socket_path, STRANGER, 0, []) == "not-permitted"
    finally:
        await server.stop()
