"""The private interface for the KME at the other end of the link."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from gateway.errors import KMEError
from gateway.kme.core import KMECore
from gateway.kme.guard import SUBJECT, read_body
from gateway.kme.marks import BehindError
from gateway.kme.peer_messages import (
    DRAWINGS_PATH,
    LINK_PATH,
    MARKS_PATH,
    MAX_MESSAGE,
    BadMessageError,
    decode_drawing,
    decode_marks,
    decode_order,
)
from gateway.kme.refusals import RefusedError
from gateway.kme.replies import Reply
from gateway.kme.settings import SAESettings

OTHER_SEED = "the two KMEs have different seeds"
OTHER_KEY_SIZE = "the two KMEs have different key sizes"

_log = logging.getLogger(__name__)


class PeerInterface:
    """Handlers of the peer's calls.

    Args:
        core: This KME.
        switch_link: Switches the link whose model this end runs.

    Attributes:
        saes: SAEs of this site; replaced when the configuration is read again.
        heard: When the peer's marks came last, monotonic seconds, or None.
    """

    def __init__(
        self,
        core: KMECore,
        saes: Mapping[str, SAESettings],
        switch_link: Callable[[str, str, float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self.saes = saes
        self.heard: float | None = None
        self._core = core
        self._switch_link = switch_link
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(DRAWINGS_PATH, self._handler(self._drawing)),
            web.post(MARKS_PATH, self._handler(self._marks)),
            web.post(LINK_PATH, self._handler(self._link)),
        ]

    def _handler(
        self, answer: Callable[[Mapping[str, object]], Awaitable[Reply]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request[SUBJECT] != self._core.settings.peer.kme_id:
                raise RefusedError.unauthorized()
            try:
                message = json.loads(await read_body(request, MAX_MESSAGE))
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                raise RefusedError(HTTPStatus.BAD_REQUEST, "no JSON object")
            try:
                return (await answer(message)).response()
            except BadMessageError as error:
                raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None

        return handle

    async def _drawing(self, message: Mapping[str, object]) -> Reply:
        drawing, link_id = decode_drawing(message)
        self._check_link(link_id)
        sae = self.saes.get(drawing.slave)
        if sae is None or drawing.master not in sae.masters:
            _log.warning(
                "the peer KME draws keys of %r for %r, which may not share any here",
                drawing.master,
                drawing.slave,
            )
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "these SAEs may not share keys at the other end"
            )
        try:
            await self._core.expect(drawing)
        except BehindError as error:
            return Reply(HTTPStatus.CONFLICT, {"drawn": error.drawn})
        return Reply(HTTPStatus.NO_CONTENT)

    async def _marks(self, message: Mapping[str, object]) -> Reply:
        told = decode_marks(message)
        self._check_link(told.link_id)
        if told.key_size != self._core.settings.key_size:
            raise RefusedError(HTTPStatus.FORBIDDEN, OTHER_KEY_SIZE)
        await self._core.merge(told.marks)
        if told.link is not None:
            self._core.link_status = told.link
        self._core.peer_capacity = told.max_key_count
        self.heard = self._clock()
        return Reply(HTTPStatus.OK, self._core.message().encode())

    async def _link(self, message: Mapping[str, object]) -> Reply:
        order = decode_order(message)
        problem = ""
        try:
            await self._switch_link(*order)
        except KMEError as error:
            problem = error.message
        if problem:
            raise RefusedError(HTTPStatus.BAD_REQUEST, problem)
        return Reply(HTTPStatus.NO_CONTENT)

    def _check_link(self, link_id: str) -> None:
        if not self._core.is_same_link(link_id):
            raise RefusedError(HTTPStatus.FORBIDDEN, OTHER_SEED)
