"""The control socket's file: ours alone, never somebody else's.

Invariants:

* At no instant is the file open to more users than it should be.
* A file that is not a socket is never removed; nor is a socket somebody listens on.
* Of two daemons that start at once one gets the socket and the other an error: a
  lock beside it is held for as long as the socket is.
"""

import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

from gateway.control.schema import ErrorCode
from gateway.errors import ControlError, passes

ROOT_ONLY_MODE = 0o600
GROUP_MODE = 0o660

MAX_PATH = 107
"""Bytes of ``sun_path`` without its closing zero (unix(7))."""

_PROBE_TIMEOUT = 1.0
"""Seconds; a listener's kernel answers connect at once, unless its backlog is full."""


VIEW_NAME = "view.sock"


def view_path(control: Path) -> Path:
    """Return the socket of those who only look, beside that of those who steer."""
    return control.with_name(VIEW_NAME)


class SocketFile:
    """A bound, not yet listening Unix stream socket and the lock that guards it."""

    def __init__(self, path: Path, group_id: int | None) -> None:
        """Take the path.

        Args:
            path: Where; its folder must be there.
            group_id: Group that may connect, or None for the owner alone.

        Raises:
            ControlError: Another daemon listens there, or the file cannot be made.
        """
        self.path = path
        if len(os.fsencode(path)) > MAX_PATH:
            raise ControlError(
                f"{path}: path of the control socket is longer than {MAX_PATH} bytes",
                "choose a shorter control socket path in the configuration",
                retryable=False,
            )
        try:
            self._lock = _take_lock(path)
        except OSError as error:
            raise _cannot_make(path, error) from error
        try:
            _remove_stale(path)
            self.socket = _bind(path, group_id)
        except OSError as error:
            os.close(self._lock)
            raise _cannot_make(path, error) from error
        except BaseException:
            os.close(self._lock)
            raise
        made = path.lstat()
        self._made = (made.st_dev, made.st_ino)

    def remove(self) -> None:
        """Remove the file if it is still the one made here, and give up the lock."""
        self.socket.close()
        try:
            now = self.path.lstat()
            if (now.st_dev, now.st_ino) == self._made:
                self.path.unlink()
        except OSError:
            # Gone already, or its folder is: there is nothing left to clean.
            pass
        finally:
            os.close(self._lock)


def _take_lock(path: Path) -> int:
    # The lock's file stays when the daemon ends: removing it would let two daemons
    # hold locks on two files of the same name.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(path.with_name(path.name + ".lock"), flags, ROOT_ONLY_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise _in_use(path) from None
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(
            f"{path} is there and is not a socket",
            "move it away, or choose another control socket path",
            retryable=False,
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens and is busy
    raise _in_use(path)


def _bind(path: Path, group_id: int | None) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the mode of an unbound socket becomes that of its file, so the
        # file is never open to others, and the process's umask stays untouched.
        os.fchmod(made.fileno(), ROOT_ONLY_MODE)
        made.bind(str(path))
        if group_id is not None:
            os.chown(path, -1, group_id, follow_symlinks=False)
            path.chmod(GROUP_MODE)
    except BaseException:
        made.close()
        raise
    return made


def _in_use(path: Path) -> ControlError:
    return ControlError(
        f"another qgwd listens at {path}",
        "stop it (systemctl stop qgwd), or give this one its own control socket",
        code=ErrorCode.BUSY,
    )


def _cannot_make(path: Path, error: OSError) -> ControlError:
    hints = {
        errno.ENOENT: f"make the folder {path.parent} first (systemd: "
        "RuntimeDirectory=qgw)",
        errno.EACCES: f"{path.parent} must be writable for the daemon's user",
        errno.EPERM: "the daemon's user must be a member of the control group",
        errno.EROFS: f"{path.parent} must be writable (systemd: RuntimeDirectory=qgw)",
    }
    return ControlError(
        f"cannot make the control socket {path}: {error.strerror}",
        hints.get(error.errno or 0, "see docs/control.md"),
        retryable=passes(error),
    )
