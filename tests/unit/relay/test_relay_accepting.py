"""The transport against strangers, liars and the slow, over real sockets."""

import asyncio
import contextlib
import socket
import struct
from typing import Any

import pytest

from gateway.relay import acceptor as accepting
from gateway.relay.acceptor import MAX_CONNECTIONS, MAX_UNIDENTIFIED
from gateway.relay.frames import encode_frame, encode_hello
from gateway.relay.messages import MAX_KEYS_SIZE
from gateway.relay.sockets import DEAD_AFTER
from tests.unit.relay.callers import (
    MESSAGE,
    REDU,
    SIN,
    STRANGER,
    Caller,
    Lux,
    call,
)
from tests.unit.relay.site import until


async def test_a_neighbour_that_calls_is_heard_and_sent_nothing(lux: Lux) -> None:
    caller = await call(lux, REDU)
    caller.send(encode_hello("redu"), encode_frame(MESSAGE))
    await until(lambda: lux.received == [("redu", MESSAGE)])
    assert not lux.transport.is_connected("redu")
    assert not lux.transport.send("redu", b"a secret")
    caller.send(encode_frame(MESSAGE))
    await until(lambda: len(lux.received) == 2)
    caller.writer.write_eof()
    assert await caller.is_closed()


async def test_a_stranger_is_turned_away_before_a_word(lux: Lux) -> None:
    for number in range(3):
        caller = await call(lux, STRANGER)
        assert await caller.is_closed()
        assert lux.count("stranger") == number + 1


@pytest.mark.parametrize("name", ["sin", "lux", "mars"])
async def test_who_takes_anothers_name_is_turned_away(lux: Lux, name: str) -> None:
    caller = await call(lux, REDU)
    caller.send(encode_hello(name), encode_frame(MESSAGE))
    assert await caller.is_closed()
    assert lux.count("wrong-source") == 1
    assert not lux.received


@pytest.mark.parametrize(
    "hello",
    [
        b"\0\0",
        b"\0\1\1",
        b"\0\5\2redu",  # another version
        b"\0\5\1Redu",
        b"\0\6\1redu\0",
        b"\0\5\1red\xff",
        b"\0\x21\1" + b"r" * 32,  # longer than any hello
        b"\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\3\1\2\0",  # TLS
    ],
)
async def test_a_wrong_hello_closes(lux: Lux, hello: bytes) -> None:
    caller = await call(lux, REDU)
    caller.send(hello)
    assert await caller.is_closed()
    assert lux.count("malformed") == 1


@pytest.mark.parametrize(
    "frame", [b"\0\0", b"\0\1x", struct.pack("!H", MAX_KEYS_SIZE + 1), b"\xff\xff"]
)
async def test_a_wrong_frame_closes_after_what_came_before(
    lux: Lux, frame: bytes
) -> None:
    caller = await call(lux, REDU)
    caller.send(encode_hello("redu"), encode_frame(MESSAGE), frame)
    caller.send(encode_frame(MESSAGE))
    assert await caller.is_closed()
    assert lux.received == [("redu", MESSAGE)]
    assert lux.count("malformed") == 1


async def test_a_truncated_message_is_never_handed_over(lux: Lux) -> None:
    caller = await call(lux, REDU)
    caller.send(encode_hello("redu"), encode_frame(MESSAGE)[:-1])
    await asyncio.sleep(0.05)
    caller.close()
    other = await call(lux, REDU)
    other.send(encode_hello("redu"), encode_frame(b"\1\2 next"))
    await until(lambda: lux.received == [("redu", b"\1\2 next")])


async def test_who_is_slow_to_say_hello_is_closed(
    lux: Lux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "HELLO_TIMEOUT", 0.3)
    silent, slow = await call(lux, REDU), await call(lux, SIN)

    async def drip() -> None:
        for number in encode_hello("sin"):
            slow.send(bytes([number]))
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    assert await silent.is_closed()
    assert await slow.is_closed()
    assert lux.count("hello-late") == 2
    await dripping
    prompt = await call(lux, REDU)
    prompt.send(encode_hello("redu"))
    await asyncio.sleep(0.4)
    prompt.send(encode_frame(MESSAGE))
    await until(lambda: lux.received == [("redu", MESSAGE)])


async def test_one_address_cannot_take_the_places_of_others(lux: Lux) -> None:
    silent = [await call(lux, REDU) for _ in range(MAX_UNIDENTIFIED + 6)]
    closed = await asyncio.gather(*(each.is_closed() for each in silent[-6:]))
    assert all(closed)
    assert lux.count("unidentified") == 6
    sin = await call(lux, SIN)
    sin.send(encode_hello("sin"), encode_frame(MESSAGE))
    await until(lambda: lux.received == [("sin", MESSAGE)])
    silent[0].close()  # and its place is free again
    again = await call(lux, REDU)
    while await _closes_soon(again):
        again = await call(lux, REDU)
    again.send(encode_hello("redu"), encode_frame(MESSAGE))
    await until(lambda: len(lux.received) == 2)


async def _closes_soon(caller: Caller) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            return await caller.is_closed()
    return False


async def test_a_newer_connection_replaces_the_oldest(lux: Lux) -> None:
    callers = []
    for _ in range(MAX_CONNECTIONS + 1):
        callers.append(await call(lux, REDU))
        callers[-1].send(encode_hello("redu"), encode_frame(MESSAGE))
        await until(lambda: len(lux.received) == len(callers))
    assert await callers[0].is_closed()
    assert lux.count("replaced") == 1
    for caller in callers[1:]:
        caller.send(encode_frame(MESSAGE))
    await until(lambda: len(lux.received) == len(callers) + MAX_CONNECTIONS)


async def test_a_flood_of_connections_leaves_nothing_behind(lux: Lux) -> None:
    for _ in range(20):
        callers = [await call(lux, source) for source in (STRANGER, REDU, SIN)]
        for caller in callers:
            caller.send(b"\xff" * 100_000)
        assert all([await caller.is_closed() for caller in callers])
    assert lux.count("stranger") == 20
    assert lux.count("malformed") == 40
    acceptor: Any = lux.transport._acceptor
    await until(lambda: not acceptor._unidentified)
    assert not any(acceptor._identified.values())


async def test_sockets_notice_a_dead_neighbour(lux: Lux) -> None:
    caller = await call(lux, REDU)
    caller.send(encode_hello("redu"))
    acceptor: Any = lux.transport._acceptor
    await until(lambda: bool(acceptor._identified.get("redu")))
    (receiver,) = acceptor._identified["redu"]
    sock = receiver._transport.get_extra_info("socket")
    tcp = socket.IPPROTO_TCP
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(tcp, socket.TCP_NODELAY)
    assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == DEAD_AFTER * 1000
    idle, interval = (
        sock.getsockopt(tcp, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
    )
    assert idle + interval < DEAD_AFTER


@pytest.mark.parametrize("turns", range(6))
async def test_who_comes_while_the_node_stops_is_not_kept(turns: int) -> None:
    node = Lux()
    await node.transport.start()
    with socket.socket() as caller:
        caller.bind((REDU, 0))
        caller.connect(node.transport.addresses[0])
        caller.sendall(encode_hello("redu") + encode_frame(MESSAGE))
        for _ in range(turns):
            await asyncio.sleep(0)
        await node.transport.stop()
        heard = len(node.received)
        caller.settimeout(0)
        with contextlib.suppress(ConnectionResetError):
            assert caller.recv(1) == b""
        with contextlib.suppress(OSError):
            caller.send(encode_frame(MESSAGE))
        for _ in range(10):
            await asyncio.sleep(0)
    assert len(node.received) == heard
