"""The TLS port: bounded in connections, in silence, and renewed without closing it."""

import asyncio
import contextlib
import logging
import socket
import ssl
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import HttpVersion11, web

from gateway.errors import KMEError
from gateway.kme.guard import Guard
from gateway.kme.refusals import UNAVAILABLE, RefusedError
from gateway.kme.replies import reply_to

MAX_CONNECTIONS: Final = 512
"""At once; a site has a handful of SAEs with a few connections each."""

BACKLOG: Final = 128
"""Connections the kernel holds while the event loop is busy."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds of the TLS handshake."""

FIRST_REQUEST_TIMEOUT: Final = 15.0
"""Seconds in which a connection must bring the head of its first request."""

IDLE_TIMEOUT: Final = 75.0
"""Seconds that a connection may wait for its next request."""

WATCH_INTERVAL: Final = 1.0

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that requests get to finish when the KME stops."""

MAX_HEADER: Final = 8190
"""Bytes of a request's first line, and of one header."""

_log = logging.getLogger(__name__)


class KmeListener:
    """Serves an application at one TCP port.

    Args:
        application: What answers.
        guard: Its middleware, which knows the connections at work.
    """

    def __init__(self, application: web.Application, guard: Guard) -> None:
        self._guard = guard
        self._options: dict[str, Any] = {
            "access_log": None,
            "logger": _quiet_logger(),
            # A compressed body would be larger than what was read of it.
            "auto_decompress": False,
            "keepalive_timeout": IDLE_TIMEOUT,
            "lingering_time": 1.0,
            "max_line_size": MAX_HEADER,
            "max_field_size": MAX_HEADER,
        }
        self._runner = web.AppRunner(
            application, shutdown_timeout=CLOSE_TIMEOUT, **self._options
        )
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._quiet_since: dict[web.RequestHandler, float] = {}
        self._served: set[web.RequestHandler] = set()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._socket is None:
            raise RuntimeError("not started")
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    async def start(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        """Serve.

        Args:
            listening: Bound, with `listen` called; closed by `stop`.
            context: TLS.
        """
        self._socket = listening
        await self._runner.setup()
        self._server = await self._serve(context)
        self._watcher = asyncio.create_task(self._watch())

    async def renew(self, context: ssl.SSLContext) -> None:
        """Use another TLS context from now on, and none made under the old one.

        A request under way is answered, and is the last one of its connection.
        """
        old, self._server = self._server, await self._serve(context)
        if old is not None:
            old.close()
        self._guard.renew()
        for connection in self._connections():
            if connection not in self._guard.busy:
                connection.force_close()

    async def stop(self) -> None:
        """Finish the requests under way and close everything."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._guard.is_stopped = True
        if self._server is not None:
            self._server.close()
        transports = [connection.transport for connection in self._connections()]
        await self._runner.cleanup()
        for transport in transports:
            # Not closed yet: a client that does not answer TLS's closing alert. One
            # that was lost meanwhile has nothing left to abort, which asyncio's TLS
            # transport of Python 3.11 says in this way.
            if transport is not None:
                with contextlib.suppress(AttributeError):
                    transport.abort()
        # Aborted transports close their sockets in the event loop's next turn.
        await asyncio.sleep(0)
        if self._socket is not None:
            self._socket.close()

    async def _serve(self, context: ssl.SSLContext) -> asyncio.Server:
        if self._socket is None:
            raise RuntimeError("not started")
        # A copy, so that closing one server leaves the port to its successor.
        # What it accepts belongs to the credentials that are in force from then on.
        generation = self._guard.generation + (self._server is not None)
        return await asyncio.get_running_loop().create_server(
            partial(self._make_protocol, generation),
            sock=self._socket.dup(),
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=CLOSE_TIMEOUT,
        )

    def _make_protocol(self, generation: int) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Refused()
        loop = asyncio.get_running_loop()
        connection = _Connection(server, loop=loop, **self._options)
        connection.generation = generation
        return connection

    def _connections(self) -> list[web.RequestHandler]:
        server = self._runner.server
        return list(server.connections) if server is not None else []

    async def _watch(self) -> None:
        """Cut connections that say nothing: aiohttp waits for a first head for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            connections = set(self._connections())
            self._served = self._served & connections | self._guard.take_served()
            quiet = connections - self._guard.busy
            self._quiet_since = {
                connection: self._quiet_since.get(connection, loop.time())
                for connection in quiet
            }
            for connection, since in self._quiet_since.items():
                is_new = connection not in self._served
                allowed = FIRST_REQUEST_TIMEOUT if is_new else IDLE_TIMEOUT
                if loop.time() - since > allowed and connection.transport is not None:
                    connection.transport.abort()


class _Connection(web.RequestHandler):
    """A connection whose errors below HTTP do not say what this KME is made of.

    Attributes:
        generation: Of the credentials that its handshake is made with.
    """

    __slots__ = ("generation",)

    generation: int

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be read, as every other wrong request is answered."""
        super().handle_error(request, status, exc, message)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            refused = RefusedError.bad_request("request", "not HTTP/1.1 with a Host")
        else:
            refused = RefusedError.unavailable(UNAVAILABLE)
        # aiohttp's stand-in for a request that it could not read says HTTP/1.0.
        request._version = HttpVersion11  # noqa: SLF001  # a property without a setter
        response = reply_to(refused).response()
        response.force_close()
        return response


class _Refused(asyncio.Protocol):
    """A connection beyond `MAX_CONNECTIONS`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _quiet_logger() -> logging.Logger:
    """Make aiohttp's logger: what strangers send is not worth a traceback each."""
    logger = logging.getLogger("gateway.kme.http")
    if not logger.filters:
        logger.addFilter(_note_bad_http)
    return logger


def _note_bad_http(record: logging.LogRecord) -> bool:
    """Reduce a record to its kind: it may quote what was sent."""
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    _log.debug("HTTP that cannot be served: %s", kind or record.levelname)
    return False


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket.

    Args:
        host: IPv4 or IPv6 address.
        port: TCP port; 0 to have the kernel choose.

    Raises:
        KMEError: The address is taken, not here, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
        made.setblocking(False)  # noqa: FBT003  # takes no keyword
    except OSError as error:
        made.close()
        problem = (error.strerror or "an error").lower()
    else:
        return made
    raise KMEError(
        f"cannot listen at {host} port {port}: {problem}",
        "choose another in the configuration, [kme] listen, or stop who has it",
    )
