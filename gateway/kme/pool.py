"""The pool of keys of one KME: what was made, drawn and delivered, in a SQLite file.

No key bytes are in it, only counters: the keys follow from the seed.

Invariants, also after ``kill -9``, because each method commits durably before it
returns, and the caller answers only then:

* Counters of a half are drawn in order, once: `Marks.drawn` only grows.
* A key drawn by the other end's SAE is delivered here once, to the slave SAE named.
* The file grows with keys that wait to be fetched, which are bounded, and not with
  keys made or delivered.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.errors import KeyStoreError, KMEError
from gateway.keystore.sqlite.errors import translated
from gateway.keystore.sqlite.file import StoreFile
from gateway.kme.marks import (
    MAX_MARK,
    BehindError,
    DrawnKeys,
    Half,
    Marks,
    NotFoundError,
    NotNamedError,
)

APPLICATION_ID: Final = 0x71676B6D
"""``qgkm`` in ASCII, at byte 68 of the file."""

SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE owner (name TEXT NOT NULL) STRICT;
CREATE TABLE half (
    half INTEGER PRIMARY KEY,
    made INTEGER NOT NULL DEFAULT 0,
    drawn INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO half (half) VALUES (0), (1);
CREATE TABLE waiting (
    first INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    units INTEGER NOT NULL,
    size INTEGER NOT NULL,
    master TEXT NOT NULL,
    slave TEXT NOT NULL,
    delivered BLOB NOT NULL,
    left INTEGER NOT NULL
) STRICT;
"""


@dataclass(slots=True)
class _Waiting:
    """A row of the table of that name."""

    drawing: DrawnKeys
    delivered: int
    left: int
    changed: bool = False

    def place(self, index: int) -> int | None:
        """Return which of its keys has this index."""
        place, rest = divmod(index - self.drawing.first, self.drawing.units)
        return place if rest == 0 and 0 <= place < self.drawing.number else None


class Pool:
    """The pool of one end. Its methods block on the disk; one thread at a time.

    Every method may raise `KeyStoreError`.

    Args:
        path: SQLite file; made if it is not there.
        owner: Link and end that it belongs to; a pool of another is refused.
        own: The half whose keys are drawn at this end.
        max_waiting: Keys that wait to be fetched at most; beyond, the oldest go.
    """

    def __init__(self, path: Path, owner: str, own: Half, max_waiting: int) -> None:
        self.own = own
        self._max_waiting = max_waiting
        self._file = _open(path)
        self._connection = self._file.connection
        try:
            with translated():
                self._prepare(path, owner)
                self._marks = self._read_marks()
                row = self._connection.execute("SELECT sum(left) FROM waiting")
                self._waiting = int(row.fetchone()[0] or 0)
            self._file.sync_directory()
        except BaseException:
            self._file.close()
            raise

    @property
    def marks(self) -> Marks:
        """How far the sequence has come, as far as this end knows."""
        return self._marks

    @property
    def waiting(self) -> int:
        """Keys that wait for slave SAEs of this end to fetch them."""
        return self._waiting

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def merge(self, marks: Marks) -> Marks:
        """Take over what the other end knows to be made or drawn."""
        merged = self._marks.merged(marks)
        if max(*merged.made, *merged.drawn) > MAX_MARK:
            raise KeyStoreError("the sequence of keys ends there", "make a new seed")
        if merged != self._marks:
            with self._transaction():
                self._write_marks(merged)
            self._marks = merged
        return merged

    def draw(self, drawing: DrawnKeys) -> None:
        """Count keys of this end's half as drawn, and all before them."""
        drawn = list(self._marks.drawn)
        drawn[self.own] = drawing.end
        self.merge(replace(self._marks, drawn=(drawn[0], drawn[1])))

    def expect(self, drawing: DrawnKeys) -> None:
        """Note keys that an SAE of the other end draws for one of this end.

        Raises:
            BehindError: Some of them were drawn before; nothing is noted.
        """
        half = self.own.other
        if drawing.first < self._marks.drawn[half]:
            raise BehindError(self._marks.drawn[half])
        if drawing.end > MAX_MARK:
            raise KeyStoreError("the sequence of keys ends there", "make a new seed")
        drawn = list(self._marks.drawn)
        drawn[half] = drawing.end
        merged = self._marks.merged(Marks(drawn=(drawn[0], drawn[1])))
        with self._transaction():
            self._write_marks(merged)
            self._connection.execute(
                "INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, x'', ?)",
                (
                    drawing.first,
                    drawing.number,
                    drawing.units,
                    drawing.size,
                    drawing.master,
                    drawing.slave,
                    drawing.number,
                ),
            )
            waiting = self._drop_oldest(self._waiting + drawing.number)
        self._marks, self._waiting = merged, waiting

    def deliver(self, slave: str, master: str, counters: Sequence[int]) -> list[int]:
        """Deliver keys to the slave SAE that they were drawn for, all or none.

        Args:
            slave: SAE that asks.
            master: SAE that it says has drawn them.
            counters: Which keys, none twice.

        Returns:
            The size of each key, bits.

        Raises:
            NotNamedError: One of them was drawn for another SAE.
            NotFoundError: One of them does not wait here.
        """
        found: list[_Waiting] = []
        sizes, is_missing = [], False
        for counter in counters:
            half, index = Half.split(counter)
            if half is self.own:
                if index < self._marks.drawn[half]:
                    raise NotNamedError
                is_missing = True
                continue
            row = self._row_of(index, found)
            place = row.place(index) if row is not None else None
            if row is None or place is None:
                is_missing = True
                continue
            if row.drawing.slave != slave:
                raise NotNamedError
            if row.drawing.master != master or row.delivered >> place & 1:
                is_missing = True
                continue
            row.delivered |= 1 << place
            row.left -= 1
            row.changed = True
            sizes.append(row.drawing.size)
        if is_missing:
            raise NotFoundError
        with self._transaction():
            for row in found:
                self._write_row(row)
        self._waiting -= len(sizes)
        return sizes

    def _row_of(self, index: int, found: list[_Waiting]) -> _Waiting | None:
        """Return the row that may hold an index; rows read before come first."""
        for row in found:
            if row.drawing.first <= index < row.drawing.end:
                return row
        with translated():
            values = self._connection.execute(
                "SELECT first, number, units, size, master, slave, delivered, left"
                " FROM waiting WHERE first <= ? ORDER BY first DESC LIMIT 1",
                (index,),
            ).fetchone()
        if values is None:
            return None
        row = _Waiting(DrawnKeys(*values[:6]), int.from_bytes(values[6]), values[7])
        if index >= row.drawing.end:
            return None
        found.append(row)
        return row

    def _write_row(self, row: _Waiting) -> None:
        first = row.drawing.first
        if row.left == 0:
            self._connection.execute("DELETE FROM waiting WHERE first = ?", (first,))
            return
        delivered = row.delivered.to_bytes((row.drawing.number + 7) // 8)
        self._connection.execute(
            "UPDATE waiting SET delivered = ?, left = ? WHERE first = ?",
            (delivered, row.left, first),
        )

    def _drop_oldest(self, waiting: int) -> int:
        """Forget keys that nobody fetched, down to the limit; return what is left."""
        while waiting > self._max_waiting:
            row = self._connection.execute(
                "SELECT first, left FROM waiting ORDER BY first LIMIT 1"
            ).fetchone()
            if row is None:
                break
            self._connection.execute("DELETE FROM waiting WHERE first = ?", (row[0],))
            waiting -= row[1]
        return waiting

    def _prepare(self, path: Path, owner: str) -> None:
        execute = self._connection.execute
        (application,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application, version, tables) == (0, 0, 0):
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    execute(statement)
                execute("INSERT INTO owner VALUES (?)", (owner,))
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
            raise KMEError(
                f"{path} is no key pool of this release",
                "name another file in the configuration, [kme] pool",
            )
        if execute("SELECT name FROM owner").fetchone() != (owner,):
            raise KMEError(
                f"{path} is the pool of another seed, or of the link's other end",
                "put the seed back, or move the pool away at both ends to start anew",
            )

    def _read_marks(self) -> Marks:
        rows = self._connection.execute("SELECT made, drawn FROM half ORDER BY half")
        alice, bob = rows.fetchall()
        return Marks((alice[0], bob[0]), (alice[1], bob[1]))

    def _write_marks(self, marks: Marks) -> None:
        for half in Half:
            self._connection.execute(
                "UPDATE half SET made = ?, drawn = ? WHERE half = ?",
                (marks.made[half], marks.drawn[half], half.value),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit durably at the end, or change nothing."""
        with translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _open(path: Path) -> StoreFile:
    try:
        return StoreFile(path)
    except KeyStoreError as error:
        # The file is opened as carefully as the gateway's key store, whose messages
        # name the daemon that owns that.
        raise KMEError(
            f"key pool of the KME: {error.message}",
            error.hint.replace("qgwd", "qgw-kme"),
        ) from None
