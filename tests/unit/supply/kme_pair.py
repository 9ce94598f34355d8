"""Two KMEs in memory that share what is drawn, with everything that can go wrong.

Stands for the KMEs of a link where a test is about what the gateways do with what
they get; real ones over TLS are met in tests/unit/kme and tests/unit/sources.
"""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from gateway.errors import KeySourceError, SourceFault
from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.secret import Secret
from gateway.sources.base import Delivery, KMEStatus


@dataclass
class SharedPool:
    """What both KMEs know.

    Attributes:
        left: Keys that can still be drawn.
        drawn: Keys that wait for the other end.
        salt: Keys follow from it and their number.
        made: Keys drawn ever.
    """

    left: int = 10_000
    drawn: dict[UUID, bytes] = field(default_factory=dict)
    salt: bytes = field(default_factory=lambda: os.urandom(16))
    made: int = 0

    def make(self) -> tuple[UUID, bytes]:
        """Return a new key and its key_ID."""
        self.made += 1
        digest = hashlib.sha384(self.salt + self.made.to_bytes(8)).digest()
        return UUID(bytes=digest[:16]), digest[16:]


class MemoryKME:
    """One end's `gateway.sources.base.KeyClient`.

    Attributes:
        fault: What every call answers, or None.
        delay: Seconds a call takes.
        lying: Give other bytes than the peer's KME gave.
        forgetful: Have none of the keys that the peer has drawn.
        fixed: Deliver just this once, whatever is asked.
        drawn: Calls to draw.
        fetched: Calls to fetch.
    """

    link = "fibre"
    description = "a KME in memory"

    def __init__(self, pool: SharedPool) -> None:
        self._pool = pool
        self.fault: SourceFault | None = None
        self.delay = 0.0
        self.lying = False
        self.forgetful = False
        self.fixed: Delivery | None = None
        self.drawn = 0
        self.fetched = 0

    async def get_keys(self, count: int) -> Delivery:
        await asyncio.sleep(self.delay)
        return self.draw(count)

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        await asyncio.sleep(self.delay)
        return self.fetch(key_ids)

    def draw(self, count: int) -> Delivery:
        """Answer `get_keys` at once."""
        self.drawn += 1
        self._check("enc_keys")
        if self.fixed is not None:
            delivery, self.fixed = self.fixed, None
            return delivery
        if not self._pool.left:
            raise self._error("enc_keys", SourceFault.EMPTY)
        count = min(count, self._pool.left)
        self._pool.left -= count
        keys = dict(self._pool.make() for _ in range(count))
        self._pool.drawn |= keys
        return Delivery(tuple(NewKey(k, Secret(key)) for k, key in keys.items()))

    def fetch(self, key_ids: Sequence[UUID]) -> Delivery:
        """Answer `get_keys_with_ids` at once."""
        self.fetched += 1
        self._check("dec_keys")
        keys, missing = [], []
        for key_id in key_ids:
            key = None if self.forgetful else self._pool.drawn.pop(key_id, None)
            if key is None:
                missing.append(key_id)
            else:
                key = bytes(KEY_SIZE - 8) + key[:8] if self.lying else key
                keys.append(NewKey(key_id, Secret(key)))
        return Delivery(tuple(keys), tuple(missing))

    async def get_status(self) -> KMEStatus:
        await asyncio.sleep(self.delay)
        self._check("status")
        return KMEStatus("https://memory", "A", "B", 256, self._pool.left, 10_000, 128)

    async def close(self) -> None:
        pass

    def _check(self, call: str) -> None:
        if self.fault is not None:
            raise self._error(call, self.fault)

    def _error(self, call: str, fault: SourceFault) -> KeySourceError:
        return KeySourceError("no", source="https://memory", call=call, fault=fault)
