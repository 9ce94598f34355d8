"""TLS with a pre-shared key, for SKIP (draft-cisco-skip, table 1).

Needs Python 3.13 (`ssl.SSLContext.set_psk_client_callback`). docs/adr/0112 says why TLS
1.2 with (EC)DHE-PSK and no other.
"""

import binascii
import ssl
from pathlib import Path
from typing import Any

from gateway.config.private_files import read_private_file
from gateway.errors import IdentityError
from gateway.secret import Secret
from gateway.sources.http.certificates import credentials_trouble

MIN_PSK_SIZE = 16
"""Bytes: 128 bits, the least that is not guessed."""

MAX_PSK_SIZE = 64
"""Bytes: more adds nothing to SHA-384."""

MAX_IDENTITY = 128
"""Bytes of a PSK identity; OpenSSL takes at most 128 (RFC 4279, 5.3)."""

SUITES = (
    "ECDHE-PSK-AES256-CBC-SHA384:DHE-PSK-AES256-GCM-SHA384:"
    "DHE-PSK-AES256-CBC-SHA384:DHE-PSK-AES256-CCM"
)
"""Those with a fresh Diffie-Hellman: a PSK that leaks later opens no recording."""

_MAX_FILE_SIZE = 1024


def load_psk(path: Path) -> Secret:
    """Read a TLS-PSK: one line, hexadecimal, in a file that only its owner may read.

    Raises:
        Trouble: ``CREDENTIALS``: missing, unsafe or malformed.
    """
    problem, hint, text = "", "", b""
    try:
        text = read_private_file(path, _MAX_FILE_SIZE)
    except IdentityError as error:
        problem, hint = error.message, error.hint
    if problem:
        raise credentials_trouble(problem, hint)
    psk = b""
    try:
        psk = binascii.unhexlify(text.strip())
    except ValueError:
        psk = b""
    if not MIN_PSK_SIZE <= len(psk) <= MAX_PSK_SIZE:
        text = b""
        raise credentials_trouble(
            f"{path} holds no TLS-PSK",
            f"one line of hexadecimal, {MIN_PSK_SIZE} to {MAX_PSK_SIZE} bytes: "
            "openssl rand -hex 32",
        )
    return Secret(psk)


def psk_context(identity: str, psk: Secret) -> ssl.SSLContext:
    """Build a context that accepts only a server that knows the PSK.

    Raises:
        Trouble: ``CREDENTIALS``: this Python or its OpenSSL has no TLS-PSK.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    set_callback: Any = getattr(context, "set_psk_client_callback", None)
    if set_callback is None or not getattr(ssl, "HAS_PSK", False):
        raise credentials_trouble(
            "this Python has no TLS-PSK",
            "run the daemon with Python 3.13 or later, or use certificates "
            "(ca, certificate, private_key) instead of psk_file",
        )
    if not 0 < len(identity.encode()) <= MAX_IDENTITY:
        raise credentials_trouble(
            f"psk_identity has more than {MAX_IDENTITY} bytes, or none",
            "use the identity that the key provider was given",
        )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    # Certificates stay required, and no CA is known: a server that offers one instead
    # of the PSK is refused.
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    context.set_ciphers(SUITES)
    set_callback(lambda _hint: (identity, psk.expose()))
    return context
