"""IPv4 routes of the main table, as /proc/net/route shows them to everybody."""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

_ROUTE_UP: Final = 0x1
_ROUTE_GATEWAY: Final = 0x2


def read_routes(routes: Path) -> Iterator[tuple[str, IPv4Network, bool]]:
    """Return interface and prefix of each route, and whether no router is on it."""
    for line in read_lines(routes)[1:]:
        fields = line.split()
        flags, length = int(fields[3], 16), int(fields[7], 16).bit_count()
        # Printed as a number of this processor, kept in the order of the network.
        network = int(fields[1], 16).to_bytes(4, sys.byteorder)
        if flags & _ROUTE_UP:
            is_direct = not flags & _ROUTE_GATEWAY
            yield fields[0], IPv4Network((network, length)), is_direct


def read_lines(path: Path) -> list[str]:
    """Return a file's lines; none of one that cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # a kernel without the protocol, or a service that may not look
