"""Classic BPF programs for netlink sockets: what of all notifications matters.

A notification is one message. Numbers of netlink are in host order, and the machine
of a filter reads in network order: constants are swapped here.
"""

import ctypes
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.xfrm import constants as c

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""

_LOAD_U16 = 0x28
_LOAD_U32 = 0x20
_LOAD_U8 = 0x30
_JUMP_EQUAL = 0x15
_RETURN = 0x06

_TYPE = 4
_PORT = 12
_TABLE = 20
"""Offsets of nlmsg_type, nlmsg_pid, and rtm_table of a route."""

KEEP_HEAD = 40
"""Bytes kept of an XFRM notification: what follows may hold keys."""

KEEP = 0xFFFF
DROP = 0

REMOVALS = (
    c.XFRM_MSG_DELSA,
    c.XFRM_MSG_FLUSHSA,
    c.XFRM_MSG_EXPIRE,
    c.XFRM_MSG_NEWPOLICY,
    c.XFRM_MSG_UPDPOLICY,
    c.XFRM_MSG_DELPOLICY,
    c.XFRM_MSG_FLUSHPOLICY,
    c.XFRM_MSG_POLEXPIRE,
)
"""An SA that somebody adds takes nothing from us; a policy may replace ours."""


def only_ours(ports: Iterable[int]) -> list[Instruction]:
    """Keep routing notifications but those of routes in the tables below 256.

    Routes that we changed are dropped; links and addresses are kept whoever changed
    them, since one change of ours can take another thing along (an IPv4 address its
    secondary ones).
    """
    routes = [
        (_LOAD_U8, 0, 0, _TABLE),
        (_JUMP_EQUAL, 1, 0, rt.RT_TABLE_COMPAT),
        (_RETURN, 0, 0, DROP),
        *_drop_ports(ports),
        (_RETURN, 0, 0, KEEP),
    ]
    return [
        (_LOAD_U16, 0, 0, _TYPE),
        (_JUMP_EQUAL, 2, 0, _swap16(rt.RTM_NEWROUTE)),
        (_JUMP_EQUAL, 1, 0, _swap16(rt.RTM_DELROUTE)),
        (_RETURN, 0, 0, KEEP),
        *routes,
    ]


def only_removals(ports: Iterable[int]) -> list[Instruction]:
    """Keep the heads of XFRM notifications in `REMOVALS` that are not our own doing."""
    tests = [
        (_JUMP_EQUAL, len(REMOVALS) - number, 0, _swap16(kind))
        for number, kind in enumerate(REMOVALS)
    ]
    return [
        (_LOAD_U16, 0, 0, _TYPE),
        *tests,
        (_RETURN, 0, 0, DROP),
        *_drop_ports(ports),
        (_RETURN, 0, 0, KEEP_HEAD),
    ]


def _drop_ports(ports: Iterable[int]) -> Iterator[Instruction]:
    yield _LOAD_U32, 0, 0, _PORT
    for port in ports:
        yield _JUMP_EQUAL, 0, 1, _swap32(port)
        yield _RETURN, 0, 0, DROP


@contextmanager
def encode(program: list[Instruction]) -> Iterator[bytes]:
    """Give the value of SO_ATTACH_FILTER (struct sock_fprog), valid while inside."""
    code = b"".join(struct.pack("=HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    yield struct.pack("@HP", len(program), ctypes.addressof(buffer))
    del buffer


def _swap16(value: int) -> int:
    return int.from_bytes(value.to_bytes(2, sys.byteorder))


def _swap32(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, sys.byteorder))
