"""The secret that both ends of a simulated link share, in a file.

One line: ``qgw-kme-seed`` and 32 bytes in base64. It stands for the whole quantum link:
who reads it knows every key, so it is mode 0600 and copied by a safe way.
"""

import base64
import binascii
import os
from pathlib import Path

from gateway.config.private_files import (
    PRIVATE_MODE,
    read_private_file,
    write_new_file,
)
from gateway.errors import IdentityError, KMEError
from gateway.secret import Secret

SEED_SIZE = 32
"""Bytes: 256 bits, as strong as each key derived from it."""

MAX_FILE_SIZE = 256
"""Bytes read at most: the line has 58."""

_MARK = b"qgw-kme-seed "


def create_seed() -> bytes:
    """Return the content of a new seed file."""
    return _MARK + base64.b64encode(os.urandom(SEED_SIZE)) + b"\n"


def write_seed(path: Path, content: bytes) -> None:
    """Write a seed file, mode 0600.

    Raises:
        KMEError: The file is there already, or cannot be written.
    """
    try:
        write_new_file(path, content, PRIVATE_MODE)
    except IdentityError as error:
        refused = KMEError(error.message, error.hint)
    else:
        return
    # Raised outside `except`, so that no traceback drags the other one along.
    raise refused


def load_seed(path: Path) -> Secret:
    """Read a seed.

    Raises:
        KMEError: The file is missing, readable by others, or malformed.
    """
    line, refused = b"", None
    try:
        line = read_private_file(path, MAX_FILE_SIZE)
    except IdentityError as error:
        refused = KMEError(error.message, error.hint)
    if refused is not None:
        raise refused
    seed = b""
    if line.startswith(_MARK):
        try:
            seed = base64.b64decode(line.removeprefix(_MARK).strip(), validate=True)
        except (binascii.Error, ValueError):
            seed = b""
    # Raised outside `except`, so that no traceback drags the line along.
    if len(seed) != SEED_SIZE:
        raise KMEError(
            f"{path} is no seed of a simulated link",
            "make one with: qgw-kme init DIR, and give both KMEs the same",
        )
    return Secret(seed)
