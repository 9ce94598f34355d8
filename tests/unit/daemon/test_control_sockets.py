"""The UDP sockets of the control plane."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host.path import Path
from gateway.host.sockets import BATCH, MAX_DATAGRAM, ControlSockets
from tests.ports import free_ports
from tests.unit.daemon.services import until

Received = list[tuple[bytes, Path]]


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
        lambda data, path: received.append((data, path)),
        lambda: None,
    )


async def test_both_families(
    sockets: ControlSockets, received: Received, port: int
) -> None:
    sockets.start()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.bind((host, 0))
            peer.settimeout(2.0)
            peer.sendto(b"ping", (host, port))
            there = peer.getsockname()[:2]
            path = Path(there[0], there[1], 0, host, port)
            await until(lambda at=path: (b"ping", at) in received, host)  # type: ignore[misc]
            sockets.send(b"pong", path)
            assert peer.recvfrom(100)[1][:2] == (host, port)
            assert sockets.path_to(there) == path
            assert sockets.source_of(path) == (host, port)


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
        sockets.send(b"x", sockets.path_to(("127.0.0.1", nobody)))
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


def test_no_socket_is_left_where_one_cannot_be_bound(port: int) -> None:
    free = free_ports(1)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        listen = [Endpoint("127.0.0.1", free), Endpoint("127.0.0.1", port)]
        with pytest.raises(GatewayError, match="Address already in use"):
            ControlSockets(listen, print, print).open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", free))


def test_an_address_that_is_not_here_yet(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    listen = [Endpoint("127.0.0.1", port), Endpoint("192.0.2.77", port)]
    sockets = ControlSockets(listen, print, print)
    sockets.open()
    assert sockets.absent == ("192.0.2.77",)
    assert "192.0.2.77, which listen names, is not on this host" in caplog.text
    path = Path("127.0.0.1", 9, 0, "192.0.2.77", port)
    for _ in range(3):
        sockets.send(b"x", path)
    assert sockets.unsent.counts == {"192.0.2.77 is not on this host": 3}
    assert "could not be sent" not in caplog.text
    for _ in range(2):
        sockets.unsent.tell()
    (told,) = [one for one in caplog.messages if "could not be sent" in one]
    assert told == (
        "3 datagrams could not be sent, the last one to 127.0.0.1: "
        "192.0.2.77 is not on this host"
    )
    assert sockets.unsent.recent() == [
        "3 datagrams could not be sent: 192.0.2.77 is not on this host"
    ]
    sockets.close()


async def test_several_addresses_of_one_family(received: Received) -> None:
    first, second = free_ports(2)
    listen = [
        Endpoint("127.0.0.2", first),
        Endpoint("127.0.0.3", first),
        Endpoint("127.0.0.3", second),
    ]
    sockets = ControlSockets(
        listen, lambda data, path: received.append((data, path)), lambda: None
    )
    sockets.open()
    sockets.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(2.0)
        for endpoint in listen:
            peer.sendto(b"ping", (endpoint.host, endpoint.port))
            await until(lambda: received, str(endpoint))
            _, path = received.pop()
            assert path.local == (endpoint.host, endpoint.port)
            sockets.send(b"pong", path)
            assert peer.recvfrom(100)[1] == path.local
    sockets.close()


def test_which_socket_calls(port: int) -> None:
    def opened(*hosts: str) -> ControlSockets:
        sockets = ControlSockets([Endpoint(host, port) for host in hosts], print, print)
        sockets.open()
        return sockets

    def caller(sockets: ControlSockets, chosen: str | None = None) -> tuple[str, int]:
        return sockets.path_to(("127.0.0.9", 9), chosen).local

    sockets = opened("192.0.2.77", "127.0.0.2", "127.0.0.1")
    assert caller(sockets) == ("127.0.0.1", port)  # which the routing table prefers
    assert caller(sockets, "127.0.0.2") == ("127.0.0.2", port)
    with pytest.raises(GatewayError, match=r"127\.0\.0\.4 is not listened on"):
        caller(sockets, "127.0.0.4")
    sockets.close()
    sockets = opened("192.0.2.77", "127.0.0.2", "127.0.0.3")
    assert caller(sockets) == ("127.0.0.2", port)  # the first that is on this host
    sockets.close()
    sockets = opened("192.0.2.77", "192.0.2.78")
    with pytest.raises(GatewayError, match=r"192\.0\.2\.77 is not on this host"):
        caller(sockets)
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
    name = stray.getsockname()
    asked: list[bool] = []
    sockets = make(port, received)
    sockets.open([stray.detach(), 987_654], let_go=lambda: asked.append(True))
    assert asked == [True]  # systemd has a copy, which would hold the port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(name)
    sockets.close()


def test_no_socket_of_a_family(received: Received, port: int) -> None:
    sockets = ControlSockets([Endpoint("127.0.0.1", port)], print, print)
    sockets.open()
    sockets.send(b"x", Path("::1", 9, 0, "::1", port))
    assert dict(sockets.unsent.counts) == {"no socket for that path": 1}
    with pytest.raises(GatewayError, match="no socket can reach ::1"):
        sockets.path_to(("::1", 9))
    sockets.close()


def test_what_the_kernel_does_not_send_is_counted(
    sockets: ControlSockets, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        sockets.send(b"x", sockets.path_to(("255.255.255.255", 9)))
    sockets.send(b"x" * 70_000, sockets.path_to(("127.0.0.1", 9)))
    assert sockets.unsent.counts == {"Permission denied": 2, "Message too long": 1}
    sockets.unsent.tell()
    assert caplog.text.count("could not be sent") == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])  # noqa: S104  # ours
async def test_answers_to_strangers_leave_by_a_socket_that_hears_nothing(
    host: str, port: int, received: Received
) -> None:
    sockets = ControlSockets(
        [Endpoint(host, port)],
        lambda data, path: received.append((data, path)),
        lambda: None,
    )
    sockets.open()
    sockets.start()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = "::1" if ":" in host else "127.0.0.1"
    try:
        for number in range(50):
            with socket.socket(family, socket.SOCK_DGRAM) as stranger:
                stranger.settimeout(2.0)
                stranger.sendto(b"%d" % number, (own, port))
                await until(lambda n=number: len(received) > n, "a datagram")  # type: ignore[misc]
                data, path = received[-1]
                sockets.reply(b"reply", path)
                assert data == b"%d" % number
                assert stranger.recvfrom(100)[1][:2] == (own, port)
        (listener,) = sockets._listeners
        assert listener.replies is not None
        with pytest.raises(BlockingIOError):
            listener.replies.recv(100)
        # Nobody else can share the port.
        with socket.socket(family, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind((host, port))
    finally:
        sockets.close()


async def test_answers_without_room_are_no_matter_of_peers(
    sockets: ControlSockets, port: int
) -> None:
    elsewhere = Path("192.0.2.1", 4500, 0, "127.0.0.1", port)  # from loopback: refused
    sockets.reply(b"x", elsewhere)
    sockets.reply(b"x", Path("127.0.0.1", 1, 0, "192.0.2.9", port))  # not ours
    assert sockets.unanswered == 1
    assert not sockets.unsent.counts


async def test_what_the_kernel_drops_is_counted(port: int, received: Received) -> None:
    sockets = make(port, received)
    sockets.open()
    try:
        assert sockets.dropped() == {}
        (listener, _) = sockets._listeners
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for _ in range(100):
                peer.sendto(bytes(1000), ("127.0.0.1", port))
        lost = sockets.dropped()["no room"]
        assert 90 <= lost < 100
        sockets.start()
        await until(lambda: len(received) == 100 - lost, "the others")
        sockets.reply(b"x", Path("192.0.2.1", 4500, 0, "127.0.0.1", port))
        assert sockets.dropped() == {"no room": lost, "no room to answer": 1}
    finally:
        sockets.close()
