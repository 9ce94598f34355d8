"""The interfaces of sources of QKD keys.

Two kinds. A `KeySource` makes the same keys at both ends by itself (the simulated
link). A `KeyClient` fetches them from a key management entity (KME), where one end
draws new keys and the other fetches the same ones by key_ID; `gateway.supply.link`
keeps the two stocks in step. A link filled by hand (`qgw keystore import`) has
neither. ETSI GS QKD 014, its later editions, ETSI 004 and SKIP are one module each
behind `KeyClient`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway.keystore.base import KeyStore, NewKey, Refusal


class KeySource(Protocol):
    """Keeps the stock of one link filled.

    Every method may raise `gateway.errors.KeyStoreError`.
    """

    @property
    def link(self) -> str:
        """Name of the link, equal at both ends."""

    @property
    def description(self) -> str:
        """One line for status and logs; says so if the keys are not quantum keys."""

    def fill(self, store: KeyStore, now: float) -> int:
        """Take in the keys that are due; return how many were added.

        Call it about once a second.

        Args:
            store: Where they go.
            now: Monotonic seconds.
        """

    def ensure(self, store: KeyStore, key_ids: Sequence[UUID], others: int = 0) -> int:
        """Try to have the keys a peer offers in store; return how many were added.

        Call it when `KeyUses.reserve_first` had none of them.

        Args:
            store: The store.
            key_ids: Those offered: the oldest that the peer has, but for `others`.
            others: Keys that other handshakes with it may be about.
        """

    def resync(self, store: KeyStore, used: Sequence[UUID]) -> int:
        """Move past keys that the peer has used, all that were offered to it.

        Returns how many fresh keys were added in their place. Call it after
        `KeyLedger.retire`, when nothing that was offered is left.
        """


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one call to a KME brought.

    Attributes:
        keys: Keys of `KEY_SIZE` bytes, no key_ID twice.
        missing: Of those asked for by key_ID, the ones this KME does not hold.
        refused: Keys in the answer that were left out, and why: ``malformed``,
            ``short``, ``long``, ``duplicate`` or ``unasked``.
        calls: Calls that were made: more than one where a batch was refused.
        is_json: Whether all that is missing was told so in JSON, as a KME tells it.
    """

    keys: tuple[NewKey, ...]
    missing: tuple[UUID, ...] = field(default=())
    refused: tuple[Refusal, ...] = field(default=())
    calls: int = 1
    is_json: bool = True


@dataclass(frozen=True, slots=True)
class KMEStatus:
    """What a KME says of one link (ETSI GS QKD 014 V1.1.1, 6.1, where it has that).

    Attributes:
        source: The KME that answered, its URL without path.
        source_kme_id: Its own ID, empty if not told.
        target_kme_id: The peer KME's ID, empty if not told.
        key_size: Default size of its keys, bits.
        stored_key_count: Keys it has for us now, or None if not told.
        max_key_count: Keys it can store, or None if not told.
        max_key_per_request: Keys it gives in one call.
        notes: Deviations from the standard and other things worth an operator's eye.
        certificate_expires: When our client certificate ends, or None without one.
        tls_group: The group of the TLS key exchange last agreed on; empty if unknown.
    """

    source: str
    source_kme_id: str
    target_kme_id: str
    key_size: int
    stored_key_count: int | None
    max_key_count: int | None
    max_key_per_request: int
    notes: tuple[str, ...] = field(default=())
    certificate_expires: datetime | None = None
    tls_group: str = ""


class KeyClient(Protocol):
    """Fetches keys of one link from this end's KME, or KMEs.

    Calls may run at the same time. Each may raise `KeySourceError` and nothing else,
    ends within the configured timeout times the number of KMEs and tries, and may be
    cancelled. Keys that a call raised over are lost: no KME gives them twice.
    """

    @property
    def link(self) -> str:
        """Name of the link, equal at both ends."""

    @property
    def description(self) -> str:
        """One line for status and logs: protocol, KMEs, SAE IDs."""

    async def get_keys(self, count: int) -> Delivery:
        """Draw up to `count` new keys for us and the peer (``enc_keys``).

        Returns what one call can bring, at least one key or refusal; `KeySourceError`
        with ``EMPTY`` when there is none now.
        """

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Fetch keys that the peer has drawn (``dec_keys``), as many as one call takes.

        Those left over are in neither `keys` nor `missing`; ask again for them.
        """

    async def get_status(self) -> KMEStatus:
        """Ask the KME how it stands."""

    async def close(self) -> None:
        """Let go of connections."""
