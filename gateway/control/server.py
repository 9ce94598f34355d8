"""The daemon's end of the control socket.

What connects is a local user who passed the file's mode; it is checked again by
its kernel credentials, and then still bounded: in message size and nesting, in
time for a request, for its handling and for taking the answer, and in number.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.control import limits
from gateway.control.admission import Admission
from gateway.control.audit import Audit
from gateway.control.lines import LineReader, wipe
from gateway.control.peer import Peer, find_group, may_control, read_peer
from gateway.control.protocol import (
    Request,
    decode_request,
    encode_error,
    encode_result,
)
from gateway.control.schema import ErrorCode
from gateway.control.socket_file import SocketFile
from gateway.errors import ControlError, GatewayError

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object]], Awaitable[object]]
"""Takes a request's params; returns what JSON can hold, or raises `GatewayError`."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) says when a connection waits and there is nothing left to take it."""

_ACCEPT_PAUSE: Final = 1.0
"""Seconds until the next try after that: the connection still waits, so that a try at
once would fail at once, for ever."""


class ControlServer:
    """Serves JSON lines at a Unix socket; each request goes to its handler.

    Requests of one connection are answered in order; connections are independent.
    """

    def __init__(self, path: Path, group: str, handlers: Mapping[str, Handler]) -> None:
        """Name the socket; nothing is opened before `start`.

        Args:
            path: Socket file.
            group: Name of the group that may connect. When there is no such group,
                only root and the daemon's own user may, and a warning says so.
            handlers: By method name.
        """
        self._path = path
        self._group = group
        self._handlers = handlers
        self._file: SocketFile | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._admission = Admission()
        self._audit = Audit()
        self._group_id: int | None = None

    async def start(self) -> None:
        """Make the socket and serve.

        Raises:
            ControlError: Another daemon listens there, or the file cannot be made.
        """
        self._group_id = find_group(self._group)
        if self._group_id is None:
            logger.warning(
                "group %s does not exist: only root can use the control socket %s; "
                "to let its members in, run groupadd --system %s and restart qgwd",
                self._group,
                self._path,
                self._group,
                extra={"event": "control-root-only"},
            )
        self._file = file = SocketFile(self._path, self._group_id)
        file.socket.settimeout(0)
        file.socket.listen(limits.LISTEN_BACKLOG)
        loop = asyncio.get_running_loop()
        self._accepting = loop.create_task(self._accept(file.socket))

    async def stop(self) -> None:
        """Close every connection and remove the socket; nothing if not started."""
        if self._accepting is None or self._file is None:
            return
        self._accepting.cancel()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(
            self._accepting, *self._connections, return_exceptions=True
        )
        self._file.remove()
        self._accepting = self._file = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # What is wrong with one connection is gone with it.
                if error.errno in _EXHAUSTED:
                    logger.error(  # noqa: TRY400  # an operator can act on the words
                        "cannot take a control connection: %s",
                        os.strerror(error.errno or 0),
                        extra={"event": "control-exhausted"},
                    )
                    await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            task = loop.create_task(self._serve_connection(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve_connection(self, connection: socket.socket) -> None:
        with connection:
            try:
                peer = self._admit(connection)
            except ControlError as error:
                # Its buffer is empty: there is nothing to wait for.
                with contextlib.suppress(OSError):
                    connection.send(encode_error(None, error))
                return
            except OSError:
                return  # the client went away
            reader = LineReader(connection)
            try:
                await self._serve_requests(peer, connection, reader)
            except ControlError as error:
                # The line that cannot be framed: said once.
                with contextlib.suppress(OSError):
                    await _send(connection, encode_error(None, error))
            except OSError:
                pass  # the client went away, or stopped talking or listening
            finally:
                reader.wipe()
                self._admission.leave(peer)

    def _admit(self, connection: socket.socket) -> Peer:
        try:
            peer = read_peer(connection)
        except OSError as error:
            logger.warning(
                "refused a control connection: %s",
                error,
                extra={"event": "control-refused"},
            )
            raise
        if not may_control(peer, self._group_id):
            logger.warning(
                "refused control connection of uid %d (pid %d)",
                peer.uid,
                peer.pid,
                extra={"event": "control-refused"},
            )
            raise ControlError(
                "you may not control qgwd",
                f"run it as root, or as a member of the group {self._group}",
                code=ErrorCode.NOT_PERMITTED,
            )
        self._admission.enter(peer)
        return peer

    async def _serve_requests(
        self, peer: Peer, connection: socket.socket, reader: LineReader
    ) -> None:
        while line := await reader.read():
            try:
                answer = await self._answer(peer, line)
            finally:
                wipe(line)
            await _send(connection, answer)

    async def _answer(self, peer: Peer, line: bytearray) -> bytes:
        try:
            request = decode_request(line)
        except ControlError as error:
            return encode_error(None, error)
        try:
            result = await self._handle(request)
            answer = encode_result(request.request_id, result)
        except GatewayError as error:
            await self._audit.note(peer, request, error)
            return encode_error(request.request_id, error)
        except Exception as error:  # noqa: BLE001  # a handler's bug ends one request
            _log_bug(request.method, error)
            internal = ControlError(
                "qgwd could not do that because of a fault of its own",
                "look for the details in its log: journalctl -u qgwd",
                code=ErrorCode.INTERNAL,
            )
            await self._audit.note(peer, request, internal)
            return encode_error(request.request_id, internal)
        await self._audit.note(peer, request, None)
        return answer

    async def _handle(self, request: Request) -> object:
        handler = self._handlers.get(request.method)
        if handler is None:
            raise ControlError(
                "qgwd knows no such method",
                "qgw and qgwd may be of different versions: restart qgwd after an "
                "update",
                code=ErrorCode.UNKNOWN_METHOD,
            )
        timeout = asyncio.timeout(limits.HANDLER_TIMEOUT)
        try:
            async with timeout:
                return await handler(request.params)
        except TimeoutError:
            if not timeout.expired():
                raise  # the handler's own, which is a bug of its
            raise ControlError(
                f"not done within {limits.HANDLER_TIMEOUT:.0f} seconds",
                "see qgw status, and journalctl -u qgwd",
                code=ErrorCode.TIMEOUT,
            ) from None


async def _send(connection: socket.socket, line: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limits.ANSWER_TIMEOUT):
        await loop.sock_sendall(connection, line)


def _log_bug(method: str, error: Exception) -> None:
    # Type and place only: the message of a foreign exception may quote its input,
    # and the input of keystore.import is key material.
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error(
        "fault in method %s: %s at\n%s",
        method,
        type(error).__name__,
        places,
        extra={"event": "control-fault"},
    )
