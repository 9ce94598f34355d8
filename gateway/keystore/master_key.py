"""The key store's master key: where it comes from and how one is made.

The file holds one line: 32 bytes in base64 (RFC 4648, with padding).
"""

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.sealing import MASTER_KEY_SIZE
from gateway.secret import Secret

CREDENTIAL_NAME = "master-key"
"""Name of the systemd credential, as in ``LoadCredential=master-key:PATH``."""

MAX_FILE_SIZE = 256
"""Bytes read at most: the line has 44, and editors add little."""

_MAKE_ONE = "make one with: qgw keystore new-master-key FILE"


def load_master_key(path: Path | None, environ: Mapping[str, str]) -> Secret:
    """Read the master key from a file or, with no path, from systemd.

    Args:
        path: A file that only its owner, this process's user, may read; or None.
        environ: The environment, where systemd puts ``CREDENTIALS_DIRECTORY``.

    Raises:
        KeyStoreError: There is none, it is readable by others, or malformed.
    """
    if path is not None:
        return _load(path, loose=0o077)
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise KeyStoreError(
            "there is no master key for the key store",
            "set master_key in gateway.toml, or LoadCredential=master-key:FILE in the"
            f" unit; {_MAKE_ONE}",
        )
    # systemd owns the directory and shares a credential through an ACL, whose mask
    # shows as group bits; nobody else can enter the directory.
    return _load(Path(directory) / CREDENTIAL_NAME, loose=0o007)


def create_master_key(path: Path) -> None:
    """Write a new random master key, mode 0600.

    Raises:
        KeyStoreError: The file is there already, or cannot be written.
    """
    line = base64.b64encode(os.urandom(MASTER_KEY_SIZE)) + b"\n"
    write_secret_file(path, line)


def write_secret_file(path: Path, content: bytes) -> None:
    """Write a file that did not exist before, mode 0600, durably.

    Raises:
        KeyStoreError: The file is there already, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeyStoreError(
            f"{path} is there already",
            "it is not overwritten, for what it protects would be lost",
        ) from None
    except OSError as error:
        raise KeyStoreError(f"{path}: {os.strerror(error.errno or 0)}") from None


def read_secret_file(path: Path, *, loose: int, limit: int) -> bytes:
    """Read a small file that others must not read.

    Args:
        path: The file; not a symbolic link.
        loose: Permission bits that must not be set.
        limit: Most bytes it may have.

    Raises:
        KeyStoreError: It is missing, unsafe or too long.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise KeyStoreError(
            f"{path}: {os.strerror(error.errno or 0)}",
            "it must be a plain file that the user of qgwd may read; new ones come from"
            " qgw keystore new-master-key and new-seed",
        ) from None
    try:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise KeyStoreError(f"{path} is no plain file", "name the file itself")
        if mode & loose or found.st_uid not in {0, os.geteuid()}:
            raise KeyStoreError(
                f"{path}: others may read it (owner {found.st_uid}, mode {mode:04o})",
                f"chmod 0600 {path}, let it belong to the user of qgwd; if anyone"
                " read it, replace it",
            )
        content = os.read(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise KeyStoreError(f"{path} is longer than {limit} bytes")
    return content


def _load(path: Path, *, loose: int) -> Secret:
    line = read_secret_file(path, loose=loose, limit=MAX_FILE_SIZE)
    key = b""
    try:
        key = base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        malformed = True
    else:
        malformed = len(key) != MASTER_KEY_SIZE
    # Raised outside `except`, so that no traceback drags the line along.
    if malformed:
        raise KeyStoreError(
            f"{path} does not hold {MASTER_KEY_SIZE} bytes in base64", _MAKE_ONE
        )
    return Secret(key)
