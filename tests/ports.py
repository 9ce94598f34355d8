"""Ports of loopback for programs that tests start, stop and start again."""

import contextlib
import os
import re
import secrets
import socket

OWN_PORTS = range(20_000, 32_000)
"""Below what the kernel gives to sockets that ask for any port (32768 and up): nobody
takes one while a test has stopped its program and is about to start it again."""

WORKERS = 8
"""Processes that may run tests side by side: each has a part of the range, so that none
takes a port of another's program that is about to start."""


def own_part() -> range:
    """Return the ports of this process of pytest-xdist."""
    found = re.search(r"\d+$", os.environ.get("PYTEST_XDIST_WORKER", ""))
    number = int(found[0]) % WORKERS if found else 0
    size = len(OWN_PORTS) // WORKERS
    return OWN_PORTS[number * size : (number + 1) * size]


def free_ports(count: int) -> list[int]:
    """Return different ports of loopback that nobody has, neither for UDP nor TCP."""
    part, found = own_part(), dict[int, None]()
    while len(found) < count:
        port = part[secrets.randbelow(len(part))]
        with contextlib.suppress(OSError):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as sock:
                    sock.bind(("127.0.0.1", port))
            found[port] = None
    return list(found)
