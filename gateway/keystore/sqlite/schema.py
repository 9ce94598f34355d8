"""The store's tables and how older ones become these."""

import os
import sqlite3

from gateway.errors import KeyStoreError
from gateway.keystore.sealing import STORE_ID_SIZE

APPLICATION_ID = 0x71677773
"""``qgws`` in ASCII, at byte 68 of the file: lets `file` and us know what it is."""

UNUSED, CONSUMED, EXPIRED = 0, 1, 2
"""States on disk. Reserved is a matter of memory; purged counts as expired."""

NEVER = 0
"""Value of `expires` for a key that does not age."""

# Counters change in the transaction that changes the keys, so that status never
# counts rows. seq is the age order; rows are never deleted: they are the memory of
# used key_IDs.
_VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE link (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    newest BLOB,
    unused INTEGER NOT NULL DEFAULT 0 CHECK (unused >= 0),
    consumed INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE key (
    seq INTEGER PRIMARY KEY,
    link INTEGER NOT NULL REFERENCES link (id),
    key_id BLOB NOT NULL CHECK (length(key_id) = 16),
    state INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    sealed BLOB,
    CHECK ((state = 0) = (sealed IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX key_by_id ON key (key_id, link);
CREATE UNIQUE INDEX key_by_bytes ON key (fingerprint);
CREATE INDEX key_unused ON key (link, seq) WHERE state = 0;
CREATE INDEX key_ageing ON key (expires) WHERE state = 0 AND expires > 0;
CREATE TABLE rate (
    link INTEGER NOT NULL REFERENCES link (id),
    bucket INTEGER NOT NULL,
    taken_in INTEGER NOT NULL,
    consumed INTEGER NOT NULL,
    PRIMARY KEY (link, bucket)
) STRICT, WITHOUT ROWID;
"""

# Which keys the peer is known to hold. Until now every key counted as held by both.
# Two orders are kept of what is unused: by age within confirmed and unconfirmed, and
# by key_ID, in which two ends compare what they hold.
_VERSION_2 = """
ALTER TABLE key ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1;
ALTER TABLE link ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;
DROP INDEX key_unused;
CREATE INDEX key_unused ON key (link, confirmed, seq) WHERE state = 0;
CREATE INDEX key_held ON key (link, key_id) WHERE state = 0;
"""

# What its KME calls a key, where that does not follow from key_id; gone with its bytes.
_VERSION_3 = """
ALTER TABLE key ADD COLUMN text TEXT;
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Statements that lead from version n (its place) to n + 1. Only ever appended to."""


def migrate(connection: sqlite3.Connection) -> bytes:
    """Make the tables, or bring them up to date; return the store's id.

    Raises:
        KeyStoreError: The file is another application's or a newer version's.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        store_id = _migrate(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return store_id


def _migrate(connection: sqlite3.Connection) -> bytes:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    fresh = (application, version, tables) == (0, 0, 0)
    if not fresh and application != APPLICATION_ID:
        raise KeyStoreError(
            "the file is another application's SQLite database, not a key store",
            "check the path of the key store in the configuration",
        )
    if version > len(MIGRATIONS):
        raise KeyStoreError(
            f"the key store has version {version}, this release knows up to"
            f" {len(MIGRATIONS)}",
            "install the release that wrote it, or a newer one",
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements.split(";"):
            connection.execute(statement)
    if fresh:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            "INSERT INTO meta VALUES ('store_id', ?)", (os.urandom(STORE_ID_SIZE),)
        )
    if version < len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    row = connection.execute("SELECT value FROM meta WHERE name = 'store_id'")
    return bytes(row.fetchone()[0])
