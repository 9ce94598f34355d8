"""Misbehaviour below what an answer says: late, cut off, endless, not JSON."""

import asyncio
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from gateway.kme.misbehaviour.answers import KEPT, Act, Answering
from gateway.kme.refusals import DECLINED
from gateway.kme.replies import JSON, Reply, response_of

MAX_OVERSIZED: Final = 1 << 28
"""Bytes after which even the endless body ends."""

DRIP_SIZE: Final = 1
"""Bytes a drip."""

_FILLER: Final = (
    b'{"key_ID":"00000000-0000-4000-8000-000000000000","key":"AAAA"},' * 512
)
_GARBAGE_SIZE: Final = 512
_HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


async def slow(answering: Answering) -> web.StreamResponse:
    """Answer honestly, but late."""
    await asyncio.sleep(answering.delay)
    return (await answering.honest()).response()


async def slow_drip(answering: Answering) -> web.StreamResponse:
    """Answer honestly, a byte at a time."""
    body = (await answering.honest()).encode()
    stream = await _begin(answering, {"Content-Length": str(len(body))})
    for place in range(0, len(body), DRIP_SIZE):
        await stream.write(body[place : place + DRIP_SIZE])
        await asyncio.sleep(answering.delay)
    return stream


async def close(answering: Answering) -> web.StreamResponse:
    """Close the connection instead of answering; keys have left the pool."""
    await answering.honest()
    _abort(answering)
    return web.Response()


async def drop(answering: Answering) -> web.StreamResponse:
    """Close the connection in the middle of the answer."""
    body = (await answering.honest()).encode()
    stream = await _begin(answering, {"Content-Length": str(len(body))})
    await stream.write(body[: len(body) // 2])
    # The first half is to arrive: an aborted connection may take it along.
    await asyncio.sleep(0)
    if answering.request.transport is not None:
        answering.request.transport.close()
    return stream


async def oversized(answering: Answering) -> web.StreamResponse:
    """Send keys without end."""
    stream = await _begin(answering, {})
    stream.enable_chunked_encoding()
    await stream.prepare(answering.request)
    await stream.write(b'{"keys":[')
    for _ in range(MAX_OVERSIZED // len(_FILLER)):
        await stream.write(_FILLER)
    return stream


async def garbage(_answering: Answering) -> web.StreamResponse:
    """Send random bytes for JSON."""
    return response_of(200, os.urandom(_GARBAGE_SIZE), {})


async def truncated(answering: Answering) -> web.StreamResponse:
    """Send JSON that ends half-way, in a whole HTTP answer."""
    body = (await answering.honest()).encode()
    return response_of(200, body[: len(body) // 2], {})


async def html_page(_answering: Answering) -> web.StreamResponse:
    """Send what a proxy before the KME says when that is down."""
    return response_of(502, _HTML, {}, "text/html")


async def deep(_answering: Answering) -> web.StreamResponse:
    """Send JSON that nests deeper than parsers like."""
    return response_of(200, b'{"keys":' + b"[" * 50_000 + b"]" * 50_000 + b"}", {})


def answer(
    status: int,
    document: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Act:
    """Make an act that answers always the same."""

    async def act(_answering: Answering) -> web.StreamResponse:
        return Reply(status, document, headers or {}).response()

    return act


def keeping(kept: int, status: int) -> Act:
    """Make an act that refuses a request which would leave fewer than `kept` keys."""
    declined = restate(HTTPStatus.SERVICE_UNAVAILABLE, status, DECLINED)

    async def act(answering: Answering) -> web.StreamResponse | None:
        answering.request[KEPT] = kept
        return await declined(answering)

    return act


def restate(
    refused: int, status: int, message: str = "", *, is_bare: bool = False
) -> Act:
    """Make an act that refuses with another status where it would honestly refuse.

    Args:
        refused: The honest status that is changed.
        status: What is sent in its place.
        message: Only refusals with this message are changed; empty for all.
        is_bare: Whether nothing is said with it.
    """

    async def act(answering: Answering) -> web.StreamResponse | None:
        honest = await answering.honest()
        document = honest.document or {}
        if honest.status != refused or (message and document.get("message") != message):
            return None
        said = None if is_bare else {"message": "refused", **document}
        return Reply(status, said).response()

    return act


async def _begin(
    answering: Answering, headers: Mapping[str, str]
) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": JSON, **headers})
    stream.force_close()
    if "Content-Length" in headers:
        await stream.prepare(answering.request)
    return stream


def _abort(answering: Answering) -> None:
    if answering.request.transport is not None:
        answering.request.transport.abort()
