"""The secret that both ends of a simulated link share, in a file.

One line: ``qgw-sim-seed`` and 32 bytes in base64. It stands for the whole quantum link:
who reads it knows every key.
"""

import base64
import binascii
import os
from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.secret_files import read_secret_file, write_secret_file
from gateway.secret import Secret

SEED_SIZE = 32
"""Bytes, as many as each key derived from it."""

MAX_FILE_SIZE = 256
"""Bytes read at most: the line has 57."""

_MARK = b"qgw-sim-seed "


def create_seed(path: Path) -> None:
    """Write a new random seed, mode 0600; copy it to the other end by a safe way.

    Raises:
        KeyStoreError: The file is there already, or cannot be written.
    """
    encoded = base64.b64encode(os.urandom(SEED_SIZE))
    write_secret_file(path, _MARK + encoded + b"\n")


def load_seed(path: Path) -> Secret:
    """Read a seed.

    Raises:
        KeyStoreError: The file is missing, readable by others, or malformed.
    """
    line = read_secret_file(path, MAX_FILE_SIZE)
    seed = b""
    if line.startswith(_MARK):
        try:
            seed = base64.b64decode(line.removeprefix(_MARK).strip(), validate=True)
        except (binascii.Error, ValueError):
            seed = b""
    # Raised outside `except`, so that no traceback drags the line along.
    if len(seed) != SEED_SIZE:
        raise KeyStoreError(
            f"{path} is no seed of a simulated QKD link",
            "make one with: qgw keystore new-seed FILE, and copy it to the other end",
        )
    return Secret(seed)
