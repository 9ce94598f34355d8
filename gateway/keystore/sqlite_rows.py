"""The statements on keys and links; the caller has the lock and the transaction."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.keystore.clock import ClockMark
from gateway.keystore.rates import Bucket, RateMeter
from gateway.keystore.sealing import KeySealer
from gateway.keystore.sqlite_errors import translated
from gateway.keystore.sqlite_schema import CONSUMED, EXPIRED, NEVER, UNUSED
from gateway.secret import Secret

_REASONS = {UNUSED: "duplicate", CONSUMED: "used", EXPIRED: "expired"}


@dataclass(slots=True)
class Link:
    """A link the store knows.

    Attributes:
        id: Its row.
        name: Its name.
        meter: Its rates.
    """

    id: int
    name: str
    meter: RateMeter


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it rests.

    Attributes:
        seq: Its row; smaller is older.
        link_id: Its link's row.
        key_id: ETSI GS QKD 014 key_ID.
        state: ``UNUSED``, ``CONSUMED`` or ``EXPIRED``.
        expires: Store milliseconds, or ``NEVER``.
        sealed: Nonce, ciphertext, tag; empty unless unused.
    """

    seq: int
    link_id: int
    key_id: UUID
    state: int
    expires: int
    sealed: bytes

    def expired(self, now_ms: int) -> bool:
        """Whether its time is over, swept yet or not."""
        return self.expires != NEVER and self.expires <= now_ms


def _row(values: tuple[int, int, bytes, int, int, bytes | None]) -> KeyRow:
    seq, link, key_id, state, expires, sealed = values
    return KeyRow(seq, link, UUID(bytes=key_id), state, expires, sealed or b"")


class Rows:
    """Typed access to the tables of one store."""

    def __init__(self, connection: sqlite3.Connection, store_id: bytes) -> None:
        self._connection = connection
        self._store_id = store_id

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside happens durably, or not at all."""
        with translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def unlock(self, master_key: Secret) -> KeySealer:
        """Return the sealer, once the master key is checked or, if first, noted."""
        sealer = KeySealer(master_key, self._store_id)
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'check'")
        noted = row.fetchone()
        if noted is None:
            self._connection.execute(
                "INSERT INTO meta VALUES ('check', ?)", (sealer.check_value,)
            )
        else:
            sealer.verify_master_key(bytes(noted[0]))
        return sealer

    def load_clock(self) -> ClockMark | None:
        """Return the clock reading last saved."""
        found = dict(
            self._connection.execute("SELECT name, value FROM meta").fetchall()
        )
        if "clock_ms" not in found:
            return None
        return ClockMark(
            int(found["clock_ms"]), str(found["boot_id"]), int(found["boot_ms"])
        )

    def save_clock(self, mark: ClockMark) -> None:
        """Save a clock reading."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            (
                ("clock_ms", mark.store_ms),
                ("boot_id", mark.boot_id),
                ("boot_ms", mark.boot_ms),
            ),
        )

    def load_links(self) -> list[Link]:
        """Return every link with its saved rates."""
        rows = self._connection.execute("SELECT id, name, created FROM link")
        return [
            Link(link_id, name, RateMeter(created, self._load_rates(link_id)))
            for link_id, name, created in rows.fetchall()
        ]

    def _load_rates(self, link_id: int) -> list[Bucket]:
        rows = self._connection.execute(
            "SELECT bucket, taken_in, consumed FROM rate WHERE link = ?"
            " ORDER BY bucket",
            (link_id,),
        )
        return [Bucket(*row) for row in rows.fetchall()]

    def save_rates(self, link: Link) -> None:
        """Replace a link's saved rates."""
        self._connection.execute("DELETE FROM rate WHERE link = ?", (link.id,))
        self._connection.executemany(
            "INSERT INTO rate VALUES (?, ?, ?, ?)",
            (
                (link.id, bucket.number, bucket.taken_in, bucket.consumed)
                for bucket in link.meter.buckets()
            ),
        )

    def add_link(self, name: str, now_ms: int) -> Link:
        """Begin a link."""
        cursor = self._connection.execute(
            "INSERT INTO link (name, created) VALUES (?, ?)", (name, now_ms)
        )
        return Link(cursor.lastrowid or 0, name, RateMeter(now_ms))

    def counters(self, link: Link) -> tuple[int, int, int, bytes | None]:
        """Unused, consumed, expired keys of a link, and the newest key_ID."""
        row: tuple[int, int, int, bytes | None] = self._connection.execute(
            "SELECT unused, consumed, expired, newest FROM link WHERE id = ?",
            (link.id,),
        ).fetchone()
        return row

    def insert(self, link: Link, key: NewKey, expires: int, sealer: KeySealer) -> str:
        """Take a key in; return why not, or an empty string."""
        if len(key.key) != KEY_SIZE:
            return "short" if len(key.key) < KEY_SIZE else "long"
        cursor = self._connection.execute(
            "INSERT INTO key (link, key_id, state, expires, fingerprint, sealed)"
            " VALUES (?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                link.id,
                key.key_id.bytes,
                expires,
                sealer.fingerprint(key.key),
                sealer.seal(link.name, key.key_id, expires, key.key),
            ),
        )
        if cursor.rowcount == 1:
            return ""
        known = self.find(link, key.key_id)
        return _REASONS[known.state] if known else "same-bytes"

    def count_added(self, link: Link, added: int, newest: UUID) -> None:
        """Note keys taken in, in the counters."""
        self._connection.execute(
            "UPDATE link SET unused = unused + ?, newest = ? WHERE id = ?",
            (added, newest.bytes, link.id),
        )

    def find(self, link: Link, key_id: UUID) -> KeyRow | None:
        """Return the key of that key_ID, used or not."""
        found = self._connection.execute(
            "SELECT seq, link, key_id, state, expires, sealed FROM key"
            " WHERE key_id = ? AND link = ?",
            (key_id.bytes, link.id),
        ).fetchone()
        return _row(found) if found else None

    def read(self, seq: int) -> KeyRow:
        """Return one row, which exists since rows are never deleted."""
        found = self._connection.execute(
            "SELECT seq, link, key_id, state, expires, sealed FROM key WHERE seq = ?",
            (seq,),
        ).fetchone()
        if found is None:
            raise KeyStoreError("a row has vanished from the key store")
        return _row(found)

    def unused_after(self, link: Link, seq: int, count: int) -> list[KeyRow]:
        """Return up to `count` unused keys younger than `seq`, oldest first."""
        found = self._connection.execute(
            "SELECT seq, link, key_id, state, expires, sealed FROM key"
            " WHERE link = ? AND state = 0 AND seq > ? ORDER BY seq LIMIT ?",
            (link.id, seq, count),
        )
        return [_row(values) for values in found.fetchall()]

    def ageing(self, after: tuple[int, int], until_ms: int, count: int) -> list[KeyRow]:
        """Return unused keys that expire by `until_ms`, in (expires, seq) order."""
        found = self._connection.execute(
            "SELECT seq, link, key_id, state, expires, sealed FROM key"
            " WHERE state = 0 AND expires > 0 AND (expires, seq) > (?, ?)"
            " AND expires <= ? ORDER BY expires, seq LIMIT ?",
            (*after, until_ms, count),
        )
        return [_row(values) for values in found.fetchall()]

    def next_expiry(self, after_ms: int) -> int:
        """When the next unused key expires after a time, or ``NEVER``."""
        (found,) = self._connection.execute(
            "SELECT min(expires) FROM key"
            " WHERE state = 0 AND expires > 0 AND expires > ?",
            (after_ms,),
        ).fetchone()
        return int(found or NEVER)

    def erase(self, rows: Sequence[KeyRow], state: int) -> None:
        """Erase the bytes of unused keys of one link, which thereby become `state`."""
        for row in rows:
            cursor = self._connection.execute(
                "UPDATE key SET state = ?, sealed = NULL WHERE seq = ? AND state = 0",
                (state, row.seq),
            )
            if cursor.rowcount != 1:
                raise KeyStoreError("a key's state changed behind the store's back")
        count = len(rows)
        consumed = count if state == CONSUMED else 0
        self._connection.execute(
            "UPDATE link SET unused = unused - ?, consumed = consumed + ?,"
            " expired = expired + ? WHERE id = ?",
            (count, consumed, count - consumed, rows[0].link_id),
        )

    def checkpoint(self) -> None:
        """Move the log into the database and empty it, erased ciphertexts with it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
