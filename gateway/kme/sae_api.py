"""The interface for SAEs: ETSI GS QKD 014 V1.1.1, clause 5.

::

    GET       /api/v1/keys/{slave_SAE_ID}/status
    GET POST  /api/v1/keys/{slave_SAE_ID}/enc_keys
    GET POST  /api/v1/keys/{master_SAE_ID}/dec_keys
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from gateway.kme.core import RETRY_AFTER, GivenKey, KMECore
from gateway.kme.guard import SUBJECT, read_body
from gateway.kme.key_id_forms import CANONICAL, FORM, KeyIDForm
from gateway.kme.misbehaviour.answers import DEFAULT_DELAY, KEPT, Answering
from gateway.kme.misbehaviour.switch import Misbehaviour
from gateway.kme.rate_limit import RateLimit
from gateway.kme.refusals import DECLINED, RefusedError
from gateway.kme.replies import Reply, key_container, reply_to
from gateway.kme.requests import (
    MAX_SAE_ID,
    read_key_id_query,
    read_key_ids,
    read_key_query,
    read_key_request,
)
from gateway.kme.settings import SAESettings

Call = Callable[[web.Request, str, str], Awaitable[Reply]]
"""Answers a request of one SAE about another, both known to be allowed."""

NOTE_INTERVAL = 1.0
"""Seconds between two log lines about who may not."""

_NOBODY = SAESettings()

_log = logging.getLogger(__name__)


class SAEInterface:
    """Handlers of the SAEs' calls.

    Attributes:
        saes: SAEs of this site; replaced when the configuration is read again.
    """

    def __init__(
        self,
        core: KMECore,
        saes: Mapping[str, SAESettings],
        misbehaviour: Misbehaviour,
        rate_limit: RateLimit,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._noted = float("-inf")
        self._unnoted = 0
        self.saes = saes
        self.rate_limit = rate_limit
        self._core = core
        self._misbehaviour = misbehaviour

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        calls: tuple[tuple[str, str, Call], ...] = (
            ("GET", "status", self._status),
            ("GET", "enc_keys", self._enc_keys_simply),
            ("POST", "enc_keys", self._enc_keys),
            ("GET", "dec_keys", self._dec_keys_simply),
            ("POST", "dec_keys", self._dec_keys),
        )
        routes = []
        for method, name, call in calls:
            path, handler = f"/api/v1/keys/{{sae_id}}/{name}", self._handler(name, call)
            # A HEAD of enc_keys would take keys that nobody sees.
            extra = {"allow_head": False} if method == "GET" else {}
            routes.append(web.route(method, path, handler, **extra))
        return routes

    def _handler(
        self, name: str, call: Call
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            async def honest() -> Reply:
                try:
                    return await self._admitted(request, name, call)
                except RefusedError as refused:
                    return reply_to(refused)

            caller, other = request[SUBJECT], request.match_info["sae_id"]
            # Strangers are answered honestly, whatever was ordered.
            is_allowed = self._is_allowed(name, caller, other)
            if not is_allowed or not self._misbehaviour.concerns(name):
                return (await honest()).response()
            answering = Answering(request, name, DEFAULT_DELAY, {}, honest)
            return await self._misbehaviour.answer(answering)

        return handle

    async def _admitted(self, request: web.Request, name: str, call: Call) -> Reply:
        """Answer if the two SAEs may share keys in this way (401 otherwise)."""
        caller, other = request[SUBJECT], request.match_info["sae_id"]
        if not self._is_allowed(name, caller, other):
            self._note_refusal(name, caller, other[:MAX_SAE_ID])
            raise RefusedError.unauthorized()
        if self.rate_limit.is_exceeded(caller):
            raise RefusedError.unavailable(
                "too many requests of this SAE", retry_after=RETRY_AFTER
            )
        return await call(request, caller, other)

    def _note_refusal(self, name: str, caller: str, other: str) -> None:
        """Log who may not, at most once a second: nobody shall fill the disk."""
        now = self._clock()
        if now - self._noted < NOTE_INTERVAL:
            self._unnoted += 1
            return
        others = f" ({self._unnoted} more before)" if self._unnoted else ""
        _log.warning("%s of %r for %r: 401, not allowed%s", name, caller, other, others)
        self._noted, self._unnoted = now, 0

    def _is_allowed(self, name: str, caller: str, other: str) -> bool:
        sae = self.saes.get(caller, _NOBODY)
        allowed = {
            "status": sae.slaves | sae.masters,
            "enc_keys": sae.slaves,
            "dec_keys": sae.masters,
        }
        return other in allowed[name]

    async def _status(self, _request: web.Request, caller: str, other: str) -> Reply:
        """Answer 5.2; the Status of 6.1."""
        core, limits = self._core, self._core.limits
        can_draw = other in self.saes[caller].slaves
        document = {
            "source_KME_ID": core.settings.kme_id,
            "target_KME_ID": core.settings.peer.kme_id,
            "master_SAE_ID": caller,
            "slave_SAE_ID": other,
            "key_size": limits.key_size,
            "stored_key_count": core.stored if can_draw else 0,
            "max_key_count": core.settings.max_key_count,
            "max_key_per_request": limits.max_key_per_request,
            "max_key_size": limits.max_key_size,
            "min_key_size": limits.min_key_size,
            "max_SAE_ID_count": 0,
            # Nobody shall take these for quantum keys.
            "status_extension": {"simulated": True},
        }
        return Reply(HTTPStatus.OK, document)

    async def _enc_keys_simply(
        self, request: web.Request, caller: str, other: str
    ) -> Reply:
        """Answer 5.3, GET."""
        asked = read_key_query(_query(request), self._core.limits)
        self._keep_back(request, asked.number)
        return self._given(
            "drawn", await self._core.draw(caller, other, asked), caller, request
        )

    async def _enc_keys(self, request: web.Request, caller: str, other: str) -> Reply:
        """Answer 5.3, POST."""
        asked = read_key_request(await read_body(request), self._core.limits)
        self._keep_back(request, asked.number)
        return self._given(
            "drawn", await self._core.draw(caller, other, asked), caller, request
        )

    async def _dec_keys_simply(
        self, request: web.Request, caller: str, other: str
    ) -> Reply:
        """Answer 5.4, GET."""
        key_ids = read_key_id_query(_query(request), _form(request))
        keys = await self._core.fetch(caller, other, key_ids)
        return self._given("delivered", keys, caller, request)

    async def _dec_keys(self, request: web.Request, caller: str, other: str) -> Reply:
        """Answer 5.4, POST."""
        key_ids = read_key_ids(
            await read_body(request), self._core.limits, _form(request)
        )
        keys = await self._core.fetch(caller, other, key_ids)
        return self._given("delivered", keys, caller, request)

    def _keep_back(self, request: web.Request, number: int) -> None:
        """Refuse more keys than there are beside those kept back, if any shall be."""
        kept: int = request.get(KEPT, 0)
        if kept and number > self._core.stored - kept:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, DECLINED)

    def _given(
        self, how: str, keys: list[GivenKey], sae_id: str, request: web.Request
    ) -> Reply:
        _log.debug("%d keys %s for %r", len(keys), how, sae_id)
        return key_container(keys, _form(request))


def _form(request: web.Request) -> KeyIDForm:
    form: KeyIDForm = request.get(FORM, CANONICAL)
    return form


def _query(request: web.Request) -> dict[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}
