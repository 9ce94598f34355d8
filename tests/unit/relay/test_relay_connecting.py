"""Connections that a node opens: to whom, from where, and how much on them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.model import Endpoint
from gateway.relay.connector import (
    MAX_DELAY,
    MAX_UNSENT,
    MIN_DELAY,
    STEADY_AFTER,
    next_delay,
)
from gateway.relay.frames import encode_hello
from gateway.relay.messages import MAX_KEYS_SIZE
from gateway.relay.transport import RelayTransport
from tests.unit.relay.callers import (
    OURS,
    REDU,
    SIN,
    STRANGER,
    Lux,
    call,
)
from tests.unit.relay.site import until


async def listen_at(
    source: str, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(handle, source, 0)
    return server, server.sockets[0].getsockname()[1]


async def test_whoever_answers_is_no_node() -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert await reader.readexactly(6) == encode_hello("lux")
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    server, port = await listen_at(REDU, answer)
    lux = Lux(redu=port)
    await lux.transport.start()
    await until(lambda: lux.count("answered-back") == 1)
    assert lux.changes == [("redu", True), ("redu", False)]
    await lux.stop()
    server.close()


@pytest.mark.parametrize(
    ("listen", "source"),
    [
        ([SIN], SIN),
        ([SIN, OURS], OURS),  # as routes would have it
        ([STRANGER, SIN], STRANGER),
        (["::1", SIN], SIN),
        (["0.0.0.0", "::"], OURS),  # noqa: S104 -- nothing but loopback can call
        ([], OURS),
    ],
)
async def test_a_neighbour_sees_us_come_from_where_we_listen(
    listen: list[str], source: str
) -> None:
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()
        await writer.wait_closed()

    server, port = await listen_at(REDU, note)
    transport = RelayTransport(
        "lux",
        {"redu": Endpoint(REDU, port)},
        [Endpoint(host, 0) for host in listen],
        receive=lambda _peer, _data: None,
    )
    await transport.start()
    await until(lambda: bool(seen))
    await transport.stop()
    assert set(seen) == {source}
    server.close()


async def test_a_neighbour_that_does_not_read_is_sent_a_bounded_amount() -> None:
    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.transport.abort()

    stopped = asyncio.Event()
    server, port = await listen_at(REDU, ignore)
    lux = Lux(redu=port)
    await lux.transport.start()
    await until(lambda: lux.transport.is_connected("redu"))
    sent = 0
    while lux.transport.send("redu", bytes(MAX_KEYS_SIZE)):
        sent += 1
        assert sent < 5000
        await asyncio.sleep(0)
    connector: Any = lux.transport._connectors["redu"]
    waiting = connector._sender.transport.get_write_buffer_size()
    assert MAX_UNSENT - MAX_KEYS_SIZE - 2 <= waiting <= MAX_UNSENT
    assert lux.count("queue-full") == 1
    stopped.set()
    await until(lambda: not lux.transport.is_connected("redu"))
    await lux.stop()
    server.close()


async def test_a_neighbour_that_comes_back_is_found_soon() -> None:
    connections = 0

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server, port = await listen_at(REDU, accept)
    lux = Lux(redu=port)
    await lux.transport.start()
    await until(lambda: lux.transport.is_connected("redu"))
    server.close()
    connector: Any = lux.transport._connectors["redu"]
    connector._sender.abort()
    await until(lambda: lux.count("connect-failed") > 4)
    server = await asyncio.start_server(accept, REDU, port)
    caller = await call(lux, REDU)  # it shows that it is there again
    caller.send(encode_hello("redu"))
    await until(lambda: lux.transport.is_connected("redu"), 2 * MIN_DELAY + 1)
    assert connections == 2
    await lux.stop()
    server.close()


def test_pauses_grow_and_stay_within_bounds() -> None:
    pauses = [MIN_DELAY]
    for _ in range(12):
        pauses.append(next_delay(pauses[-1], STEADY_AFTER / 2))
    assert pauses == sorted(pauses)
    assert pauses[1] == 2 * MIN_DELAY
    assert pauses[-1] == MAX_DELAY
    assert next_delay(MAX_DELAY, STEADY_AFTER) == MIN_DELAY
