"""One HTTP exchange with one KME: bounded, without redirects, proxies or surprises."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gateway.errors import SourceFault
from gateway.sources.http.credentials import Credentials, wall_clock
from gateway.sources.http.limits import (
    BODY_BASE,
    CONNECT_TIMEOUT,
    KEEP_ALIVE,
    MAX_CONNECTIONS,
    MAX_RETRY_AFTER,
)
from gateway.sources.http.strict_json import parse_json_object
from gateway.sources.http.translate import trouble_of
from gateway.sources.http.trouble import Trouble, malformed
from gateway.sources.http.words import text_of_page, words_of

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "qkd-gateway",
}

_OK = 200


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked.

    Attributes:
        method: ``GET`` or ``POST``.
        path: Path and query below the KME's base URL, encoded.
        body: JSON, or None.
        max_body: Most bytes of the answer's body.
    """

    method: str
    path: str
    body: bytes | None = None
    max_body: int = BODY_BASE


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Attributes:
        status: HTTP status.
        members: The JSON object; empty for an error.
        said: What an error says, or the words on its page, raw, maybe none.
        retry_after: Seconds the KME asked us to wait, or None.
        is_json: Whether the media type says JSON; of an error, whether it is JSON.
    """

    status: int
    members: Mapping[str, Any] = field(repr=False)
    said: str = field(repr=False)
    retry_after: float | None
    is_json: bool


class KMESession:
    """Connections to one KME, kept and reused.

    Args:
        url: The KME's base URL, ``https://host:port``.
        credentials: The TLS contexts; a renewed one opens new connections.
        timeout: Seconds an exchange may take.
    """

    def __init__(self, url: str, credentials: Credentials, timeout: float) -> None:
        self._base = url.rstrip("/")
        self._credentials = credentials
        self._timeout = timeout
        self._held: _Held | None = None
        self._is_closed = False
        self.source = source_of(url)

    @property
    def credentials(self) -> Credentials:
        """The TLS contexts."""
        return self._credentials

    async def exchange(self, request: HttpRequest) -> Answer:
        """Send a request and read the whole answer.

        Raises:
            Trouble: Whatever went wrong; a status that is no success is none.
        """
        progress = SimpleNamespace(is_reused=False, is_answered=False)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(request, progress)
        except Trouble:
            raise
        except _LostError as lost:
            trouble = trouble_of(lost.error, is_answered=progress.is_answered)
        except Exception as error:  # noqa: BLE001  # hostile bytes: anything surfaces
            trouble = trouble_of(error, is_answered=progress.is_answered)
        trouble.is_stale = (
            progress.is_reused
            and not progress.is_answered
            and trouble.fault is SourceFault.UNREACHABLE
        )
        raise trouble

    async def close(self) -> None:
        """Close all connections; further exchanges fail."""
        self._is_closed = True
        if self._held is not None:
            await self._held.session.close()

    async def _exchange(
        self, request: HttpRequest, progress: SimpleNamespace
    ) -> Answer:
        material = await self._credentials.current()
        held = await self._opened(material.context)
        held.users += 1
        try:
            return await self._send(held, request, progress)
        finally:
            held.users -= 1
            if held.is_outdated and not held.users:
                await held.session.close()

    async def _send(
        self, held: "_Held", request: HttpRequest, progress: SimpleNamespace
    ) -> Answer:
        headers = {"Content-Type": "application/json"} if request.body else {}
        async with held.session.request(
            request.method,
            URL(self._base + request.path, encoded=True),
            data=request.body,
            headers=headers,
            ssl=held.context,
            allow_redirects=False,
            trace_request_ctx=progress,
        ) as response:
            progress.is_answered = True
            body = await _read_body(response, request.max_body)
            return _answer_of(response, body)

    async def _opened(self, context: ssl.SSLContext) -> "_Held":
        """Return the connections made under these credentials; end all others.

        A call under way is finished by the old ones: it may bring keys.
        """
        if self._is_closed:
            raise Trouble(SourceFault.UNREACHABLE, "closed", is_carried_out=False)
        old = self._held
        if old is not None and old.context is context:
            return old
        self._held = _Held(_new_session(self._timeout), context)
        if old is not None:
            old.is_outdated = True
            if not old.users:
                await old.session.close()
        return self._held


@dataclass(slots=True)
class _Held:
    """Connections made under one set of credentials.

    Attributes:
        session: They.
        context: The credentials.
        users: Calls under way.
        is_outdated: Whether there are newer credentials.
    """

    session: aiohttp.ClientSession
    context: ssl.SSLContext
    users: int = 0
    is_outdated: bool = False


def _new_session(timeout: float) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE,
            resolver=aiohttp.ThreadedResolver(),  # as all else here: libc's
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(sock_connect=min(CONNECT_TIMEOUT, timeout / 2)),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[trace],
        middlewares=(_ask_once,),
    )


class _LostError(Exception):
    """Stands for an error that aiohttp would otherwise answer with a second try."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def _ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a GET whose connection ended: that may take keys.

    What is repeated is decided in `gateway.sources.http.retry`.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError(error) from None


def source_of(url: str) -> str:
    """Return a KME's URL without path, user or query, as errors name it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}"


async def _note_reuse(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.is_reused = True


async def _read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        response.close()
        raise malformed("the answer is compressed, though that was not asked for")
    body = bytearray()
    is_over = (response.content_length or 0) > limit
    while not is_over and (chunk := await response.content.readany()):
        body += chunk
        is_over = len(body) > limit
    if is_over:
        response.close()
        raise Trouble(SourceFault.OVERSIZED, f"the answer is longer than {limit} bytes")
    return bytes(body)


def _answer_of(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    status = response.status
    is_json = response.content_type in {"application/json", "text/json"}
    if status == _OK:
        return Answer(status, parse_json_object(body), "", None, is_json)
    if not 400 <= status < 600:  # noqa: PLR2004  # the classes of HTTP
        hint = ""
        if 300 <= status < 400:  # noqa: PLR2004
            hint = "redirects are not followed: configure the KME's own URL"
        raise malformed(f"HTTP {status}, which no KME answers", hint)
    wait = _retry_after(response.headers.get("Retry-After", ""))
    try:
        said = words_of(parse_json_object(body))
    except Trouble:
        return Answer(status, {}, text_of_page(body), wait, is_json=False)
    return Answer(status, {}, said, wait, is_json=True)


def _retry_after(value: str) -> float | None:
    """Read ``Retry-After``, seconds or a date (RFC 9110, 10.2.3)."""
    text = value.strip()
    seconds: float | None = None
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    elif text:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = _seconds_until(date)
    if seconds is None:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: datetime) -> float:
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return (aware - wall_clock()).total_seconds()
