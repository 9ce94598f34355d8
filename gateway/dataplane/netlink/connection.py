"""A small blocking netlink socket.

pyroute2's own sockets bring an event loop with them and decode every answer in
full; a rotation sends a handful of requests and asks for a few counters, so this
one sends many requests with one system call and hands answers back undecoded.

Keys pass through it. The kernel is told not to echo a refused request
(NETLINK_CAP_ACK), and buffers that held keys are overwritten after use.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
)

RECEIVE_BUFFER = 1 << 20
"""Bytes of socket buffer: a dump of some thousand SAs must not overflow it."""

READ_SIZE = 1 << 16
"""Bytes read at once; the kernel sends at most 32 KiB in one piece of a dump."""

MAX_BATCH = 128
"""Requests in one system call: an SA with its attributes takes 1.1 KB, and one
datagram may not exceed the socket's send buffer (208 KiB by default)."""

ANSWER_TIMEOUT = 5
"""Seconds; the kernel answers at once or not at all."""

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_GET_STRICT_CHK = 12
"""The kernel heeds what a dump asks for, such as a table, and dumps that alone."""
HEADER = struct.Struct("=IHHII")
ERROR = struct.Struct("=i")
FLAGS_OFFSET = 6
SEQUENCE_OFFSET = 8


class RequestError(OSError):
    """Raised when the kernel refuses a request; `errno` says why.

    Attributes:
        position: Which request of the batch it was, from 0.
    """

    def __init__(self, number: int, position: int) -> None:
        super().__init__(number, os.strerror(number))
        self.position = position


class NetlinkConnection:
    """One netlink socket. Belongs to one thread at a time.

    Attributes:
        port: Its port id, by which notifications name who asked for a change.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # The kernel's own timeout: Python's would poll before every call.
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_TIMEOUT, 0)
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._socket.bind((0, 0))
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0
        self._buffer = bytearray(READ_SIZE)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, requests: Sequence[bytearray]) -> list[RequestError]:
        """Send requests in order and wait for the last to be done.

        The kernel carries each out in order and goes on after one it refuses.
        The requests' bytes are overwritten with zeros.

        Returns:
            The refusals, in order; empty if all were carried out.
        """
        errors: list[RequestError] = []
        for start in range(0, len(requests), MAX_BATCH):
            batch = requests[start : start + MAX_BATCH]
            first = self._transmit(batch)
            last = first + len(batch) - 1
            for _, sequence, number in self._answers(first, last, HEADER.size):
                if number:
                    errors.append(RequestError(number, start + sequence - first))
                if sequence == last:
                    break
        return errors

    def ask(self, requests: Sequence[bytearray], size: int) -> list[bytes | None]:
        """Send requests for one thing each, and return the answering messages.

        Args:
            requests: Encoded requests; overwritten with zeros.
            size: How many bytes of each answer to return, header included. The
                rest is not copied: an SA's answer carries its key.

        Returns:
            One message for each request, header included; None for what is not
            there (ESRCH, ENOENT).

        Raises:
            RequestError: Any other refusal.
        """
        found: list[bytes | None] = []
        for start in range(0, len(requests), MAX_BATCH):
            batch = requests[start : start + MAX_BATCH]
            first = self._transmit(batch, acknowledge=False)
            last = first + len(batch) - 1
            failure: RequestError | None = None
            for message, sequence, number in self._answers(first, last, size):
                if number and number not in {errno.ESRCH, errno.ENOENT}:
                    failure = RequestError(number, start + sequence - first)
                found.append(None if number else message)
                if sequence == last:
                    break
            if failure is not None:
                raise failure
        return found

    def dump(self, request: bytearray, size: int = READ_SIZE) -> Iterator[bytes]:
        """Send a dump request and yield every message of the answer, as `ask` does."""
        struct.pack_into("=H", request, FLAGS_OFFSET, NLM_F_DUMP | 1)
        first = self._transmit([request], acknowledge=False)
        for message, _, number in self._answers(first, first, size):
            if number:
                raise RequestError(number, 0)
            (message_type,) = struct.unpack_from("=H", message, 4)
            if message_type == NLMSG_DONE:
                return
            yield message

    def _transmit(self, batch: Sequence[bytearray], *, acknowledge: bool = True) -> int:
        """Number and send a batch; return the first sequence number."""
        first = self._sequence + 1
        for position, request in enumerate(batch):
            # XFRM's notifications name the port that stands in the request, not the
            # one that it came from.
            struct.pack_into(
                "=II", request, SEQUENCE_OFFSET, first + position, self.port
            )
            if acknowledge:
                # Refusals always come back; of successes only the last one's.
                (flags,) = struct.unpack_from("=H", request, FLAGS_OFFSET)
                wanted = NLM_F_ACK if position == len(batch) - 1 else 0
                struct.pack_into(
                    "=H", request, FLAGS_OFFSET, flags & ~NLM_F_ACK | wanted
                )
            else:
                (flags,) = struct.unpack_from("=H", request, FLAGS_OFFSET)
                struct.pack_into("=H", request, FLAGS_OFFSET, flags & ~NLM_F_ACK)
        self._sequence = first + len(batch) - 1
        datagram = bytearray().join(batch)
        try:
            self._socket.sendto(datagram, (0, 0))
        finally:
            _wipe(datagram)
            for request in batch:
                _wipe(request)
        return first

    def _answers(
        self, first: int, last: int, keep: int
    ) -> Iterator[tuple[bytes, int, int]]:
        """Yield messages that answer the requests, with number and errno."""
        view = memoryview(self._buffer)
        while True:
            size, (sender, _) = self._socket.recvfrom_into(self._buffer)
            if sender:
                continue  # not the kernel
            offset = 0
            try:
                while offset + HEADER.size <= size:
                    length, kind, _, sequence, _ = HEADER.unpack_from(view, offset)
                    if length < HEADER.size or offset + length > size:
                        break
                    if first <= sequence <= last:
                        number = 0
                        if kind == NLMSG_ERROR:
                            (code,) = ERROR.unpack_from(view, offset + HEADER.size)
                            number = -code
                        end = offset + min(length, keep)
                        yield bytes(view[offset:end]), sequence, number
                    offset += (length + 3) & ~3
            finally:
                view[:size] = bytes(size)


def _wipe(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))
