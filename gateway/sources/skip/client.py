"""One key provider by SKIP (draft-cisco-skip).

A call brings one key, so a batch is several calls, a few at a time. `size` is always
sent, as 256 is only the draft's default.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote
from uuid import UUID

from gateway.config.model import KMEConfig
from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import KEY_SIZE, NewKey, Refusal
from gateway.secret import Secret
from gateway.sources.base import Delivery, KMEStatus
from gateway.sources.http.credentials import Credentials
from gateway.sources.http.notes import SourceNotes
from gateway.sources.http.retry import Caller, Patience
from gateway.sources.http.session import Answer, HttpRequest, KMESession
from gateway.sources.http.verdicts import (
    DEC_KEYS,
    ENC_KEYS,
    STATUS,
    judge,
    trouble_from,
)
from gateway.sources.skip.answers import (
    Capabilities,
    decode_capabilities,
    decode_entropy,
    decode_key_answer,
    skip_key_id,
)
from gateway.sources.skip.batch import Batch

CAPABILITIES_KEPT: Final = 5.0
"""Seconds for which good capabilities speak for the calls around them."""

_OK = 200


class SKIPClient:
    """A `gateway.sources.base.KeyClient` for one key provider.

    Args:
        link: The link's name.
        config: As whom to ask, how much at once, how long to wait.
        url: The key provider's base URL.
        credentials: The TLS contexts, with certificates or a PSK.
        patience: How to wait between tries.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        link: str,
        config: KMEConfig,
        url: str,
        credentials: Credentials,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._config = config
        self._session = KMESession(url, credentials, config.timeout)
        self._caller = Caller(
            self._session.source, config.timeout, patience or Patience()
        )
        self._clock = clock
        self._notes = SourceNotes()
        self._well_until = float("-inf")

    @property
    def link(self) -> str:
        """Name of the link."""
        return self._link

    @property
    def source(self) -> str:
        """The key provider's URL, as errors name it."""
        return self._session.source

    @property
    def description(self) -> str:
        """Protocol, key provider and peer."""
        return f"SKIP at {self.source}, with {self._config.peer_sae_id}"

    async def get_keys(self, count: int) -> Delivery:
        """Draw up to `count` new keys; see `gateway.sources.base.KeyClient`."""
        batch = Batch(self.source, self._caller.deadline)

        async def draw(_place: int) -> None:
            batch.take(await self._caller.run("key", self._draw, draws=True))

        await batch.run(draw, range(min(count, self._config.batch)))
        return batch.delivery()

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch keys by keyId; see `gateway.sources.base.KeyClient`."""
        batch = Batch(self.source, self._caller.deadline)

        async def fetch(key_id: UUID) -> None:
            try:
                found = await self._caller.run("key", lambda: self._fetch(key_id))
            except KeySourceError as error:
                if error.fault is not SourceFault.MISSING:
                    raise
                batch.lack(key_id, is_json=error.is_json)
            else:
                batch.take(found)

        wanted = tuple(dict.fromkeys(key_ids))[: self._config.batch]
        await batch.run(fetch, wanted)
        return batch.delivery()

    async def get_status(self) -> KMEStatus:
        """Ask the key provider for its capabilities; it tells no counts."""
        told = await self._caller.run("capabilities", self._ask_capabilities)
        return KMEStatus(
            source=self.source,
            source_kme_id=told.local_system_id,
            target_kme_id=self._config.peer_sae_id,
            key_size=8 * KEY_SIZE,
            stored_key_count=None,
            max_key_count=None,
            max_key_per_request=1,
            notes=(*self._oddities(told), *self._notes),
            certificate_expires=self._session.credentials.expires,
            tls_group=self._session.credentials.tls_group,
        )

    async def get_entropy(self, size: int = KEY_SIZE) -> Secret:
        """Draw random bytes from the key provider (4.3).

        Args:
            size: Bytes.

        Raises:
            KeySourceError: As for `get_keys`.
        """
        request = HttpRequest("GET", f"/entropy?minentropy={8 * size}")

        async def attempt() -> Secret:
            answer = await self._session.exchange(request)
            if answer.status != _OK:
                fault = judge(ENC_KEYS, answer.status, answer.said).fault
                raise trouble_from(answer, fault)
            return decode_entropy(answer.members, size)

        return await self._caller.run("entropy", attempt)

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()

    async def _ask_capabilities(self) -> Capabilities:
        answer = await self._session.exchange(HttpRequest("GET", "/capabilities"))
        if answer.status != _OK:
            verdict = judge(STATUS, answer.status, answer.said)
            raise trouble_from(answer, verdict.fault)
        self._look_at(answer)
        told = decode_capabilities(answer.members)
        self._well_until = self._clock() + CAPABILITIES_KEPT
        return told

    def _oddities(self, told: Capabilities) -> tuple[str, ...]:
        notes = []
        peer, ours = self._config.peer_sae_id, self._config.sae_id
        if not told.reaches(peer):
            notes.append(f"does not list {peer} in remoteSystemID: no keys shared yet")
        if ours and told.local_system_id != ours:
            notes.append(
                f"calls itself {told.local_system_id}, sae_id says {ours}: the peer "
                "must ask with the former as remoteSystemID"
            )
        if not told.gives_keys:
            notes.append("says that it gives no keys")
        return tuple(notes)

    async def _draw(self) -> NewKey | Refusal:
        query = f"remoteSystemID={self._peer}&size={8 * KEY_SIZE}"
        answer = await self._session.exchange(HttpRequest("GET", f"/key?{query}"))
        if answer.status != _OK:
            fault = judge(ENC_KEYS, answer.status, answer.said).fault
            raise trouble_from(answer, fault)
        self._look_at(answer)
        return decode_key_answer(answer.members)

    async def _fetch(self, key_id: UUID) -> NewKey | Refusal:
        path = f"/key/{quote(skip_key_id(key_id), safe='')}?remoteSystemID={self._peer}"
        answer = await self._session.exchange(HttpRequest("GET", path))
        if answer.status == _OK:
            self._look_at(answer)
            return decode_key_answer(answer.members, key_id)
        verdict = judge(DEC_KEYS, answer.status, answer.said)
        if verdict.doubtful and self._clock() >= self._well_until:
            # A wrong URL answers 404 too: only who has capabilities lacks a key.
            await self._ask_capabilities()
        raise trouble_from(answer, verdict.fault)

    @property
    def _peer(self) -> str:
        return quote(self._config.peer_sae_id, safe="")

    def _look_at(self, answer: Answer) -> None:
        if not answer.is_json:
            self._notes.add("its media type is not application/json")
