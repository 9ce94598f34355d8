"""`SQLiteKeyStore`: the embedded store.

Invariants, beside those of `gateway.keystore.base`:

* One process has the file: it holds a lock for as long as the store is open.
* The bytes of a key leave the store only after the transaction that erased them has
  been synced to disk. A crash between the two loses the key; nothing can repeat it.
* Reservations are in memory, so a crash releases them.
* What SQLite refuses (full disk, read-only, damaged) changes nothing in memory.

An erased key is overwritten with zeros in the database at the next checkpoint, and
the log that still holds its ciphertext is truncated by `maintain`. What the file
system or an SSD keeps of a freed block is out of reach: it is ciphertext, and the
master key is not on that disk if the operator follows docs/keystore.md.
"""

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

from gateway.errors import KeyStoreError, KeyUnavailableError
from gateway.keystore.base import Choice, ImportReport, NewKey, Refusal, StockStatus
from gateway.keystore.clock import StoreClock
from gateway.keystore.sqlite_errors import translated
from gateway.keystore.sqlite_file import StoreFile
from gateway.keystore.sqlite_rows import Rows
from gateway.keystore.sqlite_schema import (
    CONSUMED,
    EXPIRED,
    NEVER,
    UNUSED,
    migrate,
)
from gateway.keystore.sqlite_stock import BATCH, Stock
from gateway.secret import Secret

MAX_LINK_NAME = 64
"""Characters of a link's name."""


class SQLiteKeyStore:
    """A `gateway.keystore.base.KeyStore` in one file.

    Methods may be called from any thread; they take turns.

    Args:
        path: The database; made, mode 0600, in a directory of mode 0700, if missing.
        master_key: 32 bytes; the store keeps only keys derived from it.
        clock: What ages keys; the machine's by default.

    Raises:
        KeyStoreError: The file is unsafe, in use, damaged, another's, or of
            another master key.
    """

    def __init__(
        self, path: Path, master_key: Secret, *, clock: StoreClock | None = None
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock or StoreClock()
        self._file = StoreFile(path)
        self._open = True
        try:
            with translated():
                self._rows = Rows(self._file.connection, migrate(self._file.connection))
            self._start(master_key)
            self._file.sync_directory()
        except BaseException:
            self._file.close()
            raise

    def _start(self, master_key: Secret) -> None:
        with self._rows.transaction():
            self._sealer = self._rows.unlock(master_key)
            mark = self._rows.load_clock()
            if mark is not None:
                self._clock.resume(mark)
            self._rows.save_clock(self._clock.mark())
            self._links = {link.name: link for link in self._rows.load_links()}
            self._stock = Stock(self._rows, self._sealer)

    def add(
        self, link: str, keys: Iterable[NewKey], *, lifetime: float | None = None
    ) -> ImportReport:
        """Take keys in, `BATCH` at a time; see `KeyStore.add`.

        If a later batch fails, the earlier ones stay; adding the same keys again
        then refuses those as duplicates and takes the rest.
        """
        if not 0 < len(link) <= MAX_LINK_NAME:
            raise KeyStoreError(f"a link's name has 1 to {MAX_LINK_NAME} characters")
        if lifetime is not None and lifetime <= 0:
            raise KeyStoreError("a key's lifetime must be more than 0 seconds")
        added = 0
        refused: list[Refusal] = []
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, BATCH)):
            with self._turn() as now:
                self._stock.sweep(now)
                added += self._add_batch(link, batch, lifetime, now, refused)
        return ImportReport(added, tuple(refused))

    def _add_batch(
        self,
        name: str,
        batch: list[NewKey],
        lifetime: float | None,
        now: int,
        refused: list[Refusal],
    ) -> int:
        expires = NEVER if lifetime is None else now + max(1, int(lifetime * 1000))
        taken: list[NewKey] = []
        turned_away: list[Refusal] = []
        with self._rows.transaction():
            link = self._links.get(name) or self._rows.add_link(name, now)
            for key in batch:
                reason = self._rows.insert(link, key, expires, self._sealer)
                if reason:
                    turned_away.append(Refusal(str(key.key_id), reason))
                else:
                    taken.append(key)
            if taken:
                self._rows.count_added(link, len(taken), taken[-1].key_id)
        self._links[name] = link
        refused.extend(turned_away)
        link.meter.count(now, taken_in=len(taken))
        if taken and expires != NEVER:
            self._stock.expect_expiry(expires)
        return len(taken)

    def reserve(self, link: str, count: int, *, holder: str) -> Sequence[UUID]:
        """Reserve the oldest keys; see `KeyStore.reserve`."""
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return []
            rows = itertools.islice(self._stock.free(known, now), count)
            return [self._stock.hold(row, holder) for row in rows]

    def reserve_first(
        self, link: str, offered: Sequence[UUID], *, holder: str
    ) -> Choice:
        """Reserve the first usable key of those offered; see `KeyStore.reserve_first`.

        A key that `holder` has already counts as available to it, so that a repeated
        request gets the same answer. A damaged key is passed over and retired.
        """
        used: set[UUID] = set()
        chosen: tuple[UUID | None, Secret | None] = (None, None)
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return Choice(None, None, frozenset())
            for key_id in offered:
                row = self._rows.find(known, key_id)
                if row is None:
                    continue
                if self._stock.is_gone(row, now):
                    used.add(key_id)
                elif chosen[0] is None and self._stock.is_free(row, now, holder):
                    key = self._stock.open_or_retire(known, row)
                    if key is None:
                        used.add(key_id)
                    else:
                        chosen = (self._stock.hold(row, holder), key)
            return Choice(*chosen, frozenset(used))

    def consume(self, link: str, key_id: UUID, *, holder: str) -> Secret:
        """Use a key up; see `KeyStore.consume`."""
        with self._turn() as now:
            known = self._links.get(link)
            held = self._stock.held(known, key_id, holder) if known else None
            if known is None or held is None:
                raise KeyUnavailableError(
                    f"key {key_id} of link {link} is not reserved for {holder}",
                    "it was used, released, or never there; the next handshake"
                    " takes another",
                )
            row = self._rows.read(held.seq)
            key = self._stock.open_or_retire(known, row)
            if key is None:
                raise KeyUnavailableError(
                    f"key {key_id} of link {link} is damaged in the store",
                    "it is retired; check the disk",
                )
            self._stock.erase([row], CONSUMED)
            known.meter.count(now, consumed=1)
            return key

    def release(self, holder: str) -> None:
        """Give back what `holder` reserved."""
        with self._turn():
            self._stock.release(holder)

    def release_all(self) -> int:
        """Give back every reservation; after a start there are none."""
        with self._turn():
            return sum(self._stock.release(who) for who in self._stock.holders())

    def retire(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Erase keys the peer has used; unknown ones are not remembered.

        Remembering them would let a peer fill the disk with invented key_IDs.
        """
        retired = 0
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return 0
            for start in range(0, len(key_ids), BATCH):
                ids = dict.fromkeys(key_ids[start : start + BATCH])
                found = (self._rows.find(known, key_id) for key_id in ids)
                rows = [row for row in found if row and row.state == UNUSED]
                self._stock.erase(rows, CONSUMED)
                known.meter.count(now, consumed=len(rows))
                retired += len(rows)
        return retired

    def purge(self, link: str, *, all_keys: bool = False) -> int:
        """Erase expired or all unused keys, reserved ones too; see `KeyStore.purge`."""
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return 0
            purged = self._stock.sweep(now).get(known.id, 0)
            while all_keys and (rows := self._rows.unused_after(known, 0, BATCH)):
                self._stock.erase(rows, EXPIRED)
                purged += len(rows)
            return purged

    def newest(self, link: str) -> UUID | None:
        """key_ID last taken in; see `KeyStore.newest`."""
        with self._turn():
            known = self._links.get(link)
            newest = self._rows.counters(known)[3] if known else None
            return UUID(bytes=newest) if newest else None

    def maintain(self) -> None:
        """Expire, save clock and rates, empty the log; see `KeyStore.maintain`."""
        with self._turn() as now:
            self._stock.sweep(now)
            self._save()

    def links(self) -> Sequence[str]:
        """Names of known links, sorted."""
        with self._turn():
            return sorted(self._links)

    def status(self, link: str) -> StockStatus:
        """Counts and rates of a link, in constant time."""
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return StockStatus(link, 0, 0, 0, 0, 0.0, 0.0, None)
            # Expired keys are never given out; a full disk only delays the count.
            with contextlib.suppress(KeyStoreError):
                self._stock.sweep(now)
            unused, consumed, expired, _ = self._rows.counters(known)
            reserved = self._stock.reserved(known)
            rate_in, rate_out = known.meter.rates(now)
            falling = rate_out - rate_in
            return StockStatus(
                link=link,
                available=unused - reserved,
                reserved=reserved,
                consumed=consumed,
                expired=expired,
                rate_in=rate_in,
                rate_out=rate_out,
                seconds_to_empty=unused / falling if falling > 0 else None,
            )

    def close(self) -> None:
        """Save clock and rates, empty the log, let go; harmless a second time."""
        with self._lock:
            if not self._open:
                return
            # What cannot be saved now (a full disk) costs some seconds of age.
            with contextlib.suppress(KeyStoreError):
                self._save()
            self._open = False
            self._file.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int]:
        """Wait for our turn; give the store's time."""
        with self._lock, translated():
            if not self._open:
                raise KeyStoreError("the key store is closed", "qgwd is stopping")
            yield self._clock.now_ms()

    def _save(self) -> None:
        with self._rows.transaction():
            self._rows.save_clock(self._clock.mark())
            for link in self._links.values():
                self._rows.save_rates(link)
        with translated():
            self._rows.checkpoint()
