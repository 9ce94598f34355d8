"""The UDP sockets of the control plane."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gateway.config.model import Endpoint
from gateway.daemon.sockets import BATCH, MAX_DATAGRAM, ControlSockets
from gateway.errors import GatewayError
from tests.unit.daemon.services import free_ports, until

Received = list[tuple[bytes, tuple[str, int]]]


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def received() -> Received:
    return []


@pytest.fixture
def sockets(port: int, received: Received) -> Iterator[ControlSockets]:
    opened = make(port, received)
    opened.open()
    yield opened
    opened.close()


def make(port: int, received: Received) -> ControlSockets:
    return ControlSockets(
        [Endpoint("127.0.0.1", port), Endpoint("::1", port)],
        lambda data, address: received.append((data, address)),
        lambda: None,
    )


async def test_both_families(sockets: ControlSockets, received: Received) -> None:
    sockets.start()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.bind((host, 0))
            peer.settimeout(2.0)
            own = sockets.port(family)
            peer.sendto(b"ping", (host, own))
            there = peer.getsockname()[:2]
            await until(lambda at=there: (b"ping", at) in received, host)  # type: ignore[misc]
            sockets.send(b"pong", there)
            assert peer.recvfrom(100)[1][:2] == (host, own)
            assert sockets.source_for(there) == (host, own)


async def test_a_flood_is_read_in_turns(
    sockets: ControlSockets, received: Received, port: int
) -> None:
    sockets.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(3 * BATCH):
            peer.sendto(b"x", ("127.0.0.1", port))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(received) <= 2 * BATCH
        await until(lambda: len(received) == 3 * BATCH, "all of them")


async def test_a_datagram_that_is_too_long_is_cut(
    sockets: ControlSockets, received: Received, port: int
) -> None:
    sockets.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"x" * 9000, ("127.0.0.1", port))
        await until(lambda: received, "it")
    assert len(received[0][0]) == MAX_DATAGRAM


async def test_icmp_errors_are_survived(
    sockets: ControlSockets, received: Received, port: int
) -> None:
    sockets.start()
    nobody = free_ports(1)[0]
    for _ in range(3):
        sockets.send(b"x", ("127.0.0.1", nobody))
        await asyncio.sleep(0.02)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"still there", ("127.0.0.1", port))
        await until(lambda: received, "a datagram after the errors")


def test_a_port_that_is_taken(port: int, received: Received) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(GatewayError) as caught:
            make(port, received).open()
    assert (
        caught.value.message
        == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    )
    assert caught.value.hint == f"see who has it: ss -ulpn 'sport = :{port}'"


def test_an_address_that_is_not_ours(port: int, received: Received) -> None:
    with pytest.raises(GatewayError, match="Cannot assign requested address"):
        ControlSockets([Endpoint("192.0.2.77", port)], print, print).open()


def test_two_addresses_of_one_family(port: int) -> None:
    listen = [Endpoint("127.0.0.1", port), Endpoint("127.0.0.2", port)]
    sockets = ControlSockets(listen, print, print)
    with pytest.raises(GatewayError, match="one address a family"):
        sockets.open()
    sockets.close()


def test_descriptors_kept_by_systemd_are_used_again(
    port: int, received: Received
) -> None:
    first = make(port, received)
    first.open()
    kept = [sock.fileno() for sock in first.sockets]
    inherited = [socket.fromfd(fd, socket.AF_INET, socket.SOCK_DGRAM) for fd in kept]
    first.close()
    second = make(port, received)
    descriptors = [sock.detach() for sock in inherited]
    second.open(descriptors)
    assert sorted(sock.fileno() for sock in second.sockets) == sorted(descriptors)
    second.close()


def test_descriptors_nobody_wants_are_closed(port: int, received: Received) -> None:
    stray = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stray.bind(("127.0.0.1", 0))
    descriptor = stray.detach()
    sockets = make(port, received)
    sockets.open([descriptor, 987_654])
    with pytest.raises(OSError, match="Bad file descriptor"):
        socket.socket(fileno=descriptor)
    sockets.close()


def test_no_socket_of_a_family(received: Received, port: int) -> None:
    sockets = ControlSockets([Endpoint("127.0.0.1", port)], print, print)
    sockets.open()
    sockets.send(b"x", ("::1", 9))
    assert dict(sockets.unsent) == {"no socket of that family": 1}
    with pytest.raises(GatewayError, match="no socket can reach ::1"):
        sockets.source_for(("::1", 9))
    sockets.close()


def test_what_the_kernel_does_not_send_is_counted(sockets: ControlSockets) -> None:
    sockets.send(b"x", ("255.255.255.255", 9))
    sockets.send(b"x" * 70_000, ("127.0.0.1", 9))
    assert sockets.unsent == {"Permission denied": 1, "Message too long": 1}
