"""The daemon's end of the control socket.

What connects is a local user who passed the file's mode; it is checked again by
its kernel credentials, and then still bounded: in message size and nesting, in
time for a request, for its handling and for taking the answer, and in number.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.control import limits
from gateway.control.peer import find_group, may_control, read_peer
from gateway.control.protocol import (
    Request,
    decode_request,
    encode_error,
    encode_result,
)
from gateway.control.schema import ErrorCode
from gateway.control.socket_file import SocketFile
from gateway.errors import ControlError, GatewayError

if TYPE_CHECKING:
    import socket

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object]], Awaitable[object]]
"""Takes a request's params; returns what JSON can hold, or raises `GatewayError`."""


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
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
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
        file = SocketFile(self._path, self._group_id)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve_connection,
                sock=file.socket,
                limit=limits.MAX_MESSAGE,
                backlog=limits.LISTEN_BACKLOG,
            )
        except BaseException:
            file.remove()
            raise
        self._file = file

    async def stop(self) -> None:
        """Close every connection and remove the socket; nothing if not started."""
        if self._server is None or self._file is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._file.remove()
        self._server = self._file = None

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # asyncio runs this as a task
        self._connections.add(task)
        # With no write buffer drain() returns when the kernel has taken the answer.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            self._admit(writer)
            await self._serve_requests(reader, writer)
        except ControlError as error:
            # The line that cannot be framed, or the peer that may not: said once.
            with contextlib.suppress(OSError):
                await _send(writer, encode_error(None, error))
        except OSError:
            pass  # the client went away, or stopped talking or listening
        except asyncio.CancelledError:
            pass  # stop() is waiting; asyncio would log a cancelled connection
        finally:
            self._connections.discard(task)
            writer.close()

    def _admit(self, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
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
        if len(self._connections) > limits.MAX_CONNECTIONS:
            raise ControlError(
                f"{limits.MAX_CONNECTIONS} control connections are open already",
                "close some, or try again in a moment",
                code=ErrorCode.BUSY,
            )

    async def _serve_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while line := await _read_line(reader):
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = decode_request(line)
        except ControlError as error:
            return encode_error(None, error)
        try:
            return encode_result(request.request_id, await self._handle(request))
        except GatewayError as error:
            return encode_error(request.request_id, error)
        except Exception as error:  # noqa: BLE001  # a handler's bug ends one request
            _log_bug(request.method, error)
            internal = ControlError(
                "qgwd could not do that because of a fault of its own",
                "look for the details in its log: journalctl -u qgwd",
                code=ErrorCode.INTERNAL,
            )
            return encode_error(request.request_id, internal)

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


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line with its newline, or nothing at the end of the stream.

    Raises:
        ControlError: It is longer than `MAX_MESSAGE`.
        TimeoutError: It did not come in time.
    """
    try:
        async with asyncio.timeout(limits.REQUEST_TIMEOUT):
            return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""  # half a request asks for nothing
    except asyncio.LimitOverrunError:
        raise ControlError(
            f"request longer than {limits.MAX_MESSAGE} bytes",
            "send large imports in batches, as qgw keystore import does",
            code=ErrorCode.TOO_LARGE,
        ) from None


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    try:
        async with asyncio.timeout(limits.ANSWER_TIMEOUT):
            writer.write(line)
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()  # close() would keep the rest of the answer for ever
        raise


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
