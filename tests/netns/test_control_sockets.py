"""The control plane's sockets on hosts with several addresses."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from lab.inside import made_inside, open_socket
from lab.netns import Namespace, run

from gateway.config.model import Endpoint
from gateway.host.marks import OUTER_MARK
from gateway.host.path import Path, family_of
from gateway.host.sockets import ControlSockets
from tests.netns.labs import until

PORT = 51810
WILD = (Endpoint("0.0.0.0", PORT), Endpoint("::", PORT))  # noqa: S104  # in a namespace
SECOND, SECOND6 = "192.0.2.22", "fd00:71::22"
NOBODY = "192.0.2.99"
Received = list[tuple[bytes, Path]]


@pytest.fixture(scope="module")
def hub(pair: tuple[Namespace, Namespace]) -> Iterator[Namespace]:
    """A host with two addresses of each family."""
    for host, number in zip(pair, (1, 2), strict=True):
        address(host, "add", f"fd00:71::{number}/64", "nodad")
    address(pair[1], "add", f"{SECOND}/32")
    address(pair[1], "add", f"{SECOND6}/128", "nodad")
    for host in pair:
        until(lambda at=host: not tentative(at), "link-local addresses")  # type: ignore[misc]
    yield pair[1]
    for host, number in zip(pair, (1, 2), strict=True):
        address(host, "del", f"fd00:71::{number}/64")
    address(pair[1], "del", f"{SECOND}/32")
    address(pair[1], "del", f"{SECOND6}/128")


@pytest.fixture
def branch(pair: tuple[Namespace, Namespace]) -> Namespace:
    return pair[0]


def tentative(host: Namespace) -> str:
    """Return the addresses that a host does not use yet."""
    return host.run("ip", "-6", "addr", "show", "tentative")


def address(host: Namespace, action: str, *words: str) -> None:
    """Add or remove an address of a host's link."""
    run("ip", "-n", host.name, "addr", action, *words, "dev", host.device)


@contextlib.asynccontextmanager
async def opened(
    host: Namespace,
    *listen: Endpoint,
    kept: tuple[int, ...] = (),
    let_go: Callable[[], None] = lambda: None,
) -> AsyncIterator[tuple[ControlSockets, Received]]:
    """Run control sockets on a host."""
    received: Received = []
    sockets = ControlSockets(
        listen, lambda data, path: received.append((data, path)), lambda: None
    )
    made_inside(host.name, lambda: sockets.open(kept, let_go=let_go))
    sockets.start()
    try:
        yield sockets, received
    finally:
        sockets.close()


@contextlib.contextmanager
def caller(host: Namespace, target: str) -> Iterator[socket.socket]:
    """A peer that hears nobody but the one it called, as behind a firewall."""
    with open_socket(host.name, family_of(target), socket.SOCK_DGRAM) as sock:
        sock.settimeout(2.0)
        is_local = target.startswith("fe80:")
        sock.connect((target, PORT, 0, index_of(host)) if is_local else (target, PORT))
        yield sock


def index_of(host: Namespace) -> int:
    """Return the index of a host's link."""
    return made_inside(host.name, lambda: socket.if_nametoindex(host.device))


async def arrival(received: Received) -> tuple[bytes, Path]:
    """Wait for a datagram."""
    async with asyncio.timeout(2.0):
        while not received:  # noqa: ASYNC110  # a list has no event
            await asyncio.sleep(0.01)
    return received.pop()


@pytest.mark.parametrize("asked", ["192.0.2.2", SECOND, "fd00:71::2", SECOND6])
async def test_an_answer_leaves_from_the_address_that_was_asked(
    hub: Namespace, branch: Namespace, asked: str
) -> None:
    async with opened(hub, *WILD) as (sockets, received):
        with caller(branch, asked) as peer:
            peer.send(b"ask")
            data, path = await arrival(received)
            assert (data, path.local) == (b"ask", (asked, PORT))
            assert path.remote == peer.getsockname()[:2]
            assert sockets.source_of(path) == (asked, PORT)
            sockets.send(b"answer", path)
            assert peer.recv(100) == b"answer"
        assert not sockets.unsent.counts


async def test_a_link_local_peer(hub: Namespace, branch: Namespace) -> None:
    show = ("ip", "-6", "-br", "addr", "show", "dev", hub.device, "scope", "link")
    own = hub.run(*show).split()[2].partition("/")[0]
    async with opened(hub, *WILD) as (sockets, received):
        with caller(branch, own) as peer:
            peer.send(b"ask")
            _, path = await arrival(received)
            assert path.local_host == own
            assert path.scope == index_of(hub)
            sockets.send(b"answer", path)
            assert peer.recv(100) == b"answer"
            zoned = (f"{path.host}%{hub.device}", path.port)
            called = made_inside(hub.name, lambda: sockets.path_to(zoned))
            assert called[:3] == path[:3]
            sockets.send(b"call", called)
            assert peer.recv(100) == b"call"


async def test_who_asked_a_group_is_answered_from_an_address(
    hub: Namespace, branch: Namespace
) -> None:
    async with opened(hub, *WILD) as (sockets, received):
        with open_socket(branch.name, socket.AF_INET6, socket.SOCK_DGRAM) as peer:
            peer.settimeout(2.0)
            peer.sendto(b"ask", ("ff02::1", PORT, 0, index_of(branch)))
            _, path = await arrival(received)
            assert path.local_host == "ff02::1"
            sockets.send(b"answer", path)
            assert peer.recv(100) == b"answer"


@pytest.mark.parametrize(
    ("gone", "prefix", "other"),
    [(SECOND, "/32", "192.0.2.2"), (SECOND6, "/128", "fd00:71::2")],
)
async def test_an_address_that_is_gone_is_replaced(
    hub: Namespace, branch: Namespace, gone: str, prefix: str, other: str
) -> None:
    async with opened(hub, *WILD) as (sockets, received):
        with open_socket(branch.name, family_of(gone), socket.SOCK_DGRAM) as peer:
            peer.settimeout(2.0)
            peer.sendto(b"ask", (gone, PORT))
            _, path = await arrival(received)
            address(hub, "del", gone + prefix)
            try:
                sockets.send(b"answer", path)
                answer, source = peer.recvfrom(100)
                assert (answer, *source[:2]) == (b"answer", other, PORT)
            finally:
                address(hub, "add", gone + prefix, *(["nodad"] if ":" in gone else []))
        assert not sockets.unsent.counts


@pytest.mark.parametrize(
    ("late", "prefix"), [("192.0.2.33", "/32"), ("fd00:71::33", "/128")]
)
async def test_an_address_that_comes_later(
    hub: Namespace, branch: Namespace, late: str, prefix: str
) -> None:
    nodad = ["nodad"] if ":" in late else []
    async with opened(hub, Endpoint(late, PORT)) as (sockets, received):
        assert sockets.absent == (late,)
        address(hub, "add", late + prefix, *nodad)
        try:
            with caller(branch, late) as peer:
                peer.send(b"ask")
                _, path = await arrival(received)
                # It looks at once for the address, in its own namespace.
                made_inside(hub.name, lambda: sockets.send(b"answer", path))
                assert peer.recv(100) == b"answer"
                made_inside(hub.name, sockets.look)
                assert list(sockets.absent) == []
        finally:
            address(hub, "del", late + prefix)
        made_inside(hub.name, sockets.look)
        made_inside(hub.name, lambda: sockets.send(b"more", path))
        assert sockets.unsent.counts == {f"{late} is not on this host": 1}


async def test_a_socket_for_all_that_systemd_keeps_makes_room(
    hub: Namespace, branch: Namespace
) -> None:
    with open_socket(hub.name, socket.AF_INET, socket.SOCK_DGRAM) as old:
        old.bind(("", PORT))
        kept, copy = old.dup().detach(), old.dup()
    # systemd closes its copy a moment after it was told to.
    closing = threading.Timer(0.2, copy.close)
    listen = (Endpoint("192.0.2.2", PORT), Endpoint(SECOND, PORT))
    async with opened(hub, *listen, kept=(kept,), let_go=closing.start) as (
        sockets,
        received,
    ):
        closing.join()
        with caller(branch, SECOND) as peer:
            peer.send(b"ask")
            _, path = await arrival(received)
            sockets.send(b"answer", path)
            assert peer.recv(100) == b"answer"


async def test_a_dead_neighbour_keeps_nobody_else_from_being_answered(
    hub: Namespace, branch: Namespace
) -> None:
    async with opened(hub, *WILD) as (sockets, received):
        with caller(branch, SECOND) as peer:
            peer.send(b"ask")
            _, path = await arrival(received)
            for _ in range(300):  # which wait for an answer of ARP
                sockets.send(b"x" * 1200, path._replace(host=NOBODY))
            sockets.send(b"answer", path)
            assert peer.recv(100) == b"answer"


async def test_what_is_sent_is_marked(hub: Namespace) -> None:
    async with opened(hub, *WILD, Endpoint(SECOND, PORT + 1)) as (sockets, _):
        marks = [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
            for sock in sockets.sockets
        ]
        assert marks == [OUTER_MARK] * 3
