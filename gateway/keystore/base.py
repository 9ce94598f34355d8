"""The interface of a key store, whichever database stands behind it.

States of a key: ``available -> reserved -> consumed``, or ``available -> expired``.
A key is *confirmed* once the peer is known to hold it too: only such keys are offered
while there are any.

Invariants every store keeps:

* A key is consumed at most once, ever: the consumption is durable before
  `consume` returns, across crashes, a full disk and two processes.
* A reservation that its holder does not consume is released, never burnt.
* A consumed or expired key's bytes are gone; its key_ID is remembered, so that the
  same key cannot come back by another import.
* Key bytes rest encrypted, bound to key_ID, link and state.
* Age is counted in the store's own seconds, which advance with the machine's
  monotonic clock: setting the wall clock changes nothing.

Methods block (a durable write waits for the disk); the daemon calls them from a
worker thread. Only `reserve`, `reserve_first` and `release` write nothing and are
quick: it makes them in its event loop while the thread has nothing to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.secret import Secret

KEY_SIZE = 32
"""Bytes of a QKD key in the handshake: 256 bits, which every ETSI 014 KME serves."""

RATE_WINDOW = 600.0
"""Store seconds over which rates are averaged: five rotations at the default interval,
and short enough that a dead KME shows in time-to-empty within ten minutes."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key on its way into a store.

    Attributes:
        key_id: ETSI GS QKD 014 key_ID, as `gateway.wire.key_ids` has it.
        key: `KEY_SIZE` bytes.
    """

    key_id: UUID
    key: Secret


REFUSAL_REASONS = frozenset(
    {
        "malformed",  # no key_ID with a key in base64; found before any store sees it
        "short",  # fewer than KEY_SIZE bytes
        "long",  # more
        "duplicate",  # in stock already, with the same bytes
        "other-bytes",  # its key_ID is in stock with other bytes
        "used",  # its key_ID was consumed, or retired because the peer did
        "expired",  # its key_ID aged out, or was purged
        "other-link",  # its key_ID is or was another link's
        "constant",  # all its bytes are equal: no source of keys gives that
        "same-bytes",  # its bytes are or were those of another key_ID, of any link
    }
)
"""Why a key may be refused; scripts that read reports rely on these words. Only
``duplicate`` is harmless: the same keys may be given twice."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One key that was not taken in, and why.

    Attributes:
        key_id: The key_ID, or where it stood (``keys[17]``) if it is none: what stands
            in its place is not repeated, for it might be the key.
        reason: One of `REFUSAL_REASONS`.
    """

    key_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a batch of keys.

    Attributes:
        added: How many were taken in.
        refused: Those that were not.
    """

    added: int
    refused: tuple[Refusal, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Choice:
    """Answer of `reserve_first`.

    Attributes:
        key_id: The key now reserved, or None when none of those offered is available.
        key: Its bytes, on loan: they may key nothing that carries traffic until
            `consume` has returned. None when `key_id` is.
        used: Those offered that this store knows to be consumed or expired; the
            peer must retire them.
    """

    key_id: UUID | None
    key: Secret | None
    used: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class StockStatus:
    """How one link's stock stands.

    Attributes:
        link: The link's name.
        available: Keys ready for use.
        reserved: Keys on hold for handshakes under way.
        consumed: Keys used, ever.
        expired: Keys that aged out or were purged, ever.
        rate_in: Keys a second taken in, averaged over `RATE_WINDOW`.
        rate_out: Keys a second consumed, averaged over the same.
        seconds_to_empty: At the present net rate, or None when stock is not falling.
        unconfirmed: Of those available, how many the peer is not known to hold.
    """

    link: str
    available: int
    reserved: int
    consumed: int
    expired: int
    rate_in: float
    rate_out: float
    seconds_to_empty: float | None
    unconfirmed: int = 0


class KeyStanding(IntEnum):
    """What a store knows of one key_ID; the values travel in control messages."""

    UNKNOWN = 0
    """Never taken in, or not of this link."""
    HELD = 1
    """Available or reserved."""
    USED = 2
    """Consumed, retired, expired or purged: its bytes are gone for ever."""


class KeyIntake(Protocol):
    """The part that sources add to."""

    def add(
        self,
        link: str,
        keys: Iterable[NewKey],
        *,
        lifetime: float | None = None,
        confirmed: bool = True,
    ) -> ImportReport:
        """Take keys in; refuse one by one those that are duplicate, used or malformed.

        Args:
            link: Name of the QKD link the keys belong to.
            keys: The keys.
            lifetime: Store seconds after which they expire, or None for never.
            confirmed: Whether the peer is known, or has to be assumed, to hold them.
        """

    def check_room(self, count: int) -> None:
        """See that `count` keys could be taken in: asked before they are drawn.

        Raises:
            KeyStoreError: They could not; the space left is for recording uses.
        """

    def newest(self, link: str) -> UUID | None:
        """key_ID of the key last taken in, used since or not; None before the first.

        Key sources that number their keys continue from it.
        """


class KeyLedger(Protocol):
    """The part that supply keeps in step with the peer's."""

    def confirm(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer holds these keys; return how many were unconfirmed.

        Unknown and used ones are passed over.
        """

    def doubt(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer does not hold these; return how many were confirmed.

        They stay in stock, and are offered again once confirmed, or when nothing
        else is left.
        """

    def unconfirmed(self, link: str, count: int) -> Sequence[UUID]:
        """Name up to `count` unused keys that are not confirmed, oldest first."""

    def standing(self, link: str, key_ids: Sequence[UUID]) -> Sequence[KeyStanding]:
        """Say what is known of each key_ID, in the order given."""

    def checks(self, link: str, key_ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """Return the check values of those keys that are unused.

        They go to the peer, which thereby sees whether it was given the same bytes
        (`gateway.keystore.check`).
        """

    def held(self, link: str, *, after: UUID | None, count: int) -> Sequence[UUID]:
        """Name up to `count` unused keys in ascending order of key_ID.

        Args:
            link: The link.
            after: Only key_IDs greater than this; None for the first page.
            count: Most to return; fewer mean that there are no more.
        """

    def retire(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Mark keys as used without using them: the peer says it has used them.

        Returns how many of them were available or reserved here until now.
        """

    def give_up(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Mark keys as used that the peer turns out not to hold any more.

        Only those that are confirmed and not reserved: the others may be on their
        way to the peer, or about to be used with it. Returns how many.
        """


class KeyUses(Protocol):
    """The part that tunnels and relays take keys from."""

    def reserve(self, link: str, count: int, *, holder: str) -> Sequence[UUID]:
        """Reserve up to `count` available keys, oldest first, for `holder`.

        Unconfirmed keys are taken only when not one confirmed key is available.
        Returns as many as there are, possibly none.
        """

    def reserve_first(
        self, link: str, offered: Sequence[UUID], *, holder: str
    ) -> Choice:
        """Reserve the first of the keys offered that is available here.

        The peer offers them, so it holds them: they are confirmed by that.
        """

    def consume(self, link: str, key_id: UUID, *, holder: str) -> Secret:
        """Mark a key that `holder` reserved as consumed, durably; return its bytes.

        Raises:
            KeyUnavailableError: `holder` holds no such reservation, or the key was
                consumed before.
        """

    def consume_many(
        self, link: str, key_ids: Sequence[UUID], *, holder: str
    ) -> list[Secret]:
        """Consume keys that `holder` reserved, all or none; return their bytes.

        As `consume` for each, but durable in one step: a crash leaves either all of
        them used or none.

        Raises:
            KeyUnavailableError: One of them is not reserved by `holder`, was consumed
                before, is named twice, or is damaged; the others stay reserved.
        """

    def release(self, holder: str) -> None:
        """Give back every key that `holder` still has reserved."""

    def release_all(self) -> int:
        """Give back every reservation: called once at start, nobody holds any."""


class KeyStocks(Protocol):
    """The part that operators see and empty."""

    def links(self) -> Sequence[str]:
        """Names of links that have or had keys, sorted."""

    def status(self, link: str) -> StockStatus:
        """How one link's stock stands; zeros for a link never seen."""

    def purge(self, link: str, *, all_keys: bool = False) -> int:
        """Erase expired keys, or with `all_keys` every unused key; return how many.

        Their key_IDs stay remembered as used.
        """


class KeyStore(Protocol):
    """Stocks of one-time keys, in four parts after those who call them.

    Every method of every part may raise `KeyStoreError`; its `retryable` says whether
    waiting (for a lock, for disk space) can help.
    """

    @property
    def intake(self) -> KeyIntake:
        """Takes keys in."""

    @property
    def ledger(self) -> KeyLedger:
        """Compares them with the peer's."""

    @property
    def uses(self) -> KeyUses:
        """Gives them out, each once."""

    @property
    def stocks(self) -> KeyStocks:
        """Says how many there are, and erases them."""

    def maintain(self) -> None:
        """Do what is due with time: expire keys, save the clock, erase remnants.

        Call it every few seconds; nothing but timeliness depends on it.
        """

    def fault(self) -> KeyStoreError | None:
        """Return what keeps keys from being used or taken in now, or None; quick."""

    def close(self) -> None:
        """Flush and let go of the database."""
