"""The transport against strangers, liars and the slow, over real sockets."""

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import Endpoint
from gateway.errors import GatewayError, RelayError
from gateway.relay import accepting
from gateway.relay.accepting import MAX_CONNECTIONS, MAX_UNIDENTIFIED
from gateway.relay.addresses import REFRESH_INTERVAL, AddressBook
from gateway.relay.connecting import (
    MAX_DELAY,
    MAX_UNSENT,
    MIN_DELAY,
    STEADY_AFTER,
    next_delay,
)
from gateway.relay.framing import FrameReader, decode_hello, encode_frame, encode_hello
from gateway.relay.messages import MAX_KEYS_SIZE
from gateway.relay.sockets import DEAD_AFTER
from gateway.relay.transport import RelayTransport
from tests.unit.relay.site import reserve_port, until

OURS, REDU, SIN, STRANGER = (f"127.0.0.{number}" for number in (1, 2, 3, 9))
NOBODY = 9
"""A port of loopback on which nothing listens: discard."""


class Lux:
    """The node under attack; its neighbours are at addresses of their own."""

    def __init__(self, **ports: int) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.changes: list[tuple[str, bool]] = []
        self.callers: list[Caller] = []
        self.transport = RelayTransport(
            "lux",
            {
                "redu": Endpoint(REDU, ports.get("redu", NOBODY)),
                "sin": Endpoint(SIN, ports.get("sin", NOBODY)),
            },
            [Endpoint(OURS, 0)],
            receive=lambda peer, data: self.received.append((peer, data)),
            changed=lambda peer, connected: self.changes.append((peer, connected)),
        )

    async def stop(self) -> None:
        for caller in self.callers:
            caller.close()
        await self.transport.stop()
        await asyncio.sleep(0)

    def count(self, reason: str) -> int:
        return self.transport.counters().get(reason, 0)


@pytest.fixture
async def lux() -> AsyncIterator[Lux]:
    node = Lux()
    await node.transport.start()
    yield node
    await node.stop()


class Caller:
    """Somebody who connects to a node from an address of choice."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def is_closed(self) -> bool:
        """Wait until the node closes; it must not have sent a byte."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.transport.abort()


async def call(lux: Lux, source: str) -> Caller:
    ((host, port),) = lux.transport.addresses
    streams = await asyncio.open_connection(host, port, local_addr=(source, 0))
    lux.callers.append(Caller(*streams))
    return lux.callers[-1]


MESSAGE = b"\1\2 a message"


async def test_two_nodes_carry_messages_each_on_its_own_connection() -> None:
    reserved = reserve_port()
    there = Lux(redu=reserved.getsockname()[1])
    await there.transport.start()
    received: list[tuple[str, bytes]] = []
    redu = RelayTransport(
        "redu",
        {"lux": Endpoint(*there.transport.addresses[0])},
        [Endpoint(REDU, reserved.getsockname()[1])],
        receive=lambda peer, data: received.append((peer, data)),
    )
    # It was reserved on another address, on which nobody listens.
    await redu.start()
    assert not redu.send("nobody", MESSAGE)
    await until(lambda: redu.is_connected("lux"))
    await until(lambda: there.transport.is_connected("redu"))
    big = bytes(MAX_KEYS_SIZE)
    for data in (MESSAGE, big):
        assert redu.send("lux", data)
        assert there.transport.send("redu", data)
    await until(lambda: len(received) == len(there.received) == 2)
    assert received == [("lux", MESSAGE), ("lux", big)]
    assert there.received == [("redu", MESSAGE), ("redu", big)]
    with pytest.raises(ValueError, match="2 to 4935 bytes"):
        redu.send("lux", bytes(MAX_KEYS_SIZE + 1))
    await redu.stop()
    await until(lambda: not there.transport.is_connected("redu"))
    assert there.changes[:2] == [("redu", True), ("redu", False)]
    assert not there.transport.send("redu", MESSAGE)
    assert there.count("not-connected") == 1
    await there.stop()
    reserved.close()


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


async def test_an_address_that_is_taken_is_named_and_nothing_stays_open() -> None:
    taken = socket.create_server((OURS, 0))
    port = taken.getsockname()[1]
    free = reserve_port()
    first = free.getsockname()[1]
    transport = RelayTransport(
        "lux",
        {},
        [Endpoint(OURS, first), Endpoint(OURS, port)],
        receive=lambda _peer, _data: None,
    )
    with pytest.raises(GatewayError, match=f"cannot listen on {OURS}:{port}") as caught:
        await transport.start()
    assert caught.value.hint == f"see who has it: ss -tlpn 'sport = :{port}'"
    assert transport.addresses == []
    socket.create_server((OURS, first)).close()
    taken.close()
    free.close()
    await transport.stop()


async def test_an_address_may_come_later() -> None:
    transport = RelayTransport(
        "lux", {}, [Endpoint("192.0.2.77", 0)], receive=lambda _peer, _data: None
    )
    await transport.start()
    assert transport.addresses[0][0] == "192.0.2.77"
    await transport.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python was built without IPv6")
async def test_over_ipv6_and_by_name() -> None:
    received: list[tuple[str, bytes]] = []
    lux = RelayTransport(
        "lux",
        {"redu": Endpoint("::1", NOBODY), "sin": Endpoint("localhost", NOBODY)},
        [Endpoint("::1", 0), Endpoint(OURS, 0)],
        receive=lambda peer, data: received.append((peer, data)),
    )
    await lux.start()
    six, four = lux.addresses
    redu = RelayTransport(
        "redu", {"lux": Endpoint(*six)}, [], receive=lambda _peer, _data: None
    )
    sin = RelayTransport(
        "sin", {"lux": Endpoint("localhost", four[1])}, [], receive=lambda _p, _d: None
    )
    for node in (redu, sin):
        await node.start()
    for name, node in (("redu", redu), ("sin", sin)):
        await until(functools.partial(node.is_connected, "lux"))
        assert node.send("lux", name.encode())
    await until(lambda: sorted(received) == [("redu", b"redu"), ("sin", b"sin")])
    for node in (redu, sin, lux):
        await node.stop()


async def test_a_name_is_resolved_again_but_not_for_every_stranger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = 100.0, 0
    answers: list[Any] = [[REDU], OSError("no resolver"), [SIN, STRANGER]]

    async def resolve(*_args: object, **_options: object) -> list[Any]:
        nonlocal asked
        asked += 1
        answer = answers[asked - 1]
        if isinstance(answer, OSError):
            raise answer
        return [(2, 1, 6, "", (address, 0)) for address in answer]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    book = AddressBook({"sat": Endpoint("sat.example", 7)}, lambda: now)
    assert not book.knows(REDU)
    await book.refresh("sat")
    assert book.is_at("sat", REDU)
    assert book.candidates("sat") == [(REDU, 7)]
    await book.refresh("sat")
    assert asked == 1
    for known in ([REDU], [SIN, STRANGER]):  # while none answers, what was known
        now += REFRESH_INTERVAL
        assert book.stale == ["sat"]
        await book.refresh("sat")
        assert [address for address, _ in book.candidates("sat")] == known
    assert asked == 3


@given(
    st.lists(st.binary(min_size=2, max_size=300), max_size=5),
    st.lists(st.integers(1, 40)),
)
def test_frames_are_cut_alike_however_they_arrive(
    messages: list[bytes], sizes: list[int]
) -> None:
    stream = encode_hello("redu") + b"".join(map(encode_frame, messages))
    reader, found = FrameReader(), []
    for size in (*sizes, len(stream)):
        reader.feed(stream[:size])
        stream = stream[size:]
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
    assert decode_hello(found[0]) == "redu"
    assert found[1:] == messages


@given(st.binary(max_size=400))
def test_noise_is_cut_or_refused(noise: bytes) -> None:
    reader = FrameReader()
    reader.feed(noise)
    with contextlib.suppress(RelayError):
        while (frame := reader.next_frame()) is not None:
            assert 2 <= len(frame) <= MAX_KEYS_SIZE
            decode_hello(frame)
