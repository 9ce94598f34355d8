"""Errors of aiohttp, OpenSSL and the kernel, as what is wrong with a KME.

Only their types, error numbers and OpenSSL's own reason codes are looked at: their
texts can hold bytes of an answer.
"""

import os
import re
import socket
import ssl

import aiohttp

from gateway.errors import EXHAUSTED_ERRNO, SourceFault
from gateway.sources.http.tls_reasons import (
    ALERTS_ABOUT_US,
    CERTIFICATE_PROBLEMS,
    CERTIFICATE_UNKNOWN,
)
from gateway.sources.http.trouble import Trouble

_REASON = re.compile(r"\[SSL(?:: ([A-Z0-9_]{1,60}))?\] ([a-z0-9/ ]{1,80}) ")
"""How Python writes OpenSSL's reason: as a code if it has one, and in words. aiohttp
keeps only this text, and Python has no codes for some alerts."""

_CUT = "Response payload is not completed"
"""How aiohttp begins what it says of an answer that ended early; the rest is unsafe."""

_DROPPED = (
    "some KMEs drop a connection whose certificate they refuse, without a word: see "
    "the KME's log, and check certificate and private_key"
)

_MAX_CAUSES = 8
"""Errors that one error is traced back to."""


def trouble_of(error: BaseException, *, is_answered: bool) -> Trouble:
    """Say what an exception from a call to a KME means.

    Args:
        error: Anything that aiohttp raised.
        is_answered: Whether status line and headers of an answer had come.
    """
    chain = _causes(error)
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in EXHAUSTED_ERRNO:
            return _exhausted(cause)
    for cause in chain:
        found = _tls_trouble(cause)
        if found is not None:
            return found
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _not_sent(SourceFault.TIMEOUT, "no connection in time")
    if isinstance(error, TimeoutError):
        return Trouble(SourceFault.TIMEOUT, "no whole answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _not_sent(SourceFault.UNREACHABLE, *_why(chain))
    return _broken_answer(error, chain, is_answered=is_answered)


def handshake_trouble(error: OSError) -> Trouble:
    """Say why a TLS handshake of our own failed, without an answer in play."""
    if error.errno in EXHAUSTED_ERRNO:
        return _exhausted(error)
    found = _tls_trouble(error)
    if found is not None:
        return found
    if isinstance(error, TimeoutError):
        return _not_sent(SourceFault.TIMEOUT, "no TLS handshake in time")
    return _not_sent(SourceFault.UNREACHABLE, *_why([error]))


def certificate_trouble(code: int) -> Trouble:
    """Say what OpenSSL found wrong with a KME's certificate (`X509_V_ERR_*`)."""
    message, hint = CERTIFICATE_PROBLEMS.get(code, CERTIFICATE_UNKNOWN)
    if (message, hint) == CERTIFICATE_UNKNOWN:
        message = f"{message} (X509 error {code})"
    return _not_sent(SourceFault.CERTIFICATE, message, hint)


def _tls_trouble(cause: BaseException) -> Trouble | None:
    # aiohttp has a subclass of its own without the code; the original is in the chain.
    code = getattr(cause, "verify_code", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return certificate_trouble(code) if isinstance(code, int) else None
    if not isinstance(cause, OSError):
        return None
    reason = getattr(cause, "reason", None) or _reason_in(cause)
    if not isinstance(reason, str) or not reason:
        return None
    return tls_trouble(reason)


def tls_trouble(reason: str) -> Trouble | None:
    """Say what an OpenSSL reason code means, or None if it is but a lost connection."""
    if reason in {
        "UNEXPECTED_EOF_WHILE_READING",
        "APPLICATION_DATA_AFTER_CLOSE_NOTIFY",
    }:
        return None
    if reason in ALERTS_ABOUT_US:
        return _not_sent(SourceFault.CREDENTIALS, *ALERTS_ABOUT_US[reason])
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return _not_sent(
            SourceFault.TLS,
            "what answers does not speak TLS",
            "check the port: KMEs serve HTTPS only",
        )
    if reason in {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}:
        return _not_sent(
            SourceFault.TLS,
            "no common TLS version: 1.2 or later is needed",
            "update the KME, or switch TLS 1.2 on there",
        )
    if reason in {"SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER"}:
        return _not_sent(
            SourceFault.TLS,
            "the KME refuses the TLS handshake",
            "no common cipher, or it misses or dislikes our certificate: see its log",
        )
    return _not_sent(SourceFault.TLS, f"TLS fails: {reason.lower().replace('_', ' ')}")


def _broken_answer(
    error: BaseException, chain: list[BaseException], *, is_answered: bool
) -> Trouble:
    if isinstance(error, aiohttp.ClientPayloadError):
        is_cut = any(isinstance(cause, ConnectionError) for cause in chain[1:])
        if is_cut or str(error).startswith(_CUT):
            return Trouble(
                SourceFault.UNREACHABLE, "the connection ended within the answer"
            )
        return Trouble(SourceFault.MALFORMED, "the answer's HTTP encoding is broken")
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        if is_answered:
            where, hint = "within the answer", ""
        else:
            where, hint = "before an answer", _DROPPED
        return Trouble(SourceFault.UNREACHABLE, f"the connection ended {where}", hint)
    if isinstance(error, aiohttp.ClientResponseError):
        return Trouble(SourceFault.MALFORMED, "the answer is not HTTP")
    # The name of a type is ours or a library's, never the KME's.
    return Trouble(
        SourceFault.MALFORMED, f"the answer cannot be read ({type(error).__name__})"
    )


def _exhausted(error: OSError) -> Trouble:
    """Say that it is this host that has run out, and not the KME that is away."""
    return _not_sent(
        SourceFault.UNREACHABLE,
        f"this host has run out: {os.strerror(error.errno or 0).lower()}",
        "see what qgwd has open, in /proc/PID/fd; LimitNOFILE of its unit bounds it",
    )


def _not_sent(fault: SourceFault, message: str, hint: str = "") -> Trouble:
    return Trouble(fault, message, hint, is_carried_out=False)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _MAX_CAUSES:
        chain.append(current)
        inner = getattr(current, "os_error", None)
        if isinstance(inner, BaseException) and inner not in chain:
            chain.append(inner)
        current = current.__cause__ or current.__context__
    return chain


def _reason_in(error: OSError) -> str:
    text = error.strerror if isinstance(error.strerror, str) else ""
    found = _REASON.match(text)
    if not found:
        return ""
    return found[1] or found[2].strip().replace(" ", "_").upper()


def _why(chain: list[BaseException]) -> tuple[str, str]:
    """Say why there is no connection, and what to do about it."""
    for cause in chain:
        if isinstance(cause, (socket.gaierror, aiohttp.ClientConnectorDNSError)):
            return (
                "the host's name is not found",
                "check the name in the URL, and DNS or /etc/hosts",
            )
        if isinstance(cause, ConnectionResetError):
            return "the connection ended within the TLS handshake", _DROPPED
        if isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno:
            return (
                f"no connection: {os.strerror(cause.errno).lower()}",
                "check host, port and firewalls, and that the KME runs",
            )
    return "no connection", ""
