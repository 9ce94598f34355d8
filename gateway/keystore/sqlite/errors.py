"""SQLite's errors, in words for an operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gateway.errors import KeyStoreError


class _Meaning(NamedTuple):
    message: str
    hint: str
    retryable: bool


_PRIMARY_CODE = 0xFF
"""SQLite keeps the primary result code in the low byte of an extended one."""

_MEANINGS = {
    sqlite3.SQLITE_FULL: _Meaning(
        "the disk of the key store is full",
        "free some space; no key is used until its use can be recorded",
        retryable=True,
    ),
    sqlite3.SQLITE_IOERR: _Meaning(
        "the disk of the key store failed to read or write",
        "look at the kernel log and the disk's quota and size limits",
        retryable=True,
    ),
    sqlite3.SQLITE_BUSY: _Meaning(
        "another process has the key store open",
        "stop it; only qgwd may open the store",
        retryable=True,
    ),
    sqlite3.SQLITE_LOCKED: _Meaning(
        "the key store is locked", "try again", retryable=True
    ),
    sqlite3.SQLITE_NOMEM: _Meaning(
        "the key store ran out of memory", "free some memory", retryable=True
    ),
    sqlite3.SQLITE_READONLY: _Meaning(
        "the key store is read-only",
        "mount its file system for writing; no key is used until its use can be"
        " recorded",
        retryable=False,
    ),
    sqlite3.SQLITE_CANTOPEN: _Meaning(
        "the key store cannot be opened",
        "its directory must exist and be writable by the user of qgwd",
        retryable=False,
    ),
    sqlite3.SQLITE_PERM: _Meaning(
        "the key store may not be opened",
        "its file must belong to the user of qgwd",
        retryable=False,
    ),
    sqlite3.SQLITE_CORRUPT: _Meaning(
        "the key store is damaged",
        "move it away and begin a new one: an old backup would bring used keys back",
        retryable=False,
    ),
    sqlite3.SQLITE_NOTADB: _Meaning(
        "the file is not a key store",
        "check the path, or move the file away to begin a new store",
        retryable=False,
    ),
}

_OTHER = _Meaning("the key store failed", "the log of qgwd says more", retryable=False)


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into `KeyStoreError`.

    SQLite's own text names tables at most, never values, and is not passed on; its
    symbolic code is.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        meaning = _MEANINGS.get(code & _PRIMARY_CODE, _OTHER) if code else _OTHER
        raise KeyStoreError(
            f"{meaning.message} ({name})", meaning.hint, retryable=meaning.retryable
        ) from error
