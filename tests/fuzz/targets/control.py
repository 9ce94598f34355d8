"""Lines that come to the control socket, and answers that come to `qgw`."""

import asyncio
import grp
import json
import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from gateway.control.params import (
    read_count,
    read_flag,
    read_import,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.control.protocol import decode_answer, encode_request
from gateway.control.schema import ErrorCode
from gateway.control.server import ControlServer
from gateway.errors import ControlError
from tests.fuzz.target import Target, scratch

SECONDS = 5.0
"""For the answers to one input, on a busy machine."""


async def show(params: Mapping[str, object]) -> object:
    refuse_unknown(params, {"name"})
    return {"name": read_name(params)}


async def fetch(params: Mapping[str, object]) -> object:
    refuse_unknown(params, {"link", "count", "all"})
    return {
        "link": read_optional_name(params, "link"),
        "count": read_count(params, "count", 1000),
        "all": read_flag(params, "all"),
    }


async def import_keys(params: Mapping[str, object]) -> object:
    request = read_import(params)
    for key in request.keys:
        assert key.key is None or repr(key.key) == "<SECRET>"
    return {"link": request.link, "count": len(request.keys)}


async def echo(params: Mapping[str, object]) -> object:
    # Keys are lifted out of a request, and never travel back.
    return json.loads(json.dumps(params, default=repr))


HANDLERS = {
    "echo": echo,
    "tunnel.show": show,
    "qkd.fetch": fetch,
    "keystore.import": import_keys,
}


class Faults(logging.Handler):
    """Turns what the server calls a fault of its own into a finding."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


@cache
def serve() -> tuple[asyncio.Runner, Path]:
    """Start a real server on a real socket, once for all inputs."""
    runner = asyncio.Runner()
    path = scratch() / "control.sock"
    server = ControlServer(path, grp.getgrgid(os.getegid()).gr_name, HANDLERS)
    logging.getLogger("gateway.control").addHandler(Faults(logging.ERROR))
    runner.run(server.start())
    return runner, path


async def talk(path: Path, data: bytes) -> bytes:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()


def answer_lines(data: bytes) -> None:
    """Insist on one answer to each whole line, in order, none a fault of the server."""
    runner, path = serve()
    answers = runner.run(talk(path, data)).splitlines()
    # A line that is too long ends the connection; half a line asks for nothing.
    assert len(answers) == data.count(b"\n")
    for line in answers:
        answer = json.loads(line)
        assert answer.keys() <= {"id", "result", "error"}
        if "error" in answer:
            assert answer["error"]["code"] != ErrorCode.INTERNAL
            assert answer["error"]["message"]
        else:
            assert isinstance(answer["id"], int)


def read_answer(data: bytes) -> None:
    try:
        decode_answer(data, 7)
    except ControlError as error:
        assert error.message is not None


def run(data: bytes) -> None:
    if data[:1] == b"A":
        read_answer(data[1:])
    else:
        answer_lines(data)


def seeds() -> Iterator[bytes]:
    key = {"key_ID": "bc490419-7d60-487f-adc1-4ddcc177c139", "key": "a" * 44}
    yield encode_request(1, "echo", {"a": [1, 2.5, None, True, "x", {"b": "\u00e9"}]})
    yield encode_request(2, "tunnel.show", {"name": "paris"})
    yield encode_request(3, "qkd.fetch", {"link": "fibre", "count": 7, "all": True})
    yield encode_request(4, "keystore.import", {"link": "fibre", "keys": [key, key]})
    yield encode_request(5, "none", {}) * 2 + b"[]\n{}\n\n"
    yield b'A{"id":7,"result":{"a":1}}\n'
    yield b'A{"id":null,"error":{"code":"x","message":"m","hint":"h","details":["d"]}}'
    yield b"[" * 50 + b"\n"


TARGET = Target(
    "the control socket: one answer a line, no fault of the server's own",
    run,
    seeds,
    4096,
    (
        *(b'"id":', b'"method":', b'"params":', b'"name"', b'"keys":', b'"key_ID":'),
        *(b'"echo"', b'"tunnel.show"', b'"qkd.fetch"', b'"keystore.import"'),
        *(b"NaN", b"1e999", b"\\ud800", b"null", b"{}", b"[]", b"\n"),
    ),
)
