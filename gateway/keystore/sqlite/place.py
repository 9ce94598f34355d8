"""The place of an open store's files: still theirs, and with room.

A database that is deleted while it is open goes on working: what is written goes to a
file without a name, and is gone at the next start. Marks of use among it would be
forgotten, and keys be used twice. So their names are looked at before a key is given
out, and again after its use was written, before it leaves.

Keys that come in must not take the last space: what is needed to record that keys were
used stays free.
"""

import errno
import os
import time
from pathlib import Path
from typing import Final

from gateway.errors import KeyStoreError, passes

RESERVE: Final = 8 << 20
"""Bytes that intake leaves free: SQLite's log grows to 1,000 pages of 4 KiB before it
starts over, which are some 300 uses, and the same may be written once more in place."""

RESERVE_SHARE: Final = 10
"""... but no more than this part of a small file system, or what its log holds now:
that is written once more, into the database."""

KEY_COST: Final = 1024
"""Bytes that a key takes at most on its way in: row, indices, both in the log again."""

PROVEN: Final = 1 << 20
"""Bytes beyond the reserve that are proven at once: for a thousand keys."""

PROVEN_FOR: Final = 60.0
"""Seconds for which a proof is believed: others may share the quota."""

_WITHOUT_NAMES: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT})
"""What file systems answer that have no files without a name: nothing is proven."""

_SUFFIXES: Final = ("", "-wal")
"""The database and its log: without it what was committed last is lost as well."""


class StorePlace:
    """The names of one open store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
        self._opened: list[tuple[int, int]] = []
        self._proven, self._proven_until = 0, 0.0

    def note(self) -> None:
        """Remember the files, once all of them are there.

        Raises:
            KeyStoreError: One is not.
        """
        self._opened = [self._identify(path) for path in self._paths]

    def check(self) -> None:
        """See that the files have their names still.

        They are not opened for that: closing them would let go of SQLite's locks.

        Raises:
            KeyStoreError: One was removed, or another one put in its place.
        """
        for path, opened in zip(self._paths, self._opened, strict=True):
            if self._identify(path) != opened:
                raise self._gone(path, "was replaced")

    def check_room(self, keys: int) -> int:
        """See that keys can come in, and that enough is left to record uses.

        Returns the bytes that are kept for that.

        Raises:
            KeyStoreError: There is not enough space.
        """
        try:
            found = os.statvfs(self._path.parent)
            log = self._paths[-1].stat().st_size
        except OSError as error:
            raise self._gone(self._path.parent, "cannot be looked at") from error
        free = found.f_bavail * found.f_frsize
        share = found.f_blocks * found.f_frsize // RESERVE_SHARE
        reserve = min(RESERVE, max(share, log))
        if free < reserve + keys * KEY_COST:
            raise KeyStoreError(
                f"no keys are taken in: the disk of the key store has {free >> 10} KiB "
                f"left, of which {reserve >> 10} KiB are kept for recording uses",
                f"free some space: df {self._path.parent}",
                retryable=True,
            )
        return reserve

    def prove_room(self, keys: int) -> None:
        """As `check_room`, and take the space for a moment.

        A quota, of a user, a project or a subvolume, shows in no other way: a file
        system has room for others that we may not use.

        Raises:
            KeyStoreError: There is not enough space, or it is not ours.
        """
        reserve, need, now = self.check_room(keys), keys * KEY_COST, time.monotonic()
        if need <= self._proven and now < self._proven_until:
            self._proven -= need
            return
        folder, more = self._path.parent, max(need, PROVEN)
        refusal = _refusal_of(folder, reserve + more)
        if refusal and more > need:
            more, refusal = need, _refusal_of(folder, reserve + need)
        self._proven, self._proven_until = more - need, now + PROVEN_FOR
        if refusal:
            raise KeyStoreError(
                f"no keys are taken in: {reserve >> 10} KiB are kept for recording "
                f"uses, and the disk of the key store does not give them: {refusal}",
                f"raise the quota of qgwd's user, or free some space: df {folder}",
                retryable=True,
            )

    def _identify(self, path: Path) -> tuple[int, int]:
        try:
            found = path.lstat()
        except FileNotFoundError:
            raise self._gone(path, "was removed") from None
        except OSError as error:
            raise KeyStoreError(
                f"{path}: {os.strerror(error.errno or 0)}", retryable=passes(error)
            ) from None
        return found.st_dev, found.st_ino

    @staticmethod
    def _gone(path: Path, what: str) -> KeyStoreError:
        return KeyStoreError(
            f"{path} {what} while qgwd had it open: no key is used, for its use would "
            "be forgotten",
            "put it back if it was moved; else restart qgwd, which begins a new store, "
            "and fill both ends anew with keys that neither has seen",
            retryable=True,
        )


def _refusal_of(folder: Path, size: int) -> str:
    """Allocate a file without a name; return why that cannot be, empty if it can."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        is_unknown = error.errno in _WITHOUT_NAMES
        return "" if is_unknown else os.strerror(error.errno or 0).lower()
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    finally:
        os.close(descriptor)
    return ""
