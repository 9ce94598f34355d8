"""`SQLiteKeyStore`: the embedded store.

Invariants, beside those of `gateway.keystore.base`:

* One process has the file: it holds a lock for as long as the store is open.
* The bytes of a key leave the store only after the transaction that erased them has
  been synced to disk. A crash between the two loses the key; nothing can repeat it.
* Reservations are in memory, so a crash releases them.
* No key leaves once the database or its log has lost its name, or another file has it.
* What SQLite refuses (full disk, read-only, damaged) changes nothing in memory.

An erased key is overwritten with zeros in the database at the next checkpoint, and
the log that still holds its ciphertext is truncated by `maintain`. What the file
system or an SSD keeps of a freed block is out of reach: it is ciphertext, and the
master key is not on that disk if the operator follows docs/keystore.md.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from gateway.errors import KeyUnavailableError
from gateway.keystore.base import Choice, StockStatus
from gateway.keystore.sqlite_agreement import Agreement
from gateway.keystore.sqlite_records import Link
from gateway.keystore.sqlite_rows import KeyRow
from gateway.keystore.sqlite_schema import CONSUMED, EXPIRED
from gateway.keystore.sqlite_stock import BATCH
from gateway.secret import Secret


class SQLiteKeyStore(Agreement):
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

    def reserve(self, link: str, count: int, *, holder: str) -> Sequence[UUID]:
        """Reserve the oldest keys; see `KeyStore.reserve`."""
        with self._turn() as now:
            self._place.check()
            known = self._links.get(link)
            if known is None:
                return []
            for confirmed in (True, False):
                reserved = self._stock.reserve(
                    known, now, count, holder, confirmed=confirmed
                )
                if reserved:
                    return reserved
            return []

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
            self._place.check()
            known = self._links.get(link)
            if known is None:
                return Choice(None, None, frozenset())
            for key_id in offered:
                row = self._rows.find(known, key_id)
                if row is None:
                    continue
                if self._stock.is_gone(row, now):
                    used.add(key_id)
                    continue
                self._stock.note_offered(row)
                if chosen[0] is None and self._stock.is_free(row, now, holder):
                    key = self._stock.open_or_retire(known, row)
                    if key is None:
                        used.add(key_id)
                    else:
                        chosen = (self._stock.hold(row, holder), key)
            return Choice(*chosen, frozenset(used))

    def consume(self, link: str, key_id: UUID, *, holder: str) -> Secret:
        """Use a key up; see `KeyStore.consume`."""
        (key,) = self.consume_many(link, [key_id], holder=holder)
        return key

    def consume_many(
        self, link: str, key_ids: Sequence[UUID], *, holder: str
    ) -> list[Secret]:
        """Use keys up in one transaction; see `KeyStore.consume_many`."""
        with self._turn() as now:
            self._place.check()
            known = self._links.get(link)
            seen: set[UUID] = set()
            rows = []
            for key_id in key_ids:
                held = self._stock.held(known, key_id, holder) if known else None
                if held is None or key_id in seen:
                    raise KeyUnavailableError(
                        f"key {key_id} of link {link} is not reserved for {holder}",
                        "it was used, released, or never there; the next handshake"
                        " takes another",
                    )
                seen.add(key_id)
                rows.append(self._rows.read(held.seq))
            if known is None:
                return []
            return self._use_up_all(known, rows, now)

    def _use_up_all(self, link: Link, rows: Sequence[KeyRow], now: int) -> list[Secret]:
        keys: list[Secret] = []
        for row in rows:
            key = self._stock.open_or_retire(link, row)
            if key is None:
                _wipe(keys)
                raise KeyUnavailableError(
                    f"key {row.key_id} of link {link.name} is damaged in the store",
                    "it is retired; check the disk",
                )
            keys.append(key)
        try:
            self._stock.erase(rows, CONSUMED)
            # Before they leave: was it written to the file that the next start reads?
            self._place.check()
        except BaseException:
            _wipe(keys)
            raise
        link.meter.count(now, consumed=len(rows))
        return keys

    def release(self, holder: str) -> None:
        """Give back what `holder` reserved."""
        with self._turn():
            self._stock.release(holder)

    def release_all(self) -> int:
        """Give back every reservation; after a start there are none."""
        with self._turn():
            return sum(self._stock.release(who) for who in self._stock.holders())

    def purge(self, link: str, *, all_keys: bool = False) -> int:
        """Erase expired or all unused keys, reserved ones too; see `KeyStore.purge`."""
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return 0
            purged = self._stock.sweep(now).get(known.id, 0)
            while all_keys and (rows := self._rows.unused(known, BATCH)):
                self._stock.erase(rows, EXPIRED)
                purged += len(rows)
            return purged

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
            self._stock.try_sweep(now)
            count = self._records.counters(known)
            reserved = self._stock.reserved(known)
            rate_in, rate_out = known.meter.rates(now)
            falling = rate_out - rate_in
            return StockStatus(
                link=link,
                available=count.unused - reserved,
                reserved=reserved,
                consumed=count.consumed,
                expired=count.expired,
                rate_in=rate_in,
                rate_out=rate_out,
                seconds_to_empty=count.unused / falling if falling > 0 else None,
                unconfirmed=count.unconfirmed - self._stock.reserved_unconfirmed(known),
            )


def _wipe(keys: Iterable[Secret]) -> None:
    for key in keys:
        key.wipe()
