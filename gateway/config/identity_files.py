"""Identity and PSK files: who may read them, and what is in them."""

import base64
import binascii
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.private_files import (
    PRIVATE_MODE,
    PUBLIC_MODE,
    read_private_file,
    read_trusted_file,
    write_new_file,
)
from gateway.crypto.identity import (
    MAX_TEXT_SIZE,
    PrivateIdentity,
    PublicIdentity,
    parse_private,
    parse_public,
)
from gateway.errors import IdentityError
from gateway.secret import Secret

PSK_SIZE = 32
"""Bytes of a static PSK, as WireGuard's."""

MAX_PSK_FILE = 256
"""Bytes read at most: the line has 44, and editors add little."""

_PRIVATE_START = b"-----BEGIN QGW PRIVATE"


def write_private_identity(path: Path, text: str) -> None:
    """Write a private identity file, mode 0600, that must not be there yet.

    Raises:
        IdentityError: It is there already, or cannot be written.
    """
    write_new_file(path, text.encode(), PRIVATE_MODE)


def write_public_identity(path: Path, text: str) -> None:
    """Write a public identity file, mode 0644, that must not be there yet.

    Raises:
        IdentityError: It is there already, or cannot be written.
    """
    write_new_file(path, text.encode(), PUBLIC_MODE)


def load_private_identity(
    path: Path, provider: str = "openssl", *, environ: Mapping[str, str] = os.environ
) -> PrivateIdentity:
    """Read this gateway's own identity.

    Args:
        path: The file; only its owner may have access.
        provider: Where ML-KEM comes from.
        environ: Where systemd names its folder of credentials.

    Raises:
        IdentityError: Missing, open to others, truncated, or of another kind.
        CryptoError: The KEM provider cannot serve its suite.
    """
    data = read_private_file(path, MAX_TEXT_SIZE, environ=environ)
    text = _decode_text(path, data)
    failure: IdentityError | None = None
    try:
        return parse_private(text, provider)
    except IdentityError as error:
        failure = _at(path, error)
    # Raised outside `except`, so that no traceback drags the private text along.
    raise failure


def load_public_identity(path: Path) -> PublicIdentity:
    """Read a peer's identity.

    Args:
        path: The file; only its owner may write it, since it decides who is let in.

    Raises:
        IdentityError: Missing, writable by others, truncated, or of another kind.
    """
    text = _decode_text(path, read_trusted_file(path, MAX_TEXT_SIZE))
    try:
        return parse_public(text)
    except IdentityError as error:
        raise _at(path, error) from error


def load_identity(path: Path) -> tuple[str, PublicIdentity]:
    """Read an identity file of either kind; return the kind and the public part.

    Raises:
        IdentityError: As `load_private_identity` or `load_public_identity`.
    """
    if read_trusted_file(path, MAX_TEXT_SIZE).startswith(_PRIVATE_START):
        return "private", load_private_identity(path).public
    return "public", load_public_identity(path)


def load_psk(path: Path, *, environ: Mapping[str, str] = os.environ) -> Secret:
    """Read a static PSK: one line, 32 bytes in base64, as ``wg genpsk`` writes it.

    Args:
        path: The file; only its owner may have access.
        environ: Where systemd names its folder of credentials.

    Raises:
        IdentityError: Missing, open to others, or not 32 bytes in base64.
    """
    line = read_private_file(path, MAX_PSK_FILE, environ=environ)
    psk = b""
    # Refused below, outside of any `except`: no traceback may drag the line along.
    with contextlib.suppress(binascii.Error, ValueError):
        psk = base64.b64decode(line.strip(), validate=True)
    if len(psk) != PSK_SIZE:
        raise IdentityError(
            f"{path} does not hold {PSK_SIZE} bytes in base64",
            f"make one: (umask 077; openssl rand -base64 {PSK_SIZE} > FILE)",
        )
    return Secret(psk)


def _decode_text(path: Path, data: bytes) -> str:
    if not data.isascii():
        raise IdentityError(
            f"{path}: not an identity file",
            "make one with: qgw identity new; or ask the peer for its public file",
        )
    return data.decode("ascii")


def _at(path: Path, error: IdentityError) -> IdentityError:
    return IdentityError(f"{path}: {error.message}", error.hint)
