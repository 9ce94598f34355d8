"""A socket that one process keeps and others borrow, one at a time.

The keeper does nothing with the socket but hold it; so what the kernel ties to its life
outlives every borrower. A borrower holds a lock on the folder (flock(2)) meanwhile: the
kernel takes it back when the borrower dies, and the keeper's death does not touch it.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "lend.sock"
"""In a folder that only root and the keeper's user may enter."""

PATIENCE: Final = 3.0
"""Seconds to wait for the last borrower to be gone, and for the keeper to answer."""

_PAUSE: Final = 0.02
"""Seconds between two attempts to lock."""

_SEND_TIMEOUT: Final = 1.0
"""Seconds; one byte always fits, so only a broken peer needs longer."""

_UCRED: Final = struct.Struct("=iII")
"""pid, uid, gid: ``struct ucred`` of unix(7)."""

_SO_NETNS_COOKIE: Final = 71
"""Linux 5.14 (include/uapi/asm-generic/socket.h); the socket module lacks it."""


@dataclass(frozen=True, slots=True)
class Loan:
    """What was borrowed.

    Attributes:
        socket: A copy of the keeper's socket.
        lock: Descriptor of the lock that shuts others out.
    """

    socket: socket.socket
    lock: int

    def close(self) -> None:
        """Give it back; the keeper's own copy stays open."""
        self.socket.close()
        os.close(self.lock)


class Lender:
    """Hands copies of one socket to root and to processes of its own user."""

    def __init__(self, folder: Path, kept: socket.socket) -> None:
        """Listen in the folder.

        Raises:
            OSError: The folder is missing or closed to us, or another keeper lends
                there: who took its name would leave it alone with what it keeps.
        """
        self._kept = kept
        path = folder / SOCKET_NAME
        if _answers(path):
            raise OSError(errno.EADDRINUSE, "another keeper lends there")
        with suppress(FileNotFoundError):
            path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()

    def close(self) -> None:
        """Lend no more."""
        self._listener.close()

    def serve(self) -> None:
        """Answer one process.

        Raises:
            OSError: The listening socket failed.
        """
        connection, _ = self._listener.accept()
        # A borrower that is gone again is its own affair.
        with connection, suppress(OSError):
            connection.settimeout(_SEND_TIMEOUT)
            raw = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size
            )
            _, uid, _ = _UCRED.unpack(raw)
            if uid in {0, os.geteuid()}:
                socket.send_fds(connection, [b"\0"], [self._kept.fileno()])


def _answers(path: Path) -> bool:
    """Whether a process listens at a path; one that hangs does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(0)
        try:
            asking.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full
        except OSError:
            return False
        else:
            return True


def borrow(
    folder: Path, like: socket.socket, patience: float = PATIENCE
) -> Loan | None:
    """Borrow what is kept in the folder.

    Args:
        folder: The keeper's.
        like: A socket of the same family, protocol and network namespace as the one
            to borrow must have: a keeper of another namespace is none of ours.
        patience: Seconds to wait.

    Returns:
        None if there is no keeper, if it does not answer, keeps something else, or
        if another process has what it keeps.
    """
    ends_at = time.monotonic() + patience
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    found = _ask(folder, ends_at)
    if found is None or not _is_like(found, like) or not _locked(lock, ends_at):
        if found is not None:
            found.close()
        os.close(lock)
        return None
    _drain(found)
    return Loan(found, lock)


def _ask(folder: Path, ends_at: float) -> socket.socket | None:
    """Return what is kept; wait for a keeper that is just being started again."""
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(max(ends_at - time.monotonic(), _PAUSE))
            try:
                connection.connect(str(folder / SOCKET_NAME))
                _, descriptors, _, _ = socket.recv_fds(
                    connection, 1, 1, socket.MSG_CMSG_CLOEXEC
                )
            except (FileNotFoundError, ConnectionError):
                if time.monotonic() > ends_at:
                    return None
            except OSError:
                return None
            else:
                return socket.socket(fileno=descriptors[0]) if descriptors else None
        time.sleep(_PAUSE)


def _locked(lock: int, ends_at: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                return False
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            return True


def _is_like(found: socket.socket, like: socket.socket) -> bool:
    def cookie(each: socket.socket) -> bytes:
        return each.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)

    try:
        same_network = cookie(found) == cookie(like)
    except OSError:
        return False
    return same_network and (found.family, found.proto) == (like.family, like.proto)


def _drain(found: socket.socket) -> None:
    """Throw away what the kernel answered to a borrower that died meanwhile."""
    while select.select([found], [], [], 0)[0]:
        with suppress(OSError):  # ENOBUFS: more was answered than found room
            found.recv(1, socket.MSG_DONTWAIT)
