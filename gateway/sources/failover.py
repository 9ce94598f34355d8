"""Several KMEs of one link: one is asked, the others stand by.

All serve the same keys; the preferred one stands first in the configuration.
The one that worked last is asked again (keys just drawn at one may not have reached the
next), until it fails; the preferred one is tried again after a pause. A KME that has no
keys, or lacks the ones named, is well: the others are asked for those, nobody moves.
One that failed lately is asked only when none that is well has answered.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from gateway.errors import KeySourceError, SourceFault
from gateway.events.bus import publish
from gateway.events.sources import KMEFailing, KMETaken, KMEWorking
from gateway.sources.base import Delivery, KeyClient, KMEStatus

if TYPE_CHECKING:
    from gateway.keystore.base import NewKey, Refusal

FIRST_PAUSE: Final = 30.0
"""Seconds before a KME that failed is preferred again: a restart takes less."""

MAX_PAUSE: Final = 600.0
"""Seconds that the pause grows to while it keeps failing: each try costs a timeout."""

GIVEN_UP_AFTER: Final = 4
"""Failures in a row after which a KME's stock counts no more: some four minutes."""

_WELL = frozenset({SourceFault.EMPTY, SourceFault.MISSING})
"""Answers of a KME in good health."""

_T = TypeVar("_T")


@dataclass(slots=True)
class _Health:
    """How one KME does.

    Attributes:
        client: Its client.
        paused_until: When it may be preferred again; in the past if it is well.
        failures: Calls that failed since one worked.
        last: What it failed with last, empty if it is well.
    """

    client: KeyClient
    paused_until: float = float("-inf")
    failures: int = 0
    last: str = ""


class FailoverClient:
    """A `gateway.sources.base.KeyClient` over those of several KMEs.

    Args:
        clients: One for each KME, the preferred one first, at least one.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        clients: Sequence[KeyClient],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kmes = [_Health(client) for client in clients]
        self._current = self._kmes[0]
        self._clock = clock

    @property
    def link(self) -> str:
        """Name of the link."""
        return self._current.client.link

    @property
    def description(self) -> str:
        """The KME in use, and how many stand by."""
        others = len(self._kmes) - 1
        return f"{self._current.client.description} ({others} more KMEs)"

    async def get_keys(self, count: int) -> Delivery:
        """Draw up to `count` new keys; see `gateway.sources.base.KeyClient`."""
        return await self._first(lambda client: client.get_keys(count))

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch keys by key_ID; those that one KME lacks are asked for at the others.

        Missing is what every KME lacks. What one cannot be asked for now, it may have:
        that is left over, until that KME has failed `GIVEN_UP_AFTER` times.
        """
        wanted = tuple(dict.fromkeys(key_ids))
        found = _Found()
        errors: list[KeySourceError] = []
        is_answered = is_open = False
        for kme in self._in_order():
            if is_answered and self._is_paused(kme):
                is_open |= kme.failures < GIVEN_UP_AFTER
                continue
            try:
                part = await kme.client.get_keys_with_ids(wanted)
            except KeySourceError as error:
                self._note_failure(kme, error)
                errors.append(error)
                continue
            is_answered = True
            self._note_success(kme, is_sticky=bool(part.keys))
            found.take(part)
            wanted = part.missing
            if not wanted:
                break
        if errors and not found:
            raise _most_telling(errors)
        return found.delivery(() if errors or is_open else wanted)

    async def get_status(self) -> KMEStatus:
        """Ask the KME in use, or the first that answers."""
        status = await self._first(lambda client: client.get_status())
        notes = [
            f"another KME of this link fails: {kme.last}"
            for kme in self._kmes
            if kme.last
        ]
        return KMEStatus(
            source=status.source,
            source_kme_id=status.source_kme_id,
            target_kme_id=status.target_kme_id,
            key_size=status.key_size,
            stored_key_count=status.stored_key_count,
            max_key_count=status.max_key_count,
            max_key_per_request=status.max_key_per_request,
            notes=(*status.notes, *notes),
            certificate_expires=status.certificate_expires,
            tls_group=status.tls_group,
        )

    async def close(self) -> None:
        """Let go of all connections."""
        for kme in self._kmes:
            await kme.client.close()

    async def _first(self, call: Callable[[KeyClient], Awaitable[_T]]) -> _T:
        errors: list[KeySourceError] = []
        for kme in self._in_order():
            if self._is_paused(kme) and any(e.fault in _WELL for e in errors):
                break
            try:
                result = await call(kme.client)
            except KeySourceError as error:
                self._note_failure(kme, error)
                errors.append(error)
            else:
                self._note_success(kme, is_sticky=True)
                return result
        raise _most_telling(errors)

    def _in_order(self) -> list[_Health]:
        """List KMEs: preferred one if its pause is over, the current one, the rest.

        Those in their pause come last, for when nothing else is left.
        """
        first = self._kmes[0]
        is_due = first.failures > 0 and not self._is_paused(first)
        order = [first] if is_due else []
        order += [self._current, *self._kmes]
        unique = list({id(kme): kme for kme in order}.values())
        return sorted(unique, key=self._is_paused)

    def _is_paused(self, kme: _Health) -> bool:
        return kme.paused_until > self._clock()

    def _note_success(self, kme: _Health, *, is_sticky: bool) -> None:
        was_failing, kme.failures = kme.failures, 0
        kme.last, kme.paused_until = "", float("-inf")
        if was_failing:
            publish(KMEWorking(self.link, kme.client.description))
        is_needed = self._current.failures > 0 or kme is self._kmes[0]
        if is_sticky and is_needed and kme is not self._current:
            self._current = kme
            publish(KMETaken(self.link, kme.client.description))

    def _note_failure(self, kme: _Health, error: KeySourceError) -> None:
        if error.fault in _WELL:
            return
        pause = min(FIRST_PAUSE * 2**kme.failures, MAX_PAUSE)
        kme.paused_until = self._clock() + pause
        kme.failures = min(kme.failures + 1, 16)
        if kme.failures == 1:
            publish(KMEFailing(self.link, kme.client.description, error.message))
        kme.last = error.message


class _Found:
    """What the KMEs asked so far gave, no key_ID twice."""

    def __init__(self) -> None:
        self._keys: dict[UUID, NewKey] = {}
        self._refused: list[Refusal] = []
        self._is_json = True

    def __bool__(self) -> bool:
        return bool(self._keys or self._refused)

    def take(self, part: Delivery) -> None:
        for key in part.keys:
            self._keys.setdefault(key.key_id, key)
        self._refused += part.refused
        self._is_json &= part.is_json

    def delivery(self, missing: Sequence[UUID]) -> Delivery:
        return Delivery(
            tuple(self._keys.values()),
            tuple(missing),
            tuple(self._refused),
            is_json=self._is_json,
        )


def _most_telling(errors: Sequence[KeySourceError]) -> KeySourceError:
    """Return the error of a KME in good health if there is one, else the first."""
    for error in errors:
        if error.fault in _WELL:
            return error
    return errors[0]
