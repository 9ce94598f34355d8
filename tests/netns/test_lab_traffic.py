"""The program that counts packets counts what the network lost, and nothing else."""

import signal
import socket
import time
from pathlib import Path

import pytest
from lab.inside import open_socket
from lab.netns import Namespace
from lab.room import make_room
from lab.tools import finish_tool, start_traffic

SECONDS = 4.0
STOPPED = 2.0
"""Seconds: at a packet each millisecond, several times what a socket's buffer holds
under the usual net.core.rmem_max."""

FEWEST = 1000
"""Packets from the other end meanwhile, on a machine that is busy itself."""


@pytest.mark.lossless
def test_a_receiver_without_a_processor_loses_nothing(
    pair: tuple[Namespace, Namespace],
) -> None:
    outer = dict(zip("ab", (end.address for end in pair), strict=True))
    stopped, going = start_traffic(pair, SECONDS, inner=outer)
    stopped.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED)
    stopped.send_signal(signal.SIGCONT)
    mine, theirs = finish_tool(stopped), finish_tool(going)
    assert theirs["sent"] > FEWEST
    assert (mine["overflowed"], theirs["overflowed"]) == (0, 0)
    assert (mine["received"], mine["missing"]) == (theirs["sent"], [])
    assert (theirs["received"], theirs["missing"]) == (mine["sent"], [])


@pytest.mark.lossless
def test_the_room_is_beyond_what_the_system_allows(
    pair: tuple[Namespace, Namespace],
) -> None:
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    wanted = 2 * allowed
    with open_socket(pair[0].name, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        make_room(sock, wanted)
        # The kernel doubles what is asked for (socket(7)).
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * wanted
