"""The transport as a whole, its addresses and its frames, over real sockets."""

import asyncio
import contextlib
import functools
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import Endpoint
from gateway.errors import GatewayError, RelayError
from gateway.relay.addresses import REFRESH_INTERVAL, AddressBook
from gateway.relay.frames import FrameReader, decode_hello, encode_frame, encode_hello
from gateway.relay.messages import MAX_KEYS_SIZE
from gateway.relay.transport import RelayTransport
from tests.unit.relay.callers import (
    MESSAGE,
    NOBODY,
    OURS,
    REDU,
    SIN,
    STRANGER,
    Lux,
)
from tests.unit.relay.site import reserve_port, until


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
