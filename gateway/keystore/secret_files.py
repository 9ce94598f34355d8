"""The key store's own secret files, held to the rules of all private files.

`gateway.config.private_files` has the rules; here its errors become the key store's.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.private_files import (
    PRIVATE_MODE,
    read_private_file,
    write_new_file,
)
from gateway.errors import IdentityError, KeyStoreError


def read_secret_file(
    path: Path, limit: int, *, environ: Mapping[str, str] = os.environ
) -> bytes:
    """Read a small file that others must not read.

    Args:
        path: The file.
        limit: Most bytes it may have.
        environ: Where systemd names its folder of credentials.

    Raises:
        KeyStoreError: It is missing, open to others, not a plain file or too long.
    """
    try:
        return read_private_file(path, limit, environ=environ)
    except IdentityError as error:
        refused = KeyStoreError(error.message, error.hint)
    # Raised outside `except`, so that no traceback drags the other one along.
    raise refused


def write_secret_file(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, mode 0600, durably, or leave none.

    Raises:
        KeyStoreError: The file is there already, or cannot be written.
    """
    try:
        write_new_file(path, content, PRIVATE_MODE)
    except IdentityError as error:
        refused = KeyStoreError(error.message, error.hint)
    else:
        return
    raise refused
