"""A store's records beside its keys: master key check, clock, links and rates.

The caller has the lock and the transaction.
"""

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from gateway.keystore.clock import ClockMark
from gateway.keystore.past import Trace
from gateway.keystore.rates import RateBucket, RateMeter
from gateway.keystore.sealing import KeySealer
from gateway.secret import Secret


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


class Counters(NamedTuple):
    """How many keys of a link there are.

    Attributes:
        unused: Available or reserved.
        unconfirmed: Of those, how many the peer is not known to hold.
        consumed: Used, ever.
        expired: Expired or purged, ever.
    """

    unused: int
    unconfirmed: int
    consumed: int
    expired: int


class Records:
    """Typed access to the tables of one store that hold no keys."""

    def __init__(self, connection: sqlite3.Connection, store_id: bytes) -> None:
        self._connection = connection
        self._store_id = store_id

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

    def load_trace(self) -> Trace | None:
        """Return what was last saved of the file."""
        found = dict(
            self._connection.execute("SELECT name, value FROM meta").fetchall()
        )
        if "written_at" not in found:
            return None
        return Trace(
            int(found["inode"]), int(found["generation"]), float(found["written_at"])
        )

    def save_trace(self, trace: Trace) -> None:
        """Save what the file is, and when it was written."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            (
                ("inode", trace.inode),
                ("generation", trace.generation),
                ("written_at", trace.written_at),
            ),
        )

    def load_links(self) -> list[Link]:
        """Return every link with its saved rates."""
        rows = self._connection.execute("SELECT id, name, created FROM link")
        return [
            Link(link_id, name, RateMeter(created, self._load_rates(link_id)))
            for link_id, name, created in rows.fetchall()
        ]

    def _load_rates(self, link_id: int) -> list[RateBucket]:
        rows = self._connection.execute(
            "SELECT bucket, taken_in, consumed FROM rate WHERE link = ?"
            " ORDER BY bucket",
            (link_id,),
        )
        return [RateBucket(*row) for row in rows.fetchall()]

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

    def counters(self, link: Link) -> Counters:
        """How many keys of a link there are."""
        row = self._connection.execute(
            "SELECT unused, unconfirmed, consumed, expired FROM link WHERE id = ?",
            (link.id,),
        ).fetchone()
        return Counters(*row)

    def newest(self, link: Link) -> UUID | None:
        """Return the key_ID last taken in."""
        (newest,) = self._connection.execute(
            "SELECT newest FROM link WHERE id = ?", (link.id,)
        ).fetchone()
        return UUID(bytes=newest) if newest else None

    def checkpoint(self) -> None:
        """Move the log into the database and empty it, erased ciphertexts with it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
