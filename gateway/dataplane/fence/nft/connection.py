"""A blocking socket to nf_tables: transactions in, dumps out."""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import (
    ALIGN,
    HEADER_SIZE,
    batch_message,
    message,
)
from gateway.host.lending import Loan, borrow

READ_SIZE: Final = 1 << 16
"""Bytes read at once; the kernel sends at most 32 KiB in one piece of a dump."""

RECEIVE_BUFFER: Final = 1 << 22
"""Bytes: each refused message of a transaction is answered for itself."""

ANSWER_TIMEOUT: Final = 5
"""Seconds; the kernel answers at once or not at all."""

MAX_DUMPS: Final = 20
"""Times a dump is begun afresh because something changed beneath it."""

NETLINK_HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number, address of the socket that asked."""

_ERROR = struct.Struct("=i")
_FLAGS = struct.Struct("=HI")
_FLAGS_OFFSET: Final = 6
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_DUMP_INTR: Final = 0x10
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_LAST_SEQUENCE: Final = 1
_SEND_SPARE: Final = 1 << 16


def open_socket() -> socket.socket:
    """Return a socket to nf_tables that has no address yet.

    Raises:
        OSError: The kernel refused.
    """
    return socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC,
        c.NETLINK_NETFILTER,
    )


class NftError(OSError):
    """Raised when the kernel refuses something; `errno` says why."""

    def __init__(self, number: int) -> None:
        super().__init__(number, os.strerror(number))


class NftConnection:
    """One NETLINK_NETFILTER socket. Belongs to one thread at a time."""

    def __init__(self, keeper: Path | None = None) -> None:
        """Open a socket, or borrow the one that owns the table.

        Args:
            keeper: Folder of the keeper to borrow from; where that cannot be, or none
                is named, the socket is a fresh one.

        Raises:
            OSError: The kernel refused.
        """
        self._loan: Loan | None = None
        self._socket = open_socket()
        if keeper is not None and (loan := borrow(keeper, self._socket)):
            self._socket.close()
            self._loan, self._socket = loan, loan.socket
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_TIMEOUT, 0)
        )
        if self._loan is None:
            self._socket.bind((0, 0))
        self._room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    @property
    def port(self) -> int:
        """Our address, by which notifications of our own changes are known."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        """Close the socket, or give it back."""
        if self._loan is not None:
            self._loan.close()
        self._socket.close()

    @property
    def is_borrowed(self) -> bool:
        """Whether a keeper holds this socket too, so that it outlives us."""
        return self._loan is not None

    def transact(self, messages: Sequence[bytes], *, trial: bool = False) -> None:
        """Carry out all messages in one step, or none.

        Args:
            messages: Requests, encoded.
            trial: Only ask whether the kernel would: without its end a transaction
                is taken back.

        Raises:
            NftError: The first refusal; nothing has changed.
        """
        if not messages:
            return
        last = bytearray(messages[-1])
        (flags, _) = _FLAGS.unpack_from(last, _FLAGS_OFFSET)
        _FLAGS.pack_into(last, _FLAGS_OFFSET, flags | c.NLM_F_ACK, _LAST_SEQUENCE)
        self._send(
            b"".join(
                (
                    batch_message(c.NFNL_MSG_BATCH_BEGIN),
                    *messages[:-1],
                    last,
                    b"" if trial else batch_message(c.NFNL_MSG_BATCH_END),
                )
            )
        )
        self._await_end()

    def dump(self, command: int, *parts: bytes) -> list[bytes]:
        """Return the attributes of every message of a dump.

        Raises:
            NftError: The kernel refused, with ENOENT if there is no such thing.
        """
        for _ in range(MAX_DUMPS):
            self._send(message(command, *parts, flags=c.NLM_F_DUMP))
            found, whole = self._collect()
            if whole:
                return found
        raise NftError(errno.EBUSY)

    def get(self, command: int, *parts: bytes) -> bytes | None:
        """Return the attributes of one thing, None if it is not there.

        Raises:
            NftError: The kernel refused.
        """
        self._send(message(command, *parts))
        for kind, _, body in self._read():
            if kind != _NLMSG_ERROR:
                return body[HEADER_SIZE - NETLINK_HEADER.size :]
            number = -_ERROR.unpack_from(body)[0]
            if number == errno.ENOENT:
                return None
            raise NftError(number)
        raise NftError(errno.EPROTO)

    def _collect(self) -> tuple[list[bytes], bool]:
        """Read a dump; return it, and whether nothing changed beneath it."""
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, body in self._read():
                whole = whole and not flags & _NLM_F_DUMP_INTR
                if kind == _NLMSG_DONE:
                    return found, whole
                if kind == _NLMSG_ERROR:
                    raise NftError(-_ERROR.unpack_from(body)[0])
                found.append(body[HEADER_SIZE - NETLINK_HEADER.size :])

    def _send(self, data: bytes) -> None:
        needed = len(data) + _SEND_SPARE
        if needed > self._room:
            # One datagram is one transaction, however many tunnels there are.
            option = getattr(socket, "SO_SNDBUFFORCE", 32)
            self._socket.setsockopt(socket.SOL_SOCKET, option, needed)
            self._room = needed
        self._socket.sendto(data, (0, 0))

    def _await_end(self) -> None:
        """Read what was answered to a transaction; all of it is there by now."""
        refusal, is_done = 0, False
        while True:
            try:
                data, (sender, _) = self._socket.recvfrom(
                    READ_SIZE, socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                break
            for kind, _, body, sequence, _ in split(data) if sender == 0 else ():
                if kind == _NLMSG_ERROR:
                    number = -_ERROR.unpack_from(body)[0]
                    refusal = refusal or number
                    is_done = is_done or sequence == _LAST_SEQUENCE
        if refusal or not is_done:
            raise NftError(refusal or errno.EPROTO)

    def _read(self) -> Iterator[tuple[int, int, bytes]]:
        while True:
            data, (sender, _) = self._socket.recvfrom(READ_SIZE)
            if sender == 0:  # the kernel
                break
        for kind, flags, body, _, _ in split(data):
            yield kind, flags, body


def split(data: bytes) -> Iterator[tuple[int, int, bytes, int, int]]:
    """Yield the messages of a datagram: type, flags, body, sequence number, port."""
    offset = 0
    while offset + NETLINK_HEADER.size <= len(data):
        size, kind, flags, sequence, port = NETLINK_HEADER.unpack_from(data, offset)
        if size < NETLINK_HEADER.size or offset + size > len(data):
            return
        body = data[offset + NETLINK_HEADER.size : offset + size]
        yield kind, flags, body, sequence, port
        offset += (size + ALIGN) & ~ALIGN
