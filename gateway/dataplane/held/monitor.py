"""The kernel's notifications: that something changed which may concern us.

What changed is not read from them: a comparison says it, and a notification may be
lost (ENOBUFS). Socket filters in the kernel drop what cannot matter, so that neither a
routing daemon's table main nor our own rotations cost anything here, and cut off
what an XFRM message says of keys.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable

from pyroute2.netlink import NETLINK_ROUTE, NETLINK_XFRM

from gateway.dataplane.held.filters import Instruction, encode, only_ours, only_removals
from gateway.dataplane.held.restored import Scope
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.refusals import kernel_call
from gateway.host import marks

ROUTING_GROUPS = (1, 5, 7, 8, 9, 11, 19)
"""RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE,
_IPV6_RULE."""

XFRM_GROUPS = (2, 3, 4)
"""XFRMNLGRP_EXPIRE, _SA, _POLICY."""

RECEIVE_BUFFER = 1 << 20
"""Bytes; a flush of some thousand routes still fits, and what does not is noticed."""

READ_SIZE = 1 << 15

SO_ATTACH_FILTER = 26
"""asm-generic/socket.h"""

BATCH = 256
"""Notifications read in one turn of the event loop."""


class Monitor:
    """Two sockets that hear of changes; belongs to one event loop."""

    def __init__(self, own_ports: Iterable[int]) -> None:
        """Listen.

        Args:
            own_ports: Port ids of our own requests, whose changes are no news.

        Raises:
            DataPlaneError: The kernel refused; one without XFRM is listened to
                for the rest.
        """
        ports = tuple(own_ports)
        self._sockets: dict[socket.socket, Scope] = {}
        with kernel_call("listen to changes of links, addresses and routes"):
            routing = _listen(NETLINK_ROUTE, ROUTING_GROUPS, only_ours(ports))
        self._sockets[routing] = Scope.ROUTING
        with contextlib.suppress(OSError):
            xfrm = _listen(NETLINK_XFRM, XFRM_GROUPS, only_removals(ports))
            self._sockets[xfrm] = Scope.XFRM
        self._buffer = bytearray(READ_SIZE)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets to wait on."""
        return tuple(self._sockets)

    def read(self, ready: socket.socket) -> Scope:
        """Read what has come; return what may have changed."""
        changed = Scope(0)
        for _ in range(BATCH):
            try:
                size = ready.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                changed |= self._sockets[ready]
                continue
            if not _is_of_another_table(self._buffer, size):
                changed |= self._sockets[ready]
        return changed

    def close(self) -> None:
        """Listen no more."""
        for opened in self._sockets:
            opened.close()
        self._sockets.clear()


def _listen(
    protocol: int, groups: Iterable[int], program: list[Instruction]
) -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        protocol,
    )
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        code = encode(program)
        with code as pointer:
            opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
        opened.bind((0, sum(1 << (group - 1) for group in groups)))
    except BaseException:
        opened.close()
        raise
    return opened


def _is_of_another_table(buffer: bytearray, size: int) -> bool:
    """Whether it is about a route in a table with a number like ours, yet not ours."""
    if size < rt.HEADER.size + rt.RTMSG.size:
        return False
    (kind,) = struct.unpack_from("=H", buffer, 4)
    if kind not in {rt.RTM_NEWROUTE, rt.RTM_DELROUTE}:
        return False
    message = bytes(buffer[:size])
    for number, payload in rt.walk(message, rt.HEADER.size + rt.RTMSG.size):
        if number == rt.RTA_TABLE:
            return payload != rt.u32(marks.ROUTE_TABLE)
    return True
