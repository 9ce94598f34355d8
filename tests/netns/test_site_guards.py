"""Guards of our own networks, in a kernel's table main."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyroute2 import netns
from pyroute2.netlink import NETLINK_ROUTE

from gateway.dataplane.held.sites import SiteGuards
from gateway.dataplane.held.spans import span_of
from gateway.dataplane.netlink.connection import NetlinkConnection

pytestmark = [pytest.mark.netns]

NAME = f"qgwg{os.getpid()}"
LAN, OTHER = span_of("10.1.5.0/24"), span_of("10.9.0.0/24")


@pytest.fixture
def inside() -> Iterator[ThreadPoolExecutor]:
    """A thread in a namespace of its own."""
    netns.create(NAME)
    with ThreadPoolExecutor(1, initializer=netns.setns, initargs=(NAME,)) as thread:
        yield thread
    netns.remove(NAME)


def guards() -> list[str]:
    done = subprocess.run(  # noqa: S603  # a command of this file
        ("ip", "-n", NAME, "route", "show", "proto", "181"),  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout.splitlines()


def test_what_was_connected_stays_guarded(inside: ThreadPoolExecutor) -> None:
    def play() -> None:
        connection = NetlinkConnection(NETLINK_ROUTE)
        sites = SiteGuards(connection)
        assert sites.keep(["10.1.0.0/16"], [LAN, OTHER]) == []
        assert guards() == ["unreachable 10.1.5.0/24 metric 4294901760 "]
        assert sites.keep(["10.1.0.0/16"], []) == []  # the cable is out
        assert len(guards()) == 1
        run = ("ip", "-n", NAME, "route", "flush", "table", "main")
        subprocess.run(run, check=True, timeout=10)  # noqa: S603
        assert sites.keep(["10.1.0.0/16"], []) == ["10.1.5.0/24"]
        assert len(guards()) == 1
        assert sites.keep([], []) == []
        assert guards() == []
        connection.close()

    inside.submit(play).result(timeout=30)
