"""The key store's master key: where it comes from and how one is made.

The file holds one line: 32 bytes in base64 (RFC 4648, with padding).
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.sealing import MASTER_KEY_SIZE
from gateway.keystore.secret_files import read_secret_file, write_secret_file
from gateway.secret import Secret

CREDENTIAL_NAME = "master-key"
"""Name of the systemd credential, as in ``LoadCredential=master-key:PATH``."""

MAX_FILE_SIZE = 256
"""Bytes read at most: the line has 44, and editors add little."""

_MAKE_ONE = "make one with: qgw keystore new-master-key FILE"


def load_master_key(path: Path | None, environ: Mapping[str, str]) -> Secret:
    """Read the master key from a file or, with no path, from systemd.

    Args:
        path: A file that only its owner may read, or None.
        environ: The environment, where systemd puts ``CREDENTIALS_DIRECTORY``.

    Raises:
        KeyStoreError: There is none, it is readable by others, or malformed.
    """
    if path is not None:
        return _load(path, environ)
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise KeyStoreError(
            "there is no master key for the key store",
            "set master_key in gateway.toml, or LoadCredential=master-key:FILE in the"
            f" unit; {_MAKE_ONE}",
        )
    return _load(Path(directory) / CREDENTIAL_NAME, environ)


def create_master_key(path: Path) -> None:
    """Write a new random master key, mode 0600.

    Raises:
        KeyStoreError: The file is there already, or cannot be written.
    """
    line = base64.b64encode(os.urandom(MASTER_KEY_SIZE)) + b"\n"
    write_secret_file(path, line)


def _load(path: Path, environ: Mapping[str, str]) -> Secret:
    line = read_secret_file(path, MAX_FILE_SIZE, environ=environ)
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
