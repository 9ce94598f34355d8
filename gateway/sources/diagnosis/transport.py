"""The way to a KME: name, TCP, TLS, its certificate."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509

from gateway.config.model import KMEConfig
from gateway.errors import SourceFault
from gateway.sources.diagnosis.files import alternative_names
from gateway.sources.diagnosis.findings import (
    SOON,
    Step,
    TrialFinding,
    day,
    failed,
    ok,
    shown,
    warning,
)
from gateway.sources.http.limits import CONNECT_TIMEOUT
from gateway.sources.http.tls import load_tls
from gateway.sources.http.tls_session import is_quantum_safe
from gateway.sources.http.translate import certificate_trouble, handshake_trouble
from gateway.sources.http.trouble import Trouble

_MAX_SHOWN = 8
"""Addresses or names that are shown."""


class Place(NamedTuple):
    """Where a KME is.

    Attributes:
        source: Its URL, as errors name it.
        host: Name or address.
        port: TCP port.
    """

    source: str
    host: str
    port: int


async def look_at_network(place: Place) -> AsyncIterator[TrialFinding]:
    """Find the host and connect; a failure is the last finding."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError):
        yield failed(
            place.source,
            Step.NAME,
            f"the name {place.host} is not found",
            "check the name in the URL, and DNS or /etc/hosts",
        )
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield ok(place.source, Step.NAME, ", ".join(addresses[:_MAX_SHOWN]))
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _reader, writer = await asyncio.open_connection(place.host, place.port)
    except OSError as error:
        late = isinstance(error, TimeoutError)
        why = os.strerror(error.errno).lower() if error.errno else "nobody answers"
        why = "no answer in time" if late else why
        yield failed(
            place.source,
            Step.CONNECTION,
            f"no TCP connection to port {place.port}: {why}",
            "check port and firewalls, and that the KME runs",
        )
        return
    writer.transport.abort()
    yield ok(place.source, Step.CONNECTION, f"port {place.port} is open")


async def look_at_tls(place: Place, config: KMEConfig) -> AsyncIterator[TrialFinding]:
    """Make a TLS handshake; a failure is the last finding."""
    shake = await _try_handshake(place, config)
    if isinstance(shake, Trouble):
        is_theirs = shake.fault is SourceFault.CERTIFICATE
        step = Step.CERTIFICATE if is_theirs else Step.TLS
        detail = await _seen(place, config) if is_theirs else ""
        yield failed(place.source, step, shake.message + detail, shake.hint)
        return
    yield ok(place.source, Step.TLS, f"{shake.version}, {shake.cipher}")
    yield _key_exchange(place.source, shake.group)
    if shake.certificate is None:
        yield ok(place.source, Step.CERTIFICATE, "none: both know the PSK")
    else:
        yield _validity(place.source, shake.certificate)


def _key_exchange(source: str, group: str) -> TrialFinding:
    """Say whether a recording of the session can be opened later (docs/qkd.md)."""
    if is_quantum_safe(group):
        return ok(source, Step.TLS, f"key exchange {group}")
    if not group:
        return ok(source, Step.TLS, "key exchange: it cannot be told which")
    return warning(
        source,
        Step.TLS,
        f"key exchange {group}, which is classical: keys recorded on this way now can "
        "be read with a quantum computer later",
        "X25519MLKEM768 is agreed on where both ends have OpenSSL 3.5; until then keep "
        "the way to the KME short and to yourself: docs/qkd.md, TLS to the KME",
    )


class _Handshake(NamedTuple):
    """What a handshake gave."""

    version: str
    cipher: str
    certificate: x509.Certificate | None
    group: str


async def _try_handshake(place: Place, config: KMEConfig) -> _Handshake | Trouble:
    try:
        material = await asyncio.to_thread(load_tls, config)
        shake = await _shake_hands(place, material.context)
        return shake._replace(group=material.sessions.group)
    except ssl.SSLCertVerificationError as error:
        return certificate_trouble(error.verify_code)
    except Trouble as trouble:
        return trouble
    except OSError as error:
        return handshake_trouble(error)


async def _shake_hands(place: Place, context: ssl.SSLContext) -> _Handshake:
    async with asyncio.timeout(CONNECT_TIMEOUT):
        _reader, writer = await asyncio.open_connection(
            place.host, place.port, ssl=context, server_hostname=place.host
        )
    wrapped = writer.get_extra_info("ssl_object")
    der = wrapped.getpeercert(binary_form=True)
    version, cipher = wrapped.version() or "", wrapped.cipher()
    writer.transport.abort()
    certificate = None
    with contextlib.suppress(ValueError):
        certificate = x509.load_der_x509_certificate(der) if der else None
    return _Handshake(version, cipher[0] if cipher else "", certificate, "")


async def _seen(place: Place, config: KMEConfig) -> str:
    """Describe the certificate that was refused, by one more handshake.

    Nothing is sent through it, and nothing that comes is believed: it is only shown.
    """
    try:
        context = (await asyncio.to_thread(load_tls, config)).context
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.sslobject_class = ssl.SSLObject
        certificate = (await _shake_hands(place, context)).certificate
    except (OSError, Trouble):
        certificate = None
    if certificate is None:
        return ""
    try:
        names = ", ".join(alternative_names(certificate)[:_MAX_SHOWN]) or "no name"
        return (
            f" (it is for {shown(names)}; subject "
            f"{shown(certificate.subject.rfc4514_string())}; issuer "
            f"{shown(certificate.issuer.rfc4514_string())}; valid from "
            f"{day(certificate.not_valid_before_utc)} to "
            f"{day(certificate.not_valid_after_utc)})"
        )
    except ValueError:
        return " (it cannot be read)"


def _validity(source: str, certificate: x509.Certificate) -> TrialFinding:
    end = certificate.not_valid_after_utc
    if end - datetime.now(UTC) <= SOON:
        return warning(
            source,
            Step.CERTIFICATE,
            f"the KME's certificate ends on {day(end)}",
            "ask the KME's operator to renew it",
        )
    return ok(source, Step.CERTIFICATE, f"valid until {day(end)}, from a CA of ours")
