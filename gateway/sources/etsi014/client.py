"""One KME by ETSI GS QKD 014 V1.1.1."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from gateway.config.model import KMEConfig
from gateway.errors import KeySourceError, SourceFault
from gateway.sources.base import Delivery, KMEStatus
from gateway.sources.etsi014.batch_size import BatchSize
from gateway.sources.etsi014.container import Contents, decode_container
from gateway.sources.etsi014.fetch import Fetch
from gateway.sources.etsi014.methods import MethodChoice
from gateway.sources.etsi014.requests import (
    EncKeys,
    dec_keys_request,
    enc_keys_request,
    status_request,
)
from gateway.sources.etsi014.status import KEY_BITS, KmeStanding, decode_status
from gateway.sources.http.credentials import Credentials
from gateway.sources.http.notes import SourceNotes
from gateway.sources.http.retry import Caller, Patience
from gateway.sources.http.session import Answer, KMESession
from gateway.sources.http.trouble import Trouble
from gateway.sources.http.verdicts import (
    DEC_KEYS,
    ENC_KEYS,
    STATUS,
    judge,
    trouble_from,
)

LIMITS_KEPT: Final = 600.0
"""Seconds for which a KME's limits are believed: its operator may change them."""

STATUS_KEPT: Final = 5.0
"""Seconds for which a good status speaks for the calls around it."""

CASE_PAUSE: Final = 10.0
"""Seconds between two tries whether a KME knows a missing key_ID in the other case,
before it has given any: keys that it lacks cost one more call in so long."""

_OK = 200

_WITHOUT_STATUS = frozenset(
    {SourceFault.REJECTED, SourceFault.MALFORMED, SourceFault.OVERSIZED}
)
"""What a KME answers that has no status call, or a broken one: keys are there still."""

_NEVER_FEWER = frozenset({401, 429})
"""Answers that are about us and not about the number of keys: who asks for fewer asks
more often, which is what 429 is about (RFC 6585, 4)."""


class ETSI014Client:
    """A `gateway.sources.base.KeyClient` for one KME.

    Args:
        link: The link's name.
        config: As whom to ask, how much at once, how long to wait.
        url: The KME's base URL.
        credentials: The TLS contexts.
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
        self._has_served = False
        self._is_other_case = False
        self._is_case_known = False
        self._case_tried = float("-inf")
        self._batch_size = BatchSize(clock)
        self._notes = SourceNotes()
        self._method = MethodChoice(self._session, self._notes)
        self._standing: KmeStanding | None = None
        self._standing_until = float("-inf")
        self._well_until = float("-inf")

    @property
    def link(self) -> str:
        """Name of the link."""
        return self._link

    @property
    def source(self) -> str:
        """The KME's URL, as errors name it."""
        return self._session.source

    @property
    def description(self) -> str:
        """Protocol, KME and SAE IDs."""
        ours, peer = self._config.sae_id, self._config.peer_sae_id
        return f"ETSI GS QKD 014 at {self.source}, {ours} with {peer}"

    async def get_keys(self, count: int) -> Delivery:
        """Draw up to `count` new keys; see `gateway.sources.base.KeyClient`."""
        if count < 1:
            return Delivery(())
        number = min(count, self._config.batch)
        tally = _Tally()
        try:
            contents = await self._caller.run(
                ENC_KEYS, lambda: self._draw(number, tally), draws=True
            )
        except KeySourceError as error:
            error.calls = tally.calls
            raise
        return Delivery(contents.keys, refused=contents.refused, calls=tally.calls)

    async def enc_keys(self, wanted: EncKeys) -> Contents:
        """Make one key request as it stands, with extensions and further SAEs (6.2).

        Raises:
            KeySourceError: As for `get_keys`.
        """
        return await self._caller.run(
            ENC_KEYS, lambda: self._draw_once(wanted, may_halve=False), draws=True
        )

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch keys by key_ID; see `gateway.sources.base.KeyClient`."""
        wanted = tuple(dict.fromkeys(key_ids))
        if not wanted:
            return Delivery(())
        most = await self._caller.run(DEC_KEYS, self._most_per_call)
        fetch = Fetch(self.source, wanted[:most], lambda: self._method.by_get)
        await fetch.run(
            lambda part: self._caller.run(DEC_KEYS, lambda: self._fetch(part)),
            self._caller.deadline,
        )
        return fetch.delivery()

    async def get_status(self) -> KMEStatus:
        """Ask the KME how it stands."""
        standing = await self._caller.run(STATUS, self._ask_status)
        return KMEStatus(
            source=self.source,
            source_kme_id=standing.source_kme_id,
            target_kme_id=standing.target_kme_id,
            key_size=standing.key_size or KEY_BITS,
            stored_key_count=standing.stored_key_count,
            max_key_count=standing.max_key_count,
            max_key_per_request=standing.max_key_per_request or self._config.batch,
            notes=(*standing.notes, *self._other_kme(standing), *self._notes),
            certificate_expires=self._session.credentials.expires,
            tls_group=self._session.credentials.tls_group,
        )

    def _other_kme(self, standing: KmeStanding) -> tuple[str, ...]:
        told, ours = standing.source_kme_id, self._config.kme_ids
        if not ours or told in ours:
            return ()
        return (f"calls itself {told or 'nothing'}, kme_id says {', '.join(ours)}",)

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()

    async def _ask_status(self) -> KmeStanding:
        answer = await self._session.exchange(status_request(self._config.peer_sae_id))
        if answer.status != _OK:
            verdict = judge(STATUS, answer.status, answer.said)
            raise trouble_from(answer, verdict.fault)
        self._look_at(answer)
        standing = decode_status(
            answer.members, self._config.sae_id, self._config.peer_sae_id
        )
        self._standing = standing
        self._standing_until = self._clock() + LIMITS_KEPT
        self._well_until = self._clock() + STATUS_KEPT
        return standing

    async def _limits(self) -> KmeStanding | None:
        """Return what the KME said of its limits lately; None if it won't say."""
        if self._clock() < self._standing_until:
            return self._standing
        try:
            return await self._ask_status()
        except Trouble as trouble:
            if trouble.fault not in _WITHOUT_STATUS:
                trouble.is_carried_out = False  # no key was asked for yet
                raise
            self._notes.add(f"answers no usable status: {trouble.message}")
        self._standing = None
        self._standing_until = self._clock() + LIMITS_KEPT
        return None

    async def _most_per_call(self) -> int:
        standing = await self._limits()
        told = standing.max_key_per_request if standing else None
        return min(self._config.batch, told or self._config.batch)

    async def _draw(self, count: int, tally: "_Tally") -> Contents:
        """Draw up to `count` keys; halve what is refused, down to one key."""
        most = min(count, await self._most_per_call())
        standing = self._standing
        size: int | None = KEY_BITS
        if standing is not None:
            if not standing.serves_our_size:
                raise Trouble(
                    SourceFault.REJECTED,
                    f"the KME serves no keys of {KEY_BITS} bits",
                    "set key sizes at the KME: min_key_size to max_key_size",
                    is_carried_out=False,
                )
            size = None if standing.key_size == KEY_BITS else KEY_BITS
        while True:
            number = self._batch_size.bound(most)
            tally.calls += 1
            try:
                contents = await self._draw_once(EncKeys(number, size))
            except _FewerError as fewer:
                self._batch_size.refused(number, fewer.stored)
            else:
                self._batch_size.given(number)
                return contents

    async def _draw_once(self, wanted: EncKeys, *, may_halve: bool = True) -> Contents:
        is_batch = may_halve and wanted.number > 1
        peer = self._config.peer_sae_id
        answer = await self._method.ask(
            enc_keys_request(peer, wanted),
            partial(enc_keys_request, peer, wanted, by_get=True)
            if wanted.fits_get
            else None,
        )
        if answer.status != _OK:
            if wanted.number == 1:
                self._batch_size.refused(1)
            raise await self._enc_keys_trouble(answer, is_batch=is_batch)
        contents = self._contents(answer, wanted.number, None)
        if not contents.keys and not contents.refused:
            empty = Trouble(
                SourceFault.EMPTY, "the answer holds no key", is_carried_out=False
            )
            if is_batch and await self._stored() != 0:
                raise _FewerError(empty, None)
            raise empty
        return contents

    async def _enc_keys_trouble(self, answer: Answer, *, is_batch: bool) -> Trouble:
        """Say what a refusal means; a KME's words do not decide how many it gives."""
        verdict = judge(ENC_KEYS, answer.status, answer.said)
        fault = verdict.fault
        if answer.status in _NEVER_FEWER:
            return trouble_from(answer, fault)
        if verdict.doubtful or fault is SourceFault.EMPTY or is_batch:
            stored = await self._stored()
            if stored == 0:
                fault = SourceFault.EMPTY
            elif is_batch:
                return _FewerError(trouble_from(answer, fault), stored)
            elif verdict.doubtful and self._is_drained(stored):
                fault = SourceFault.EMPTY
        if fault is SourceFault.REJECTED:
            self._standing_until = float("-inf")  # its limits may be others now
        return trouble_from(answer, fault)

    def _is_drained(self, stored: int | None) -> bool:
        """Whether a KME that refuses one key is likely to have none to spare.

        It is well, for it has just told its status. Some keep a few keys back, or
        count those of others too.
        """
        if stored is None:
            return False
        return stored < self._config.batch

    async def _stored(self) -> int | None:
        """Ask how many keys there are; None if that is not told."""
        try:
            return (await self._ask_status()).stored_key_count
        except Trouble as trouble:
            if trouble.fault is SourceFault.UNAUTHORIZED:
                raise
            return None

    async def _fetch(self, part: Sequence[UUID]) -> Contents:
        """Fetch keys by key_ID, as they came, or in the case that this KME knows."""
        try:
            return await self._fetch_as(part, other_case=self._is_other_case)
        except Trouble as trouble:
            is_missing = trouble.fault is SourceFault.MISSING and len(part) == 1
            is_tried = self._clock() - self._case_tried < CASE_PAUSE
            if not is_missing or self._is_case_known or is_tried:
                raise
        self._case_tried = self._clock()
        return await self._fetch_as(part, other_case=not self._is_other_case)

    async def _fetch_as(self, part: Sequence[UUID], *, other_case: bool) -> Contents:
        peer = self._config.peer_sae_id
        answer = await self._method.ask(
            dec_keys_request(peer, part, other_case=other_case),
            partial(dec_keys_request, peer, part, by_get=True, other_case=other_case)
            if len(part) == 1
            else None,
        )
        if answer.status == _OK:
            self._is_other_case, self._is_case_known = other_case, True
            return self._contents(answer, len(part), frozenset(part))
        verdict = judge(DEC_KEYS, answer.status, answer.said)
        fault = verdict.fault
        if verdict.doubtful and not answer.retry_after:
            fault = await self._resolve(fault)
        raise trouble_from(answer, fault)

    async def _resolve(self, fault: SourceFault) -> SourceFault:
        """Say whether it is the keys or us: who gets a status is known to the KME.

        Args:
            fault: What it is if the KME tells no status.
        """
        if self._clock() < self._well_until:
            return SourceFault.MISSING
        try:
            await self._ask_status()
        except Trouble as trouble:
            if trouble.fault not in _WITHOUT_STATUS:
                raise
            if fault is SourceFault.MISSING and not self._has_served:
                raise
            return fault
        return SourceFault.MISSING

    def _contents(
        self, answer: Answer, asked: int, key_ids: frozenset[UUID] | None
    ) -> Contents:
        self._look_at(answer)
        contents = decode_container(answer.members, asked, key_ids)
        self._notes.add(*contents.notes)
        self._has_served = True
        return contents

    def _look_at(self, answer: Answer) -> None:
        if not answer.is_json:
            self._notes.add("its media type is not application/json")


class _FewerError(Trouble):
    """Raised when a KME refuses several keys, and may give fewer."""

    def __init__(self, refusal: Trouble, stored: int | None) -> None:
        super().__init__(
            refusal.fault,
            refusal.message,
            refusal.hint,
            retry_after=refusal.retry_after,
            is_carried_out=refusal.is_carried_out,
        )
        self.stored = stored


class _Tally:
    """Counts the calls of one drawing."""

    def __init__(self) -> None:
        self.calls = 0
