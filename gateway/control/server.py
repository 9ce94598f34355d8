"""The daemon's end of the control socket.

What connects is a local user who passed the file's mode; it is checked again by
its kernel credentials, and then still bounded: in message size and nesting, in
time for a request, for its handling and for taking the answer, and in number.
"""

import asyncio
import contextlib
import os
import socket
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.control import limits
from gateway.control.admission import ConnectionAdmission
from gateway.control.approvals import CALLER
from gateway.control.audit import Audit
from gateway.control.lines import LineReader, wipe
from gateway.control.peer import Peer, find_group, read_peer
from gateway.control.protocol import (
    Request,
    decode_request,
    encode_error,
    encode_result,
)
from gateway.control.roles import Access, check_method, may_enter
from gateway.control.schema import ErrorCode
from gateway.control.socket_file import SocketFile, view_path
from gateway.errors import EXHAUSTED_ERRNO, ControlError, GatewayError
from gateway.events.bus import publish
from gateway.events.control import (
    ControlExhausted,
    ControlGroupMissing,
    ControlRefused,
    ControlStranger,
    ViewSocketMissing,
)
from gateway.events.faults import ControlFault

Handler = Callable[[Mapping[str, object]], Awaitable[object]]
"""Takes a request's params; returns what JSON can hold, or raises `GatewayError`."""

"""What accept(2) says when a connection waits and there is nothing left to take it."""

_ACCEPT_PAUSE: Final = 1.0
"""Seconds until the next try after that: the connection still waits, so that a try at
once would fail at once, for ever."""


class ControlServer:
    """Serves JSON lines at a Unix socket; each request goes to its handler.

    Requests of one connection are answered in order; connections are independent.
    """

    def __init__(
        self,
        path: Path,
        group: str,
        handlers: Mapping[str, Handler],
        *,
        view_group: str = "",
    ) -> None:
        """Name the socket; nothing is opened before `start`.

        Args:
            path: Socket file.
            group: Name of the group that may connect. When there is no such group,
                only root and the daemon's own user may, and a warning says so.
            handlers: By method name.
            view_group: Name of the group that may only look, at a socket of its own
                beside the other one; there is none without the group.
        """
        self._path = path
        self._group = group
        self._view_group = view_group
        self._handlers = handlers
        self._files: list[SocketFile] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._admission = ConnectionAdmission()
        self._audit = Audit()
        self._groups: dict[Access, int | None] = {}

    async def start(self) -> None:
        """Make the socket and serve.

        Raises:
            ControlError: Another daemon listens there, or the file cannot be made.
        """
        self._groups[Access.CONTROL] = find_group(self._group)
        if self._groups[Access.CONTROL] is None:
            publish(ControlGroupMissing(self._group, str(self._path)))
        self._open(self._path, Access.CONTROL)
        if self._view_group:
            self._groups[Access.VIEW] = find_group(self._view_group)
        if self._groups.get(Access.VIEW) is not None:
            try:
                self._open(view_path(self._path), Access.VIEW)
            except ControlError as error:
                # Nobody steers by it.
                publish(ViewSocketMissing(error.message, error.hint))

    async def stop(self) -> None:
        """Close every connection and remove the sockets; nothing if not started."""
        tasks = (*self._accepting, *self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for file in self._files:
            file.remove()
        self._files.clear()
        self._accepting.clear()

    def _open(self, path: Path, role: Access) -> None:
        file = SocketFile(path, self._groups[role])
        self._files.append(file)
        file.socket.settimeout(0)
        file.socket.listen(limits.LISTEN_BACKLOG)
        loop = asyncio.get_running_loop()
        self._accepting.append(loop.create_task(self._accept(file.socket, role)))

    async def _accept(self, listener: socket.socket, role: Access) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # What is wrong with one connection is gone with it.
                if error.errno in EXHAUSTED_ERRNO:
                    publish(ControlExhausted(os.strerror(error.errno or 0)))
                    await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            task = loop.create_task(self._serve_connection(connection, role))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve_connection(self, connection: socket.socket, role: Access) -> None:
        with connection:
            try:
                peer = self._admit(connection, role)
            except ControlError as error:
                # Its buffer is empty: there is nothing to wait for.
                with contextlib.suppress(OSError):
                    connection.send(encode_error(None, error))
                return
            except OSError:
                return  # the client went away
            reader = LineReader(connection)
            try:
                CALLER.set(await self._audit.identify(peer))
                await self._serve_requests(peer, role, connection, reader)
            except ControlError as error:
                # The line that cannot be framed: said once.
                with contextlib.suppress(OSError):
                    await _send(connection, encode_error(None, error))
            except OSError:
                pass  # the client went away, or stopped talking or listening
            finally:
                reader.wipe()
                self._admission.leave(peer)

    def _admit(self, connection: socket.socket, role: Access) -> Peer:
        try:
            peer = read_peer(connection)
        except OSError as error:
            publish(ControlRefused(str(error)))
            raise
        if not may_enter(peer, role, self._groups):
            publish(ControlStranger(peer.uid, peer.pid))
            raise ControlError(
                "you may not control qgwd",
                f"run it as root, or as a member of the group {self._group}"
                + (f", or {self._view_group} to look only" if self._view_group else ""),
                code=ErrorCode.NOT_PERMITTED,
            )
        self._admission.enter(peer)
        return peer

    async def _serve_requests(
        self, peer: Peer, role: Access, connection: socket.socket, reader: LineReader
    ) -> None:
        while line := await reader.read():
            try:
                answer = await self._answer(peer, role, line)
            finally:
                wipe(line)
            await _send(connection, answer)

    async def _answer(self, peer: Peer, role: Access, line: bytearray) -> bytes:
        try:
            request = decode_request(line)
        except ControlError as error:
            return encode_error(None, error)
        try:
            check_method(role, request.method)
            result = await self._handle(request)
            answer = encode_result(request.request_id, result)
        except GatewayError as error:
            await self._audit.note(CALLER.get(), peer, request, error)
            return encode_error(request.request_id, error)
        except Exception as error:  # noqa: BLE001  # a handler's bug ends one request
            _log_bug(request.method, error)
            internal = ControlError(
                "qgwd could not do that because of a fault of its own",
                "look for the details in its log: journalctl -u qgwd",
                code=ErrorCode.INTERNAL,
            )
            await self._audit.note(CALLER.get(), peer, request, internal)
            return encode_error(request.request_id, internal)
        await self._audit.note(CALLER.get(), peer, request, None, result)
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
    publish(ControlFault(method, type(error).__name__, places))
