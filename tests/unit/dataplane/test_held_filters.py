"""Which notifications get through, by the kernel's own filter machine."""

import socket
import struct
import sys

import pytest

from gateway.dataplane.held.filters import (
    KEEP_HEAD,
    Instruction,
    encode,
    only_ours,
    only_removals,
)
from gateway.dataplane.held.monitor import SO_ATTACH_FILTER, _is_of_another_table
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.xfrm import constants as c
from gateway.host import marks

OWN, OTHER = 4711, 4712


def passes(program: list[Instruction], message: bytes) -> int:
    """Send a message through a socket with a filter; return how much arrives."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        with encode(program) as code:
            far.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, code)
        far.setblocking(False)
        near.setblocking(False)
        try:
            near.send(message)
            return len(far.recv(4096))
        except (BlockingIOError, PermissionError):
            return 0


def message(kind: int, port: int, body: bytes = b"") -> bytes:
    body = body.ljust(64, b"\0")
    return rt.HEADER.pack(rt.HEADER.size + len(body), kind, 0, 0, port) + body


def route(port: int, table: int) -> bytes:
    request = rt.route_request("10.2.0.0/16", rt.RTN_UNICAST, table=table, protocol=181)
    struct.pack_into("=I", request, 12, port)
    return bytes(request)


@pytest.mark.skipif(sys.platform != "linux", reason="sockets of Linux: run it there")
class TestFilters:
    def test_routes_of_other_tables_and_our_own_changes_are_dropped(self) -> None:
        program = only_ours((OWN, 99))
        assert passes(program, route(OTHER, marks.ROUTE_TABLE))
        assert not passes(program, route(OWN, marks.ROUTE_TABLE))
        assert not passes(program, route(OTHER, rt.RT_TABLE_MAIN))

    def test_links_addresses_and_rules_are_kept_whoever_changed_them(self) -> None:
        for kind in (rt.RTM_NEWLINK, rt.RTM_DELLINK, rt.RTM_DELADDR, rt.RTM_DELRULE):
            for port in (OWN, OTHER, 0):
                assert passes(only_ours((OWN,)), message(kind, port))

    def test_a_table_with_a_long_number_that_is_not_ours_is_told_apart(self) -> None:
        for table, foreign in ((marks.ROUTE_TABLE, False), (5158, True)):
            buffer = bytearray(route(OTHER, table))
            assert _is_of_another_table(buffer, len(buffer)) is foreign

    def test_of_xfrm_only_removals_and_policies_and_no_key_bytes(self) -> None:
        program = only_removals((OWN,))
        for kind in (c.XFRM_MSG_DELSA, c.XFRM_MSG_FLUSHPOLICY, c.XFRM_MSG_UPDPOLICY):
            assert passes(program, message(kind, OTHER)) == KEEP_HEAD
            assert not passes(program, message(kind, OWN))
        for kind in (c.XFRM_MSG_NEWSA, c.XFRM_MSG_UPDSA, c.XFRM_MSG_NEWAE):
            assert not passes(program, message(kind, OTHER))
