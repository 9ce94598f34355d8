"""The kernel's notifications of changes that others make to our table.

Only where tables have no owners: elsewhere nobody else can change it.
"""

import socket
from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import (
    HEADER_SIZE,
    read_attributes,
    read_text,
)
from gateway.dataplane.fence.nft.connection import NETLINK_HEADER, READ_SIZE, split
from gateway.dataplane.fence.nft.objects import TABLE
from gateway.dataplane.refusals import kernel_call

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_TABLE: Final = 1
"""Every object of nf_tables names its table in attribute 1."""


class NftNotifications:
    """A socket that becomes readable when somebody changes a ruleset."""

    def __init__(self, own_port: int) -> None:
        """Listen from now on.

        Args:
            own_port: Netlink address of the socket that makes our own changes.

        Raises:
            DataPlaneError: The kernel refuses.
        """
        self._own_port = own_port
        with kernel_call("listen to changes of nftables"):
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                c.NETLINK_NETFILTER,
            )
            try:
                self._socket.bind((0, 0))
                self._socket.setsockopt(
                    _SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, c.NFNLGRP_NFTABLES
                )
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
                data = self._socket.recv(READ_SIZE)
            except BlockingIOError:
                return ours
            except OSError:
                # ENOBUFS: more came than fits. Nobody knows what it was.
                ours = False
                continue
            ours = ours and not self._touches(data)

    def _touches(self, data: bytes) -> bool:
        for kind, _, body, _, port in split(data):
            if kind >> 8 != c.NFNL_SUBSYS_NFTABLES or port == self._own_port:
                continue
            parts = read_attributes(body[HEADER_SIZE - NETLINK_HEADER.size :])
            if read_text(parts.get(_TABLE, b"")) == TABLE:
                return True
        return False
