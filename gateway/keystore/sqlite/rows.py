"""The statements on keys, and the counters that go with them; the caller has the lock.

Statements that change something stand within a `Rows.transaction`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.keystore.check import is_constant
from gateway.keystore.sealing import KeySealer
from gateway.keystore.sqlite.errors import translated
from gateway.keystore.sqlite.records import Link
from gateway.keystore.sqlite.schema import CONSUMED, EXPIRED, NEVER, UNUSED
from gateway.wire.key_ids import NamedKeyID, key_id_of

_REASONS = {UNUSED: "duplicate", CONSUMED: "used", EXPIRED: "expired"}

# A key_ID is refused under any link; key_by_id alone would admit one a link.
_INSERT = (
    "INSERT INTO key"
    " (link, key_id, text, state, expires, confirmed, fingerprint, sealed)"
    " SELECT ?, ?, ?, 0, ?, ?, ?, ? WHERE NOT EXISTS"
    " (SELECT 1 FROM key WHERE key_id = ?) ON CONFLICT DO NOTHING"
)

_KEYS = "SELECT seq, link, key_id, text, state, expires, confirmed, sealed FROM key"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it rests.

    Attributes:
        seq: Its row; smaller is older.
        link_id: Its link's row.
        key_id: ETSI GS QKD 014 key_ID.
        state: ``UNUSED``, ``CONSUMED`` or ``EXPIRED``.
        expires: Store milliseconds, or ``NEVER``.
        confirmed: Whether the peer is known to hold it.
        sealed: Nonce, ciphertext, tag; empty unless unused.
    """

    seq: int
    link_id: int
    key_id: UUID
    state: int
    expires: int
    confirmed: bool
    sealed: bytes

    def expired(self, now_ms: int) -> bool:
        """Whether its time is over, swept yet or not."""
        return self.expires != NEVER and self.expires <= now_ms


def _row(
    values: tuple[int, int, bytes, str | None, int, int, int, bytes | None],
) -> KeyRow:
    seq, link, name, text, state, expires, confirmed, sealed = values
    return KeyRow(
        seq,
        link,
        key_id_of(name, text),
        state,
        expires,
        confirmed != 0,
        sealed or b"",
    )


class Rows:
    """Typed access to the keys of one store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

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

    def insert(
        self,
        link: Link,
        key: NewKey,
        expires: int,
        sealer: KeySealer,
        *,
        confirmed: bool,
    ) -> str:
        """Take a key in; return why not, or an empty string."""
        if len(key.key) != KEY_SIZE:
            return "short" if len(key.key) < KEY_SIZE else "long"
        if is_constant(key.key):
            return "constant"
        fingerprint = sealer.fingerprint(key.key)
        cursor = self._connection.execute(
            _INSERT,
            (
                link.id,
                key.key_id.bytes,
                key.key_id.text if isinstance(key.key_id, NamedKeyID) else None,
                expires,
                confirmed,
                fingerprint,
                sealer.seal(link.name, key.key_id, expires, key.key),
                key.key_id.bytes,
            ),
        )
        if cursor.rowcount == 1:
            return ""
        return self._explain(link, key.key_id, fingerprint)

    def _explain(self, link: Link, key_id: UUID, fingerprint: int) -> str:
        """Say why a key of the right size was refused."""
        # A store of version 1 may have the key_ID under several links.
        found = self._connection.execute(
            "SELECT link, state, fingerprint FROM key WHERE key_id = ?"
            " ORDER BY link = ? DESC",
            (key_id.bytes, link.id),
        ).fetchone()
        if found is None:
            return "same-bytes"
        its_link, state, its_fingerprint = found
        if its_link != link.id:
            return "other-link"
        if state == UNUSED and its_fingerprint != fingerprint:
            return "other-bytes"
        return _REASONS[state]

    def count_added(
        self, link: Link, added: int, newest: UUID, *, confirmed: bool
    ) -> None:
        """Note keys taken in, in the counters."""
        self._connection.execute(
            "UPDATE link SET unused = unused + ?, unconfirmed = unconfirmed + ?,"
            " newest = ? WHERE id = ?",
            (added, 0 if confirmed else added, newest.bytes, link.id),
        )

    def find(self, link: Link, key_id: UUID) -> KeyRow | None:
        """Return the key of that key_ID, used or not."""
        found = self._connection.execute(
            _KEYS + " WHERE key_id = ? AND link = ?",
            (key_id.bytes, link.id),
        ).fetchone()
        return _row(found) if found else None

    def read(self, seq: int) -> KeyRow:
        """Return one row, which exists since rows are never deleted."""
        found = self._connection.execute(_KEYS + " WHERE seq = ?", (seq,)).fetchone()
        if found is None:
            raise KeyStoreError("a row has vanished from the key store")
        return _row(found)

    def unused_after(
        self, link: Link, seq: int, count: int, *, confirmed: bool
    ) -> list[KeyRow]:
        """Return up to `count` unused keys younger than `seq`, oldest first."""
        found = self._connection.execute(
            _KEYS + " WHERE link = ? AND confirmed = ? AND state = 0 AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (link.id, confirmed, seq, count),
        )
        return [_row(values) for values in found.fetchall()]

    def unused(self, link: Link, count: int) -> list[KeyRow]:
        """Return up to `count` unused keys."""
        found = self._connection.execute(
            _KEYS + " WHERE link = ? AND state = 0 LIMIT ?", (link.id, count)
        )
        return [_row(values) for values in found.fetchall()]

    def unconfirmed_ids(self, link: Link, count: int) -> list[UUID]:
        """Return up to `count` key_IDs of unused, unconfirmed keys, oldest first."""
        found = self._connection.execute(
            "SELECT key_id, text FROM key WHERE link = ? AND confirmed = 0"
            " AND state = 0 ORDER BY seq LIMIT ?",
            (link.id, count),
        )
        return [key_id_of(name, text) for name, text in found.fetchall()]

    def unused_ids(self, link: Link, after: bytes, count: int) -> list[UUID]:
        """Return up to `count` key_IDs of unused keys, in order, greater than one."""
        found = self._connection.execute(
            "SELECT key_id, text FROM key WHERE link = ? AND key_id > ? AND state = 0"
            " ORDER BY key_id LIMIT ?",
            (link.id, after, count),
        )
        return [key_id_of(name, text) for name, text in found.fetchall()]

    def ageing(self, after: tuple[int, int], until_ms: int, count: int) -> list[KeyRow]:
        """Return unused keys that expire by `until_ms`, in (expires, seq) order."""
        found = self._connection.execute(
            _KEYS + " WHERE state = 0 AND expires > 0 AND (expires, seq) > (?, ?)"
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

    def mark(self, rows: Sequence[KeyRow], *, confirmed: bool) -> None:
        """Note of unused keys of one link, unlike so far, whether the peer has them."""
        self._change(
            "UPDATE key SET confirmed = ? WHERE seq = ? AND state = 0", confirmed, rows
        )
        self._connection.execute(
            "UPDATE link SET unconfirmed = unconfirmed + ? WHERE id = ?",
            (-len(rows) if confirmed else len(rows), rows[0].link_id),
        )

    def erase(self, rows: Sequence[KeyRow], state: int) -> None:
        """Erase the bytes of unused keys of one link, which thereby become `state`."""
        self._change(
            "UPDATE key SET state = ?, sealed = NULL, text = NULL"
            " WHERE seq = ? AND state = 0",
            state,
            rows,
        )
        count = len(rows)
        consumed = count if state == CONSUMED else 0
        unconfirmed = sum(not row.confirmed for row in rows)
        self._connection.execute(
            "UPDATE link SET unused = unused - ?, unconfirmed = unconfirmed - ?,"
            " consumed = consumed + ?, expired = expired + ? WHERE id = ?",
            (count, unconfirmed, consumed, count - consumed, rows[0].link_id),
        )

    def _change(self, statement: str, value: int, rows: Sequence[KeyRow]) -> None:
        changed = self._connection.executemany(
            statement, [(value, row.seq) for row in rows]
        )
        if changed.rowcount != len(rows):
            raise KeyStoreError("a key's state changed behind the store's back")
