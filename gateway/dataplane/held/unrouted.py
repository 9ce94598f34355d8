"""Peers that the kernel takes for neighbours for want of a route, made to be forgotten.

A program that names the interface of each packet it sends (IP_PKTINFO; wireguard-go
does) gets no error from IPv4 while there is no route: the kernel takes the destination
for a neighbour on that interface, asks for it by ARP, and keeps the packets. Once they
fill the socket's buffer, sending blocks until ARP gives up, seconds after the route is
back. Forgetting that neighbour drops what waits for it, and sending goes on.
"""

import errno
import socket
import struct
from collections.abc import Collection

from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import (
    READ_SIZE,
    NetlinkConnection,
    RequestError,
)
from gateway.host import marks

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES})
"""What the kernel answers where there is no route, or one that refuses."""


def forget_unrouted(connection: NetlinkConnection, hosts: Collection[str]) -> list[str]:
    """Forget neighbours that nobody answers for and that no route takes for such.

    Args:
        connection: A routing socket.
        hosts: Outer addresses of peers; only these are touched.

    Returns:
        Those that were forgotten.

    Raises:
        OSError: The kernel refused.
    """
    forgotten = []
    for index, host in _unanswered(connection):
        if host not in hosts or _is_on_link(connection, index, host):
            continue
        deletion = rt.neighbour_deletion(index, host)
        for error in connection.send([deletion]):
            if error.errno not in {errno.ENOENT, errno.ENODEV}:  # it went by itself
                raise error
        forgotten.append(host)
    return forgotten


def _unanswered(connection: NetlinkConnection) -> list[tuple[int, str]]:
    """Return IPv4 neighbours that are still asked for: interface and address."""
    found = []
    for message in connection.dump(rt.neighbour_question(int(socket.AF_INET))):
        _, index, state, _, _ = rt.NDMSG.unpack_from(message, rt.HEADER.size)
        if state != rt.NUD_INCOMPLETE:
            continue
        for kind, payload in rt.walk(message, rt.HEADER.size + rt.NDMSG.size):
            if kind == rt.NDA_DST:
                found.append((index, socket.inet_ntop(socket.AF_INET, payload)))
    return found


def _is_on_link(connection: NetlinkConnection, index: int, host: str) -> bool:
    """Whether the route of what goes outside takes a host for a neighbour there."""
    question = rt.route_question(host, marks.OUTER_MARK)
    try:
        (answer,) = connection.ask([question], READ_SIZE)
    except RequestError as error:
        if error.errno not in _NO_ROUTE:
            raise
        return False
    if answer is None:
        return False
    parts = dict(rt.walk(answer, rt.HEADER.size + rt.RTMSG.size))
    (device,) = struct.unpack("=I", parts.get(rt.RTA_OIF, bytes(4)))
    is_direct = rt.RTA_GATEWAY not in parts and rt.RTA_VIA not in parts
    return is_direct and device == index
