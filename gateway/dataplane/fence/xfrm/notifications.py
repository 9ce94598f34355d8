"""The kernel's notifications of policies that others remove."""

import socket
import struct
from typing import Final

from pyroute2.netlink import NETLINK_XFRM

from gateway.dataplane.held.filters import encode, only_removals
from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.xfrm import constants as c

_SO_ATTACH_FILTER: Final = 26
"""asm-generic/socket.h"""

_READ_SIZE: Final = 1 << 12
_TYPE: Final = 4
"""Offset of nlmsg_type."""

_GOING: Final = frozenset({c.XFRM_MSG_DELPOLICY, c.XFRM_MSG_FLUSHPOLICY})
"""ESP renews its own policies with each epoch; that concerns nobody here."""


class PolicyNotifications:
    """A socket that becomes readable when somebody else changes policies."""

    def __init__(self, own_port: int) -> None:
        """Listen from now on; our own changes are no news.

        Args:
            own_port: Netlink address of the socket that makes them.

        Raises:
            DataPlaneError: The kernel refuses.
        """
        with kernel_call("listen to changes of policies"):
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                NETLINK_XFRM,
            )
            try:
                with encode(only_removals([own_port])) as program:
                    self._socket.setsockopt(
                        socket.SOL_SOCKET, _SO_ATTACH_FILTER, program
                    )
                self._socket.bind((0, c.XFRMGRP_POLICY))
            except OSError:
                self._socket.close()
                raise

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def were_ours(self) -> bool:
        """Read what has come; return whether none of it was a change by others."""
        ours = True
        while True:
            try:
                message = self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                return ours
            except OSError:
                ours = False  # ENOBUFS: more came than fits
                continue
            (kind,) = struct.unpack_from("=H", message, _TYPE)
            ours = ours and kind not in _GOING
