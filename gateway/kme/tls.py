"""TLS of the KME: contexts, and whom a client's certificate shows.

ETSI GS QKD 014 V1.1.1, 5.1: HTTPS with TLS 1.2 or higher and mutual authentication. A
client without a certificate gets through the handshake and is answered 401, as the
standard has it, before anything else of its request is looked at; one whose certificate
no CA of ours issued does not get that far.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gateway.config.private_files import read_private_file, read_trusted_file
from gateway.errors import IdentityError, KMEError
from gateway.kme.pki import SAE_URI

MAX_PEM_SIZE: Final = 1 << 20
"""Bytes; a bundle of some 500 CAs."""


def server_context(certificate: Path, private_key: Path, ca: Path) -> ssl.SSLContext:
    """Make the context of the server.

    Raises:
        KMEError: A file is missing, unsafe or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Asked for, not insisted on: who has none is told so in HTTP, by 401.
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would skip the check of the certificate, and outlive a reload.
    context.num_tickets = 0
    context.options |= (
        ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    )
    return _loaded(context, certificate, private_key, ca)


def client_context(certificate: Path, private_key: Path, ca: Path) -> ssl.SSLContext:
    """Make the context for calls to the peer KME, which checks its host name.

    Raises:
        KMEError: A file is missing, unsafe or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _loaded(context, certificate, private_key, ca)


def _loaded(
    context: ssl.SSLContext, certificate: Path, private_key: Path, ca: Path
) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    problem, hint, trusted = "", "", b""
    try:
        trusted = read_trusted_file(ca, MAX_PEM_SIZE)
        read_trusted_file(certificate, MAX_PEM_SIZE)
        read_private_file(private_key, MAX_PEM_SIZE)
    except IdentityError as error:
        problem, hint = error.message, error.hint
    if problem:
        # Raised outside `except`, so that no traceback drags a private key along.
        raise KMEError(problem, hint)
    try:
        context.load_verify_locations(cadata=trusted.decode("ascii"))
    except (ssl.SSLError, ValueError):
        problem = f"{ca} holds no CA certificates in PEM"
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError):
        problem = (
            f"{certificate} and {private_key} are no certificate and its private key"
            " in PEM"
        )
        hint = "the key must not be encrypted; mode 0600 keeps it"
    if problem:
        raise KMEError(problem, hint)
    return context


def _no_password() -> str:
    # Instead of a prompt on the terminal of the service.
    raise ValueError("the private key is encrypted")


def subject_of(certificate: Mapping[str, object] | None) -> str | None:
    """Return whom a verified certificate shows: its SAE ID or KME ID.

    That is its one common name. A URI ``sae:ID`` in its SAN, if there is one, must
    say the same; other names are not looked at.

    Args:
        certificate: As `ssl.SSLSocket.getpeercert` gives it.

    Returns:
        The ID, or None if there is no certificate or it shows nobody.
    """
    if not certificate:
        return None
    names = [
        value
        for rdn in _pairs_of_pairs(certificate.get("subject"))
        for key, value in rdn
        if key == "commonName"
    ]
    if len(names) != 1 or not names[0] or not names[0].isprintable():
        return None
    for kind, value in _pairs(certificate.get("subjectAltName")):
        is_sae = kind == "URI" and value.lower().startswith(SAE_URI)
        if is_sae and unquote(value[len(SAE_URI) :]) != names[0]:
            return None
    return names[0]


def _pairs_of_pairs(value: object) -> list[list[tuple[str, str]]]:
    return [_pairs(rdn) for rdn in value] if isinstance(value, tuple) else []


def _pairs(value: object) -> list[tuple[str, str]]:
    entries = value if isinstance(value, tuple) else ()
    return [
        (str(entry[0]), str(entry[1]))
        for entry in entries
        if isinstance(entry, tuple) and len(entry) == 2  # noqa: PLR2004  # name, value
    ]
