"""A simulated QKD link behind the face of a KME: for pads, **not** quantum keys.

`SimulatedLink` fills both stocks by itself, and whoever lacks a key finds it when a
handshake offers it. Pads are never offered: the two stocks must be announced and
compared as those of real links are, so one end draws here and the other fetches.
"""

import secrets
from collections.abc import Callable, Sequence
from uuid import UUID

from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import KEY_SIZE
from gateway.secret import Secret
from gateway.sources.base import Delivery, KMEStatus
from gateway.sources.simulated.source import COUNTER_BITS, MIN_STOCK, KeySequence

MAX_KEYS = 128
"""Keys of one call."""


class SimulatedClient:
    """A `gateway.sources.base.KeyClient` whose keys come from a seed.

    Each run draws from a place of its own in the sequence, so that a store that was
    brought back from a backup is not given keys a second time.

    Args:
        link: Name, equal at both ends.
        seed: What both ends share.
        rate: Keys a second.
        most: Keys that are saved up.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        link: str,
        seed: Secret,
        *,
        rate: float,
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._sequence = KeySequence(seed, link)
        self._rate = rate
        self._most = float(most)
        self._clock = clock
        self._credit = float(MIN_STOCK)
        self._at: float | None = None
        self._next = secrets.randbits(COUNTER_BITS - 1)

    @property
    def link(self) -> str:
        """Name of the link, equal at both ends."""
        return self._link

    @property
    def description(self) -> str:
        """One line that says these are no quantum keys."""
        return "simulated, NOT quantum keys: whoever has the seed file has them all"

    async def get_keys(self, count: int) -> Delivery:
        """Draw up to `count` keys.

        Raises:
            KeySourceError: None is due yet.
        """
        count = min(count, self._due(), MAX_KEYS)
        if not count:
            raise KeySourceError(
                "the simulated link has no key yet",
                "its rate is set in gateway.toml",
                source="simulation",
                call="draw",
                fault=SourceFault.EMPTY,
            )
        self._credit -= count
        first = self._next
        self._next = (first + count) % (1 << COUNTER_BITS)
        numbers = range(first, min(first + count, 1 << COUNTER_BITS))
        return Delivery(tuple(self._sequence.key(number) for number in numbers))

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch keys that the peer has drawn."""
        keys, missing = [], []
        for key_id in key_ids:
            number = self._sequence.counter(key_id)
            if number is None:
                missing.append(key_id)
            else:
                keys.append(self._sequence.key(number))
        return Delivery(tuple(keys), missing=tuple(missing))

    async def get_status(self) -> KMEStatus:
        """Describe the simulation as a KME would describe itself."""
        return KMEStatus(
            source="simulation",
            source_kme_id="",
            target_kme_id="",
            key_size=8 * KEY_SIZE,
            stored_key_count=self._due(),
            max_key_count=int(self._most),
            max_key_per_request=MAX_KEYS,
            notes=(self.description,),
        )

    async def close(self) -> None:
        """Hold nothing, let go of nothing."""

    def _due(self) -> int:
        now = self._clock()
        if self._at is not None:
            gained = self._rate * max(0.0, now - self._at)
            self._credit = min(self._credit + gained, self._most)
        self._at = now
        return int(self._credit)
