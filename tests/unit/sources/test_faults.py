"""What exceptions and words mean, without a network."""

import base64
import os
import socket
import ssl

import aiohttp
import pytest

from gateway.errors import SourceFault
from gateway.sources.http.limits import MAX_MESSAGE
from gateway.sources.http.notes import MAX_NOTES, SourceNotes
from gateway.sources.http.tls_reasons import CERTIFICATE_PROBLEMS
from gateway.sources.http.translate import (
    certificate_trouble,
    handshake_trouble,
    tls_trouble,
    trouble_of,
)
from gateway.sources.http.words import quoted, repeatable, text_of_page
from tests.unit.sources.leaks import shown_parts

SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (TimeoutError(), SourceFault.TIMEOUT),
        (aiohttp.ServerTimeoutError(SECRET), SourceFault.TIMEOUT),
        (aiohttp.ConnectionTimeoutError(SECRET), SourceFault.TIMEOUT),
        (aiohttp.ServerDisconnectedError(SECRET), SourceFault.UNREACHABLE),
        (aiohttp.ClientOSError(5, SECRET), SourceFault.UNREACHABLE),
        (OSError(SECRET), SourceFault.UNREACHABLE),
        (aiohttp.ClientPayloadError(SECRET), SourceFault.MALFORMED),
        (UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET), "malformed"),
        (ValueError(SECRET), SourceFault.MALFORMED),
        (RuntimeError(SECRET), SourceFault.MALFORMED),
    ],
)
def test_exceptions(error: Exception, fault: SourceFault) -> None:
    trouble = trouble_of(error, is_answered=False)
    assert trouble.fault == fault
    assert SECRET not in f"{trouble!r} {trouble.message} {trouble.hint}"


def test_endless_chain_of_causes() -> None:
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert trouble_of(first, is_answered=True).fault is SourceFault.UNREACHABLE


@pytest.mark.parametrize("code", [*CERTIFICATE_PROBLEMS, 12345])
def test_verdicts_on_certificates(code: int) -> None:
    trouble = certificate_trouble(code)
    assert trouble.fault is SourceFault.CERTIFICATE
    assert trouble.hint
    assert not trouble.is_carried_out
    assert ("12345" in trouble.message) == (code == 12345)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", SourceFault.CREDENTIALS),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", SourceFault.CREDENTIALS),
        ("WRONG_VERSION_NUMBER", SourceFault.TLS),
        ("UNSUPPORTED_PROTOCOL", SourceFault.TLS),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", SourceFault.TLS),
        ("SOMETHING_NEW", SourceFault.TLS),
    ],
)
def test_reasons_of_openssl(reason: str, fault: SourceFault) -> None:
    trouble = tls_trouble(reason)
    assert trouble is not None
    assert trouble.fault is fault


def test_end_of_a_connection_is_no_fault_of_tls() -> None:
    assert tls_trouble("UNEXPECTED_EOF_WHILE_READING") is None


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (TimeoutError(), SourceFault.TIMEOUT),
        (ConnectionResetError(), SourceFault.UNREACHABLE),
        (OSError(), SourceFault.UNREACHABLE),
        (OSError(113, "x"), SourceFault.UNREACHABLE),
        (socket.gaierror(-2, "x"), SourceFault.UNREACHABLE),
        (ssl.SSLError(1, "[SSL: NO_CIPHERS_AVAILABLE] no (_ssl.c:1)"), "tls"),
        (ssl.SSLError(1, "[SSL] tlsv1 alert unknown psk identity (x)"), "credentials"),
    ],
)
def test_handshakes(error: OSError, fault: SourceFault) -> None:
    assert handshake_trouble(error).fault == fault


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("size shall be a multiple of 8", "size shall be a multiple of 8"),
        (
            "not all extension_mandatory parameters are supported",
            "not all extension_mandatory parameters are supported",
        ),
        ("asked for 300, max_key_per_request is 128",) * 2,
        ("a\r\n\tb\x00\x7f\u202e", "a b???"),
        ("IDs 6f1b3a3e-7f5c-4b2e-9d0a-2f5b8c1d4e6f", "IDs [...]"),
        ("x" * 30, "[...]"),
        ("", ""),
    ],
)
def test_words_that_can_be_repeated(said: str, line: str) -> None:
    assert repeatable(said) == line


def test_words_are_cut_off() -> None:
    line = repeatable("word " * 1000)
    assert len(line) <= MAX_MESSAGE + 4
    assert line.endswith(" ...")


@pytest.mark.parametrize("seed", range(20))
def test_keys_in_words_are_not_repeated(seed: int) -> None:
    key = os.urandom(32)
    text = base64.b64encode(key).decode()
    spaced = " ".join(key.hex()[at : at + 2] for at in range(0, 64, 2))
    for said in (
        f"key {text}",
        f"'{text}'",
        f"{{'key':'{key.hex()}'}}",
        key.hex().upper(),
        base64.urlsafe_b64encode(key).decode(),
        spaced,
        spaced.replace(" ", ":"),
    ):
        line = repeatable(f"sorry: {said} was bad")
        assert not shown_parts(line, [key])
        assert spaced[:11] not in line
        assert line.startswith("sorry: ")


def test_error_pages() -> None:
    page = b"<html>\n<h1 class='x'>502 Bad Gateway</h1>\xff</html>"
    assert text_of_page(page).startswith("502 Bad Gateway")
    assert quoted("") == ""
    assert quoted("a") == ': "a"'


def test_notes_are_bounded_and_made_once() -> None:
    notes = SourceNotes()
    notes.add("a", "b", "a")
    assert list(notes) == ["a", "b"]
    notes.add(*(str(number) for number in range(100)))
    assert len(list(notes)) == MAX_NOTES
