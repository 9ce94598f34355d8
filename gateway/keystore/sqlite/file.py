"""The store's file, opened so that nobody else reads it or opens it too."""

import fcntl
import os
import sqlite3
import stat
from pathlib import Path

from gateway.errors import KeyStoreError, passes
from gateway.keystore.clock import wall_seconds
from gateway.keystore.past import trace_of
from gateway.keystore.sqlite.errors import translated

BUSY_TIMEOUT_MS = 2_000
"""How long SQLite waits for a stranger's lock (an admin's shell) before it says so."""

CACHE_KIB = 8_192
"""SQLite's page cache; the store's memory is this much, however many keys it holds."""

_LOOSE = 0o077
"""Permission bits that would let anyone but the owner in."""

_SETTINGS = (
    # First, so that the lock is never given back and no shared memory file is made:
    # a full tmpfs would otherwise kill the process with SIGBUS.
    "PRAGMA locking_mode = EXCLUSIVE",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    # FULL: fdatasync of the log before COMMIT returns. NORMAL would not.
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)


class StoreFile:
    """The open database and the lock that keeps other processes out."""

    def __init__(self, path: Path) -> None:
        self._directory = path.parent
        with _os_errors(path):
            _prepare_directory(path.parent)
            self._lock = _take_lock(path)
        try:
            with _os_errors(path):
                _prepare_file(path)
                self.trace = trace_of(path, now=wall_seconds())
            self.connection = _connect(path)
        except BaseException:
            os.close(self._lock)
            raise

    def sync_directory(self) -> None:
        """Make the names of database and log durable, not only their contents."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of both, whatever happens."""
        try:
            with translated():
                self.connection.close()
        finally:
            os.close(self._lock)


class _os_errors:  # noqa: N801 -- a context manager, read like a function
    """Turns `OSError` into `KeyStoreError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, OSError):
            raise KeyStoreError(
                f"{self._path}: {os.strerror(error.errno or 0)}",
                "its directory must be writable by the user of qgwd, mode 0700,"
                " and have room",
                retryable=passes(error),
            ) from error


def _prepare_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & _LOOSE:
        raise KeyStoreError(
            f"{directory}: others can enter the key store's directory (owner"
            f" {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o})",
            f"make it the daemon's own: chmod 0700 {directory}",
        )


def _take_lock(path: Path) -> int:
    """Lock a file beside the store: the kernel lets go of it even after kill -9."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.with_name(path.name + "-lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise KeyStoreError(
            f"{path}: another process has the key store open",
            "is qgwd already running? Look with: systemctl status qgwd",
            retryable=True,
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _prepare_file(path: Path) -> None:
    """Make the file 0600, or check the one that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise KeyStoreError(
            f"{path}: the key store is a link or no plain file",
            "put the file itself there, or name its true path in the configuration",
        )
    if found.st_uid != os.geteuid():
        raise KeyStoreError(
            f"{path}: the key store belongs to user {found.st_uid},"
            f" the daemon is {os.geteuid()}",
            f"give it to the daemon's user: chown USER {path}",
        )
    if mode & _LOOSE:
        raise KeyStoreError(
            f"{path}: others may read the key store (mode {mode:04o})",
            f"chmod 0600 {path}; who could read it may hold a copy of the sealed keys",
        )


def _connect(path: Path) -> sqlite3.Connection:
    with translated():
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting).fetchall()
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            # Touching the file takes the exclusive lock now, not at the first key.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
    if mode != "wal":
        connection.close()
        raise KeyStoreError(
            f"{path}: SQLite cannot keep a write-ahead log here (mode {mode})",
            "put the key store on a local file system",
        )
    return connection
