"""Keys of a `SQLiteKeyStore` that are free, held or due to expire.

The store has the lock; what is erased on disk is forgotten in memory right after the
transaction, never before it.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.reservations import Reservations, ReservedKey
from gateway.keystore.sealing import KeySealer
from gateway.keystore.sqlite.records import Link
from gateway.keystore.sqlite.rows import KeyRow, Rows
from gateway.keystore.sqlite.schema import CONSUMED, EXPIRED, NEVER, UNUSED
from gateway.secret import Secret

BATCH = 500
"""Keys changed in one transaction: the sync costs little a key, and the lock, held for
some 60 ms with a million keys in stock, delays no rotation."""

SCAN = 16
"""Rows read at a time when the oldest ones turn out to be held or expired."""


class UnusedKeys:
    """The rows on disk, and the reservations in memory that go with them."""

    def __init__(self, rows: Rows, sealer: KeySealer) -> None:
        self._rows = rows
        self._sealer = sealer
        self._held = Reservations()
        self._offered: set[int] = set()
        self._next_expiry = rows.next_expiry(NEVER)

    def reserved(self, link: Link) -> int:
        """How many keys of a link are reserved."""
        return self._held.count(link.id)

    def reserved_unconfirmed(self, link: Link) -> int:
        """How many of them the peer is not known to hold."""
        return self._held.count_unconfirmed(link.id)

    def held(self, link: Link, key_id: UUID, holder: str) -> ReservedKey | None:
        """Return `holder`'s reservation of a key, if it has one."""
        held = self._held.find(link.id, key_id)
        return held if held is not None and held.holder == holder else None

    def holders(self) -> list[str]:
        """Everyone who holds a key."""
        return self._held.holders()

    def reserve(
        self, link: Link, now: int, count: int, holder: str, *, confirmed: bool
    ) -> list[UUID]:
        """Hold up to `count` free keys for `holder`, oldest first."""
        free = self._free(link, now, count, confirmed=confirmed)
        return [self.hold(row, holder) for row in itertools.islice(free, count)]

    def _free(
        self, link: Link, now: int, wanted: int, *, confirmed: bool
    ) -> Iterator[KeyRow]:
        """Yield keys that nobody holds, oldest first; the caller holds each."""
        for seq in self._held.take_returned(link.id, confirmed=confirmed):
            row = self._rows.read(seq)
            # Confirmed or doubted since, it waits in the other queue as well.
            here = row.state == UNUSED and row.confirmed == confirmed
            if here and self.is_free(row, now):
                yield row
        scan = min(wanted, SCAN)
        while rows := self._rows.unused_after(
            link,
            self._held.cursor(link.id, confirmed=confirmed),
            scan,
            confirmed=confirmed,
        ):
            for row in rows:
                self._held.advance(link.id, row.seq, confirmed=confirmed)
                if self.is_free(row, now):
                    yield row
            scan = SCAN

    def is_free(self, row: KeyRow, now: int, holder: str | None = None) -> bool:
        """Whether an unused key may be given out now, or is already `holder`'s."""
        held = self._held.find(row.link_id, row.key_id)
        if held is not None:
            return held.holder == holder
        return not row.expired(now)

    def is_gone(self, row: KeyRow, now: int) -> bool:
        """Whether a key was used or has expired, swept yet or not."""
        if row.state != UNUSED:
            return True
        held = self._held.find(row.link_id, row.key_id)
        return held is None and row.expired(now)

    def is_settled(self, row: KeyRow) -> bool:
        """Whether both ends had an unused key, and nobody here is about to use it."""
        held = self._held.find(row.link_id, row.key_id)
        return row.confirmed and held is None

    def hold(self, row: KeyRow, holder: str) -> UUID:
        """Reserve a key that is free for `holder`; return its key_ID."""
        if self._held.find(row.link_id, row.key_id) is None:
            self._held.hold(
                ReservedKey(
                    row.link_id, row.key_id, row.seq, row.expires, holder, row.confirmed
                )
            )
        return row.key_id

    def release(self, holder: str) -> int:
        """Give back all that `holder` has; return how many."""
        released = self._held.release(holder)
        for held in released:
            self.expect_expiry(held.expires)
        return len(released)

    def open_or_retire(self, link: Link, row: KeyRow) -> Secret | None:
        """Return the key; a damaged one is erased, lest it be offered for ever."""
        try:
            return self._sealer.open(link.name, row.key_id, row.expires, row.sealed)
        except KeyStoreError:
            self.erase([row], CONSUMED)
            return None

    def mark(self, rows: Sequence[KeyRow], *, confirmed: bool) -> int:
        """Note whether the peer holds unused keys of one link; return for how many new.

        Like `erase`, durably first, and in memory then.
        """
        # What is said now is newer than an offer that has not been written yet.
        self._offered.difference_update(row.seq for row in rows)
        changed = [row for row in rows if row.confirmed != confirmed]
        if changed:
            with self._rows.transaction():
                self._rows.mark(changed, confirmed=confirmed)
            for row in changed:
                self._held.mark(row.link_id, row.key_id, row.seq, confirmed=confirmed)
        return len(changed)

    def note_offered(self, row: KeyRow) -> None:
        """Remember that the peer offered an unused key, so it holds it.

        That is written by `confirm_offered`, for who answers an offer may not wait for
        the disk. Lost in a crash, it costs a question to the peer.
        """
        if not row.confirmed:
            self._offered.add(row.seq)

    def confirm_offered(self) -> None:
        """Mark the keys that were offered, durably."""
        while self._offered:
            seqs = list(itertools.islice(self._offered, BATCH))
            rows = [self._rows.read(seq) for seq in seqs]
            unused = [row for row in rows if row.state == UNUSED]
            for _, group in itertools.groupby(unused, lambda row: row.link_id):
                self.mark(list(group), confirmed=True)
            self._offered.difference_update(seqs)

    def erase(self, rows: Sequence[KeyRow], state: int) -> None:
        """Erase unused keys of one link durably, then forget their reservations."""
        if rows:
            with self._rows.transaction():
                self._rows.erase(rows, state)
            self._forget(rows)

    def _forget(self, rows: Sequence[KeyRow]) -> None:
        for row in rows:
            held = self._held.find(row.link_id, row.key_id)
            if held is not None:
                self._held.drop(held)

    def expect_expiry(self, when_ms: int) -> None:
        """Note that a key expires then, or never."""
        if when_ms == NEVER:
            return
        if self._next_expiry == NEVER or when_ms < self._next_expiry:
            self._next_expiry = when_ms

    def try_sweep(self, now: int) -> None:
        """Erase what has expired, if the disk is willing.

        Expired keys are never given out: a full disk only delays their counting.
        """
        with contextlib.suppress(KeyStoreError):
            self.sweep(now)

    def sweep(self, now: int) -> dict[int, int]:
        """Erase what has expired and nobody holds; return how many by link."""
        swept: dict[int, int] = {}
        if self._next_expiry == NEVER or now < self._next_expiry:
            return swept
        after = (0, 0)
        while rows := self._rows.ageing(after, now, BATCH):
            after = (rows[-1].expires, rows[-1].seq)
            for link_id, group in itertools.groupby(rows, lambda row: row.link_id):
                free = [
                    row for row in group if not self._held.find(link_id, row.key_id)
                ]
                self.erase(free, EXPIRED)
                swept[link_id] = swept.get(link_id, 0) + len(free)
        self._next_expiry = self._rows.next_expiry(now)
        return swept
