"""Local names that only root and this process's own user can take.

A Unix socket is found by its name. Whoever can write its folder can rename the socket
and listen in its place, and is then told what was meant for another process. So the
folder is looked at, the socket's file, and who listens behind it: each must belong to
root or to our own user.
"""

import os
import socket
import stat
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

_UCRED: Final = struct.Struct("=iII")
"""pid, uid, gid: ``struct ucred`` of unix(7)."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class NameTakenError(Exception):
    """Raised when a name is not, or need not stay, that of root or our own user.

    Attributes:
        hint: What an operator can do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def trusted_users() -> frozenset[int]:
    """Return the users that may hold a name: root and our own."""
    return frozenset({0, os.geteuid()})


def check_folder(folder: Path, *, users: Collection[int] | None = None) -> None:
    """See that nobody else can make, rename or remove names in a folder.

    Each folder above it counts as well; a sticky one, where names can be removed by
    their owners alone, will do there.

    Args:
        folder: The folder; symbolic links are followed.
        users: Who may own it; root and our own user by default.

    Raises:
        NameTakenError: Somebody else can.
        OSError: It cannot be looked at.
    """
    allowed = trusted_users() if users is None else users
    real = Path(os.path.realpath(folder))
    for place in (real, *real.parents):
        found = place.stat()
        loose = found.st_mode & _OTHERS_WRITE
        if place != real and found.st_mode & stat.S_ISVTX:
            loose = 0
        if loose or found.st_uid not in allowed:
            mode = stat.S_IMODE(found.st_mode)
            raise NameTakenError(
                f"others than the daemon's user can write {place} (owner "
                f"{found.st_uid}, mode {mode:04o})",
                f"make it the daemon's own: chown qgw: {place}; chmod 0700 {place}",
            )


def check_socket(path: Path) -> None:
    """See that a socket's file, and its folder, belong to root or our own user.

    Raises:
        NameTakenError: They do not.
        OSError: It cannot be looked at.
    """
    check_folder(path.parent)
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in trusted_users():
        raise NameTakenError(
            f"{path} is no socket of the daemon's user (owner {found.st_uid})",
            f"find out who made it, and remove it: ls -l {path}",
        )


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end of a Unix socket, as of its connecting.

    Raises:
        OSError: It is not connected.
    """
    pid, uid, _ = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return int(pid), int(uid)


def check_listener(
    connection: socket.socket, *, users: Collection[int] | None = None
) -> None:
    """See that root or our own user listens at the other end of a Unix socket.

    The kernel noted it at listen(2), so that renaming a file changes nothing.

    Args:
        connection: A connected Unix stream socket.
        users: Who may listen; root and our own user by default.

    Raises:
        NameTakenError: Somebody else does.
        OSError: It is not connected.
    """
    pid, uid = peer_of(connection)
    if uid not in (trusted_users() if users is None else users):
        raise NameTakenError(
            f"process {pid} of user {uid} listens at {connection.getpeername()}",
            f"find out what it is, and end it: ps -fp {pid}",
        )
