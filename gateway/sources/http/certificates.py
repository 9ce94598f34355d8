"""The certificate files of a link, read and checked before OpenSSL has them."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from gateway.config.private_files import read_private_file, read_trusted_file
from gateway.errors import IdentityError, SourceFault
from gateway.sources.http.trouble import Trouble

MAX_PEM_SIZE = 256 * 1024
"""Bytes of a PEM file: some 100 CAs."""


_ML_DSA = "2.16.840.1.101.3.4.3."
"""Its object identifiers end in 17, 18 or 19 (RFC 9881, 2)."""

_ML_DSA_WHOLE = re.compile(
    rb"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03[\x11-\x13]\x04\x82..\x30", re.DOTALL
)
"""A private key of ML-DSA whose octets are a sequence: seed and key (RFC 9881, 6)."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Our certificate with its chain and private key, checked to belong together.

    Attributes:
        chain_pem: The certificates, PEM, ours first.
        key_pem: The private key, PEM; not in `repr`.
        certificate: Ours.
    """

    chain_pem: bytes
    key_pem: "_Hidden"
    certificate: x509.Certificate

    @property
    def expires(self) -> datetime:
        """When our certificate ends, in UTC."""
        return self.certificate.not_valid_after_utc


class _Hidden:
    """Bytes that no repr shows."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<SECRET>"


def credentials_trouble(message: str, hint: str = "") -> Trouble:
    """Return what is raised when our own files are wrong; nothing was sent."""
    return Trouble(SourceFault.CREDENTIALS, message, hint, is_carried_out=False)


def load_ca(path: Path) -> tuple[x509.Certificate, ...]:
    """Read the CAs that a KME is checked against.

    Raises:
        Trouble: ``CREDENTIALS``: the file cannot be read, others may write it, or it
            holds no certificate.
    """
    pem = _read(read_trusted_file, path)
    return _certificates(pem, path)


def load_client_certificate(certificate: Path, private_key: Path) -> ClientCertificate:
    """Read our certificate and its private key.

    Raises:
        Trouble: ``CREDENTIALS``: a file cannot be read, others may read the key, it is
            encrypted, or the two don't belong together.
    """
    chain_pem = _read(read_trusted_file, certificate)
    first = _certificates(chain_pem, certificate)[0]
    key_pem = _Hidden(_read(read_private_file, private_key))
    if is_ml_dsa(first) and _ML_DSA_WHOLE.search(_der_of(key_pem)):
        # OpenSSL's own form, seed and key together, which it alone reads: it compares
        # the two when it loads them.
        return ClientCertificate(chain_pem, key_pem, first)
    key_public = _public_bytes_of(key_pem, private_key)
    ours = first.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    if key_public != ours:
        raise credentials_trouble(
            f"{private_key} is not the private key of {certificate}",
            "the key was renewed without the certificate, or the other way round",
        )
    return ClientCertificate(chain_pem, key_pem, first)


def is_ml_dsa(certificate: x509.Certificate) -> bool:
    """Whether a certificate's key is one of ML-DSA (FIPS 204; RFC 9881)."""
    return certificate.public_key_algorithm_oid.dotted_string.startswith(_ML_DSA)


def _der_of(pem: _Hidden) -> bytes:
    lines = [line for line in pem.value.splitlines() if b"-" not in line]
    try:
        return base64.b64decode(b"".join(lines))
    except ValueError:
        return b""


def _read(reader: Callable[[Path, int], bytes], path: Path) -> bytes:
    try:
        return reader(path, MAX_PEM_SIZE)
    except IdentityError as error:
        refused = credentials_trouble(error.message, error.hint)
    raise refused


def _certificates(pem: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    certificates: list[x509.Certificate] = []
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        certificates = []
    if not certificates:
        raise credentials_trouble(
            f"{path} holds no certificate in PEM form",
            "convert it with: openssl x509 -in FILE -out FILE.pem",
        )
    return tuple(certificates)


def _public_bytes_of(pem: _Hidden, path: Path) -> bytes:
    problem, hint = "", ""
    try:
        key = load_pem_private_key(pem.value, None)
        return key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    except TypeError:
        problem = f"the private key in {path} is encrypted"
        hint = "the daemon has nobody to ask: store it in clear, mode 0600, or as a "
        hint += "systemd credential"
    except (ValueError, UnsupportedAlgorithm):
        problem = f"{path} holds no private key in PEM form"
        hint = "convert it with: openssl pkey -in FILE -out FILE.pem; a key of ML-DSA "
        hint += "with: -provparam ml-dsa.output_formats=seed-only"
    raise credentials_trouble(problem, hint)
