"""Identity and rights of the user at the other end of a Unix socket."""

import errno
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)
"""Linux 4.13 (include/uapi/asm-generic/socket.h); the socket module lacks the name."""

_UCRED = struct.Struct("=iII")
"""pid, uid, gid: ``struct ucred`` of unix(7)."""

_GROUPS_SIZE = 1024
"""Bytes: the most that Python's getsockopt takes, room for 256 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as the kernel recorded it at connect(2).

    Attributes:
        pid: Its process id, for the log.
        uid: Its effective user.
        groups: Its effective group and all its supplementary groups.
    """

    pid: int
    uid: int
    groups: frozenset[int]


def read_peer(connection: socket.socket) -> Peer:
    """Ask the kernel who connected.

    The kernel's own list of groups is asked, not the group database: it cannot
    block the event loop, and it is what the socket's file mode was checked against.

    Raises:
        OSError: The socket is not a connected Unix socket.
    """
    pid, uid, gid = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return Peer(pid, uid, frozenset((gid, *_read_groups(connection, uid, gid))))


def _read_groups(connection: socket.socket, uid: int, gid: int) -> Iterable[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_SIZE)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        # More than 256 groups: only the group database can tell.
        return _look_up_groups(uid, gid)
    return struct.unpack(f"={len(raw) // 4}I", raw)


def _look_up_groups(uid: int, gid: int) -> Iterable[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return ()


def is_privileged(peer: Peer) -> bool:
    """Whether this is root or the daemon's own user."""
    return peer.uid in (0, os.geteuid())


def name_user(uid: int) -> str:
    """Return a user as a log names it; looking the name up may block."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except (KeyError, OSError):
        return f"uid {uid}"


def find_group(name: str) -> int | None:
    """Return the id of a group, or None when there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
