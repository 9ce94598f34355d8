"""The least a durable commit costs: SQLite alone, one row, synced like the store."""

import sqlite3
from pathlib import Path

_SETTINGS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL")


class CommitFloor:
    """A database with one number in it."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for setting in _SETTINGS:
            self._connection.execute(f"PRAGMA {setting}").fetchall()
        self._connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, n INT)")
        self._connection.execute("INSERT INTO floor VALUES (1, 0)")

    def commit(self) -> None:
        """Change the number durably."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE floor SET n = n + 1 WHERE id = 1")
        self._connection.execute("COMMIT")

    def tidy(self) -> None:
        """Empty the log, as the store's upkeep does."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
