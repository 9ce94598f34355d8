"""Small files that hold secrets or decide about trust, read and written with care.

A file is judged by the descriptor that was opened, never by its name, so that
nothing can be swapped between the look and the read.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import IdentityError

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644

_OTHERS = 0o077
_OTHERS_WRITE = 0o022

_CREDENTIAL_OTHERS = 0o007
"""systemd gives a service its credentials through an ACL, whose mask shows as group
bits (0440); nobody else can enter their folder."""


def read_private_file(
    path: Path, limit: int, *, environ: Mapping[str, str] = os.environ
) -> bytes:
    """Read a file that only its owner, or systemd's credential ACL, may open.

    Args:
        path: The file.
        limit: Most bytes it may have.
        environ: Where systemd names its folder of credentials.

    Raises:
        IdentityError: It is missing, open to others, not a plain file or too long.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    is_credential = bool(folder) and path.parent == Path(folder)
    refused = _CREDENTIAL_OTHERS if is_credential else _OTHERS
    return _read(
        path,
        limit,
        refused,
        "is open to others",
        f"run: chmod 600 {path}; if others may have read it, replace what it holds",
    )


def read_trusted_file(path: Path, limit: int) -> bytes:
    """Read a file that anybody may read, but only its owner may write.

    Args:
        path: The file.
        limit: Most bytes it may have.

    Raises:
        IdentityError: It is missing, writable by others, not plain or too long.
    """
    return _read(
        path,
        limit,
        _OTHERS_WRITE,
        "is writable by others",
        f"run: chmod go-w {path}; and check that it still holds what it should",
    )


def write_new_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not be there yet, durably, or leave none.

    Raises:
        IdentityError: It is there already, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Made closed and opened to its mode afterwards, whatever the umask is.
        descriptor = os.open(path, flags, PRIVATE_MODE)
    except FileExistsError:
        raise IdentityError(
            f"{path} is there already",
            "nothing is overwritten: choose another name, or move the old file away",
        ) from None
    except OSError as error:
        raise _cannot("write", path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _cannot("write", path, error) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, limit: int, refused: int, problem: str, hint: str) -> bytes:
    try:
        # Non-blocking, or a FIFO in its place would hold the reader for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _cannot("read", path, error) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise IdentityError(f"{path} is not a plain file", "name a file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_mode & refused:
            mode = stat.S_IMODE(found.st_mode)
            raise IdentityError(f"{path} {problem} (mode {mode:04o})", hint)
        # Root also looks after the files of the daemon's own user.
        if os.geteuid() not in (0, found.st_uid) and found.st_uid != 0:
            raise IdentityError(
                f"{path} belongs to another user (uid {found.st_uid})",
                "it must belong to root or to the user who reads it",
            )
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise _cannot("read", path, error) from None
    if len(content) > limit:
        raise IdentityError(f"{path} is longer than {limit} bytes", "name another file")
    return content


def _cannot(verb: str, path: Path, error: OSError) -> IdentityError:
    hint = "check the path and who may use it"
    if isinstance(error, FileNotFoundError) and verb == "write":
        hint = f"make the folder first: mkdir -p {path.parent}"
    return IdentityError(
        f"cannot {verb} {path}: {(error.strerror or 'an error').lower()}", hint
    )
