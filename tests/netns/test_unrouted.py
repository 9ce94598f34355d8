"""Peers for which there is no route, and what a sender that names interfaces does."""

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from pyroute2 import netns

from gateway.dataplane.held.keeper import Keeper

pytestmark = [pytest.mark.netns]

NAME = f"qgwu{os.getpid()}"
PEER, STRANGER, ABSENT = "198.51.100.1", "198.51.100.2", "192.0.2.99"
"""A peer that only a default route leads to, another host there, a silent neighbour."""

IP_PKTINFO = 8
"""linux/in.h; Python's socket module does not have it before 3.14."""

BLOCKS = 2000
"""Datagrams of 1,400 bytes that no socket's buffer takes."""


def ip(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  # a command of this file
        ("ip", "-n", NAME, *arguments),  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout


@pytest.fixture
def inside() -> Iterator[ThreadPoolExecutor]:
    """A thread in a namespace with one link and no route beyond it."""
    netns.create(NAME)
    ip("link", "add", "wan0", "type", "veth", "peer", "name", "far0")
    ip("link", "set", "wan0", "up")
    ip("link", "set", "far0", "up")
    ip("addr", "add", "192.0.2.1/24", "dev", "wan0")
    with ThreadPoolExecutor(1, initializer=netns.setns, initargs=(NAME,)) as thread:
        yield thread
    netns.remove(NAME)


def datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def send(sock: socket.socket, host: str) -> None:
    """Send a datagram by wan0, as wireguard-go does."""
    info = struct.pack("=iII", socket.if_nametoindex("wan0"), 0, 0)
    ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, info)]
    sock.sendmsg([bytes(1400)], ancillary, socket.MSG_DONTWAIT, (host, 51811))


def fill(sock: socket.socket, host: str) -> None:
    """Send until nothing more is taken."""
    for _ in range(BLOCKS):
        send(sock, host)


def unanswered() -> set[str]:
    listed = ip("-4", "neigh", "show", "nud", "incomplete")
    return {line.split()[0] for line in listed.splitlines()}


def test_a_peer_without_a_route_is_no_neighbour(inside: ThreadPoolExecutor) -> None:
    def play() -> None:
        with closing(Keeper()) as keeper, datagrams() as sock:
            for host in (STRANGER, ABSENT):
                send(sock, host)
            with pytest.raises(BlockingIOError):
                fill(sock, PEER)
            assert unanswered() == {PEER, STRANGER, ABSENT}
            assert keeper.forget_unrouted({PEER, ABSENT}) == [PEER]
            assert unanswered() == {STRANGER, ABSENT}
            send(sock, PEER)  # there is room again
            keeper.forget_unrouted({PEER})
            ip("route", "add", "default", "via", "192.0.2.254")
            send(sock, PEER)
            assert "192.0.2.254" in unanswered()
            assert PEER not in unanswered()

    began = time.monotonic()
    inside.submit(play).result(timeout=30)
    assert time.monotonic() - began < 3.0, "ARP has given up by itself meanwhile"


def test_a_peer_on_the_link_is_left(inside: ThreadPoolExecutor) -> None:
    def play() -> None:
        with closing(Keeper()) as keeper, datagrams() as sock:
            send(sock, ABSENT)
            assert keeper.forget_unrouted({ABSENT}) == []
            assert unanswered() == {ABSENT}
            ip("route", "add", "unreachable", f"{ABSENT}/32")
            assert keeper.forget_unrouted({ABSENT}) == [ABSENT]

    inside.submit(play).result(timeout=30)
