"""The guard before every handler: callers, time allowed, what gets out.

* No certificate, or one that shows nobody: 401 without body, and nothing is read.
* A request is read, handled and answered in bounded time.
* No exception reaches aiohttp, whose log would repeat what was being handled.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.kme.refusals import UNAVAILABLE, RefusedError
from gateway.kme.replies import Reply, reply_to
from gateway.kme.requests import MAX_BODY
from gateway.kme.tls import subject_of

READ_TIMEOUT: Final = 15.0
"""Seconds in which the body must arrive."""

SEND_TIMEOUT: Final = 30.0
"""Seconds in which the client must take the answer."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SUBJECT: Final = web.RequestKey("subject", str)
"""Where handlers find who calls: the SAE ID or KME ID that the certificate shows."""

IS_LAST: Final = web.RequestKey("is_last", bool)
"""Set where the connection must not be used for another request."""

_log = logging.getLogger(__name__)


class Guard:
    """The middleware; knows which connections are at work.

    Attributes:
        busy: Connections with a request that is being handled.
        served: Requests answered.
        generation: Grows with each renewal of the credentials.
        is_stopped: Whether connections that come late, their TLS handshake done after
            everything was closed, are to go away.
    """

    def __init__(self) -> None:
        self.is_stopped = False
        self.generation = 0
        self.busy: set[web.RequestHandler] = set()
        self.served = 0
        self._just_served: set[web.RequestHandler] = set()

    def renew(self) -> None:
        """Serve no connection any more that was made under other credentials."""
        self.generation += 1

    def _is_outdated(self, request: web.Request) -> bool:
        made: int = getattr(request.protocol, "generation", self.generation)
        return made < self.generation

    def take_served(self) -> set[web.RequestHandler]:
        """Return the connections that had a request answered since the last call."""
        served, self._just_served = self._just_served, set()
        return served

    def middleware(self) -> Middleware:
        """Return the middleware for an application."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._is_outdated(request):
                # Its handshake went on while the credentials were renewed, or its
                # request was: nothing was read of it, so it can be made anew.
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            self.busy.add(request.protocol)
            try:
                return await self._answer(request, handler)
            finally:
                self.busy.discard(request.protocol)
                self._just_served.add(request.protocol)
                self.served += 1

        return guard

    async def _answer(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        subject = subject_of(certificate)
        response: web.StreamResponse
        if self.is_stopped:
            response = reply_to(RefusedError.unavailable(UNAVAILABLE)).response()
            response.force_close()
        elif subject is None:
            response = reply_to(RefusedError.unauthorized()).response()
            response.force_close()
        else:
            request[SUBJECT] = subject
            response = await _handled(request, handler)
        if request.get(IS_LAST) or self._is_outdated(request):
            response.force_close()
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await response.prepare(request)
                await response.write_eof()
        except (TimeoutError, OSError):
            # Gone, or not listening: what it was sent is lost, as keys are then.
            if request.transport is not None:
                request.transport.abort()
        return response


async def read_body(request: web.Request, limit: int = MAX_BODY) -> bytes:
    """Read a request's body.

    Raises:
        RefusedError: It is longer than `limit`, or does not arrive in time.
    """
    problem = f"longer than {limit} bytes"
    if request.content_length is None or request.content_length <= limit:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                body = bytearray()
                while chunk := await request.content.read(limit + 1 - len(body)):
                    body += chunk
                    if len(body) > limit:
                        break
                else:
                    return bytes(body)
        except TimeoutError:
            problem = "did not arrive in time"
    # Who sends more would go on sending: the connection is not used again, and the
    # answer says so, lest the next request be sent on it.
    request[IS_LAST] = True
    request.protocol.close()
    raise RefusedError.bad_request("body", problem)


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refused:
        return reply_to(refused).response()
    except web.HTTPException as error:
        # No such path or method; the standard has no word for it.
        allow = error.headers.get("Allow")
        headers = {"Allow": allow} if allow else {}
        return Reply(error.status, {"message": error.reason}, headers).response()
    except Exception as error:  # noqa: BLE001  # one request's fault is not the KME's
        _log_fault(error)
        return reply_to(RefusedError.unavailable(UNAVAILABLE)).response()


def _log_fault(error: Exception) -> None:
    # Type and place only: a message may quote what was being handled.
    places = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a fault of the KME itself: %s at\n%s", type(error).__name__, places)
