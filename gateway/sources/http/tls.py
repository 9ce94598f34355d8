"""The TLS contexts of a link: built from its own files, and from nothing else.

`ssl.create_default_context` is not used: it reads ``SSL_CERT_FILE``, ``SSL_CERT_DIR``
and ``SSLKEYLOGFILE`` from the environment. docs/adr/0112 has the reasons for the rest.
"""

import os
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config.model import KMEConfig
from gateway.sources.http.certificates import (
    ClientCertificate,
    credentials_trouble,
    is_ml_dsa,
    load_ca,
    load_client_certificate,
)
from gateway.sources.http.tls_psk import load_psk, psk_context
from gateway.sources.http.tls_session import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class TLSMaterial:
    """What a link's files gave.

    Attributes:
        context: For connections to its KMEs.
        expires: When our certificate ends, or None with a PSK.
        certificate: Ours, or None with a PSK.
        authorities: The CAs, none with a PSK.
        sessions: What handshakes made with `context` showed.
    """

    context: ssl.SSLContext
    sessions: Sessions
    expires: datetime | None = None
    certificate: x509.Certificate | None = None
    authorities: tuple[x509.Certificate, ...] = ()


def load_tls(config: KMEConfig) -> TLSMaterial:
    """Read the link's files and build a TLS context of them; blocks on the disk.

    Raises:
        Trouble: ``CREDENTIALS``: a file is missing, unsafe, malformed, or they don't
            belong together.
    """
    if config.psk_file is not None:
        psk = load_psk(config.psk_file)
        context = psk_context(config.psk_identity or config.sae_id, psk)
        return TLSMaterial(context, Sessions(context, ()))
    if config.ca is None or config.certificate is None or config.private_key is None:
        raise credentials_trouble(
            "the link names no ca, certificate and private_key",
            "set all three: KMEs are only spoken to with certificates at both ends",
        )
    authorities = load_ca(config.ca)
    ours = load_client_certificate(config.certificate, config.private_key)
    context = _certificate_context(authorities, ours, config.certificate)
    sessions = Sessions(context, config.kme_ids)
    return TLSMaterial(context, sessions, ours.expires, ours.certificate, authorities)


def tls_files(config: KMEConfig) -> tuple[Path, ...]:
    """Name the files that `load_tls` reads."""
    files = (config.ca, config.certificate, config.private_key, config.psk_file)
    return tuple(path for path in files if path is not None)


def _certificate_context(
    authorities: tuple[x509.Certificate, ...], ours: ClientCertificate, path: Path
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    context.hostname_checks_common_name = False
    context.verify_flags |= (
        ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
    )
    context.load_verify_locations(
        cadata=b"".join(ca.public_bytes(Encoding.DER) for ca in authorities)
    )
    problem = ""
    try:
        with _in_memory(ours.chain_pem) as chain, _in_memory(ours.key_pem.value) as pem:
            context.load_cert_chain(chain, pem, password=_no_password)
    except ssl.SSLError as error:
        problem = error.reason or "unknown reason"
    if problem:
        hint = ""
        if is_ml_dsa(ours.certificate):
            hint = f"ML-DSA needs OpenSSL 3.5; this Python has {ssl.OPENSSL_VERSION}"
        raise credentials_trouble(f"OpenSSL refuses {path}: {problem}", hint)
    return context


def _no_password() -> str:
    """Stand where OpenSSL would otherwise ask at the terminal."""
    return ""


@contextmanager
def _in_memory(content: bytes) -> "Iterator[str]":
    """Lend content as a file that is on no disk: OpenSSL takes chains only by name."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
