"""Calls to the KME at the other end of the link."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import aiohttp

from gateway.kme.marks import BehindError, DrawnKeys
from gateway.kme.peer_messages import (
    DRAWINGS_PATH,
    LINK_PATH,
    MARKS_PATH,
    MAX_MESSAGE,
    BadMessageError,
    MarksMessage,
    decode_drawn,
    decode_marks,
    encode_drawing,
)

TIMEOUT: Final = 5.0
"""Seconds of a whole call: many round trips to anywhere on Earth, and a slow disk."""

MAX_CONNECTIONS: Final = 4
"""Drawings go one after the other; the others are for marks and switches."""


class PeerError(Exception):
    """Raised when the peer KME did not answer, or not as it should.

    Attributes:
        refused: Whether it understood, and will not: asking again changes nothing.
    """

    def __init__(self, problem: str, *, refused: bool = False) -> None:
        super().__init__(problem)
        self.refused = refused


class PeerClient:
    """The peer KME, as this end calls it.

    Args:
        url: ``https://host:port``.
        context: TLS, with our certificate and the CA of the peer's.
        link_id: Names our link.
    """

    def __init__(self, url: str, context: ssl.SSLContext, link_id: str) -> None:
        self._url = url.rstrip("/")
        self._link_id = link_id
        self._session = _session(context)

    async def renew(self, context: ssl.SSLContext) -> None:
        """Use other certificates from now on."""
        old, self._session = self._session, _session(context)
        await old.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def announce(self, drawing: DrawnKeys) -> None:
        """Tell it what an SAE of this end draws; return when it is durable there.

        Raises:
            BehindError: It knows these keys to be drawn.
            PeerError: It could not be told, or may have been.
        """
        message = encode_drawing(drawing, self._link_id)
        status, answer = await self._post(DRAWINGS_PATH, message)
        if status == HTTPStatus.CONFLICT:
            try:
                drawn = decode_drawn(answer, drawing.first)
            except BadMessageError as error:
                raise PeerError(f"the peer KME talks nonsense: {error}") from None
            raise BehindError(drawn)
        _expect(status, HTTPStatus.NO_CONTENT, answer)

    async def exchange(self, message: MarksMessage) -> MarksMessage:
        """Tell it our marks and return its own.

        Raises:
            PeerError: It could not be told.
        """
        status, answer = await self._post(MARKS_PATH, message.encode())
        _expect(status, HTTPStatus.OK, answer)
        try:
            return decode_marks(answer)
        except BadMessageError as error:
            raise PeerError(f"the peer KME talks nonsense: {error}") from None

    async def switch_link(
        self, action: str, station: str = "", days: float = 0.0
    ) -> None:
        """Have it switch the link whose model it runs.

        Raises:
            PeerError: It could not be told.
        """
        order = {"action": action, "station": station, "days": days}
        status, answer = await self._post(LINK_PATH, order)
        _expect(status, HTTPStatus.NO_CONTENT, answer)

    async def _post(
        self, path: str, message: Mapping[str, object]
    ) -> tuple[int, dict[str, object]]:
        problem = ""
        try:
            async with asyncio.timeout(TIMEOUT):
                async with self._session.post(
                    self._url + path, json=message, allow_redirects=False
                ) as response:
                    body = await response.content.read(MAX_MESSAGE + 1)
                    while not response.content.at_eof() and len(body) <= MAX_MESSAGE:
                        body += await response.content.read(MAX_MESSAGE + 1)
                    return response.status, _decode(body)
        except TimeoutError:
            problem = f"the peer KME did not answer within {TIMEOUT:.0f} seconds"
        except aiohttp.ClientConnectorCertificateError as error:
            problem = f"the peer KME's certificate is refused: {_reason(error)}"
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            problem = f"the peer KME is not reachable: {type(error).__name__}"
        except BadMessageError as error:
            problem = f"the peer KME talks nonsense: {error}"
        raise PeerError(problem)


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=MAX_CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


def _reason(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return str(getattr(cause, "verify_message", "") or type(cause).__name__)


def _decode(body: bytes) -> dict[str, object]:
    if len(body) > MAX_MESSAGE:
        raise BadMessageError("too long")
    if not body:
        return {}
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BadMessageError("no JSON object")
    return answer


def _expect(status: int, expected: int, answer: Mapping[str, object]) -> None:
    if status == expected:
        return
    said = answer.get("message")
    text = f": {said[:200]}" if isinstance(said, str) and said.isprintable() else ""
    raise PeerError(
        f"the peer KME answered {status}{text}",
        refused=status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN},
    )
