"""Certificates: what the laboratory issues, whom they show, and what is refused."""

import asyncio
import contextlib
import datetime
import logging
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError
from gateway.kme.expiry import ends_of, warn_of_expiry
from gateway.kme.pki import LaboratoryCA, LaboratoryPKI, make_laboratory_pki
from gateway.kme.settings import KMESettings
from gateway.kme.tls import client_context, server_context, subject_of
from tests.unit.kme.conftest import Call, tls_of
from tests.unit.kme.sae import SAE
from tests.unit.kme.test_kme_hostile import Raw


def subject(**names: object) -> dict[str, object]:
    return {"subject": ((("commonName", "gw-a"),),), **names}


def test_whom_a_certificate_shows() -> None:
    assert subject_of(subject()) == "gw-a"
    assert subject_of(subject(subjectAltName=(("DNS", "gw-b"),))) == "gw-a"
    assert subject_of(subject(subjectAltName=(("URI", "urn:x:gw-b"),))) == "gw-a"
    assert subject_of(subject(subjectAltName=(("URI", "sae:gw%2Da"),))) == "gw-a"


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subject": ()},
        {"subject": ((("organizationName", "gw-a"),),)},
        {"subject": ((("commonName", "a"),), (("commonName", "b"),))},
        {"subject": ((("commonName", "a"), ("commonName", "a")),)},
        {"subject": ((("commonName", "a\x00b"),),)},
        {"subject": ((("commonName", "a\nb"),),)},
        {"subject": ((("commonName", ""),),)},
        subject(subjectAltName=(("URI", "sae:gw-b"),)),
        subject(subjectAltName=(("URI", "SAE:gw-b"),)),
        subject(subjectAltName=(("URI", "sae:gw-a"), ("URI", "sae:gw-b"))),
    ],
)
def test_nobody_is_shown(certificate: dict[str, object] | None) -> None:
    assert subject_of(certificate) is None


def test_what_is_issued_is_strictly_right(pki: LaboratoryPKI) -> None:
    """OpenSSL's strict mode takes it, which is the default from Python 3.13 on."""
    for credentials in (*pki.kmes.values(), *pki.saes.values()):
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(credentials.certificate, credentials.private_key)
    assert len({each.certificate for each in pki.saes.values()}) == len(pki.saes)


async def test_strict_clients_accept_the_server(pair: KMEPair) -> None:
    context = ssl.create_default_context(cafile=str(pair.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    reader, writer = await _connect(pair, context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.close()
    del reader


async def _connect(
    pair: KMEPair, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = pair.alice.url.removeprefix("https://").split(":")
    return await asyncio.open_connection(host, int(port), ssl=context)


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    pki = make_laboratory_pki(tmp_path / "pki", kmes={"k": ["h"]}, saes=["s"])
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "pki").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    before = pki.ca.read_bytes()
    with pytest.raises(KMEError, match="there already"):
        make_laboratory_pki(tmp_path / "pki", kmes={}, saes=[])
    assert pki.ca.read_bytes() == before


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_names_that_fit_no_certificate(tmp_path: Path, name: str) -> None:
    authority = LaboratoryCA(tmp_path)
    with pytest.raises(KMEError, match="common name"):
        authority.issue_sae(name)
    with pytest.raises(KMEError, match="no host name"):
        authority.issue_kme("kme", ["büro.example"])


@pytest.mark.parametrize("broken", ["ca", "certificate", "private_key"])
def test_files_that_are_not_what_they_should_be(
    pki: LaboratoryPKI, tmp_path: Path, broken: str
) -> None:
    credentials = pki.kmes["kme-alice"]
    files = {
        "certificate": credentials.certificate,
        "private_key": credentials.private_key,
        "ca": credentials.ca,
    }
    wrong = tmp_path / "wrong.pem"
    for content in (
        b"",
        b"hello",
        b"\xff" * 50,
        pki.saes["gw-a"].private_key.read_bytes(),
    ):
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        for make in (server_context, client_context):
            with pytest.raises(KMEError, match="PEM") as caught:
                make(**{**files, broken: wrong})
            assert caught.value.__context__ is None
    wrong.unlink()
    with pytest.raises(KMEError, match="no such file"):
        server_context(**{**files, broken: wrong})


def test_an_open_private_key_is_refused(pki: LaboratoryPKI, tmp_path: Path) -> None:
    credentials = pki.kmes["kme-alice"]
    copy = tmp_path / "kme.key"
    copy.write_bytes(credentials.private_key.read_bytes())
    copy.chmod(0o640)
    with pytest.raises(KMEError, match="open to others"):
        server_context(credentials.certificate, copy, credentials.ca)


async def test_certificates_are_renewed_without_a_restart(
    pair: KMEPair, sae: Call, tmp_path: Path
) -> None:
    """Also the CA: who comes from the old one is not let in any longer."""
    new = make_laboratory_pki(
        tmp_path / "new",
        kmes={"kme-alice": ["127.0.0.1"], "kme-bob": ["127.0.0.1"]},
        saes=["gw-a"],
    )
    old_sae = sae("gw-a", pair.alice.url)
    assert (await old_sae.get("gw-b", "status")).status == 200
    for server, kme_id in ((pair.alice, "kme-alice"), (pair.bob, "kme-bob")):
        credentials = new.kmes[kme_id]
        changed = replace(
            server.settings,
            certificate=credentials.certificate,
            private_key=credentials.private_key,
            ca=credentials.ca,
            key_size=512,
        )
        assert await server.reload(changed) == ["key_size"]
        assert server.settings.key_size == 256
    with pytest.raises(aiohttp.ClientError):
        await old_sae.get("gw-b", "status")
    context = ssl.create_default_context(cafile=str(new.ca))
    context.load_cert_chain(new.saes["gw-a"].certificate, new.saes["gw-a"].private_key)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context)
    ) as session:
        alice = SAE(session, pair.alice.url)
        assert len((await alice.draw("gw-b", 3)).keys) == 3


async def test_a_reload_ends_busy_and_half_made_connections(
    pair: KMEPair, sae: Call
) -> None:
    """A request under way is its connection's last; a handshake under way is void."""
    settings = pair.alice.settings
    async with Raw(pair, "gw-a") as busy, Raw(pair, "gw-a") as idle:
        busy.send(
            b"POST /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 2\r\n\r\n{"
        )
        await asyncio.sleep(0.2)
        await pair.alice.reload(settings)
        assert await idle.answer() == b""
        busy.send(b"}")
        answer = await busy.answer()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert len((await sae("gw-a", pair.alice.url).draw("gw-b")).keys) == 1


async def test_a_handshake_that_outlasts_a_reload_brings_nothing(
    pair: KMEPair,
) -> None:
    """Its connection was accepted under the old certificate, and would show that."""
    context = tls_of(pair.credentials["gw-a"], pair.ca)
    host, port = pair.alice.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.setblocking(False)
        await asyncio.sleep(0.2)
        await pair.alice.reload(pair.alice.settings)
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=context, server_hostname="localhost"
        )
        writer.write(b"GET /api/v1/keys/gw-b/enc_keys HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()
    assert pair.alice.core.stored == 100


async def test_a_bad_reload_changes_nothing(pair: KMEPair, sae: Call) -> None:
    wrong = replace(pair.alice.settings, certificate=Path("/nowhere.pem"), saes={})
    with pytest.raises(KMEError):
        await pair.alice.reload(wrong)
    assert len((await sae("gw-a", pair.alice.url).draw("gw-b")).keys) == 1


def test_ends_are_warned_of(
    pair_settings: KMESettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = LaboratoryCA(tmp_path)
    for days, said in ((-2, "has ended"), (3, "ends in"), (100, "")):
        folder = tmp_path / str(days)
        folder.mkdir()
        issued = authority.issue_kme("kme-alice", ["h"], days=days, folder=folder)
        caplog.clear()
        caplog.set_level(logging.INFO)
        warn_of_expiry(
            replace(
                pair_settings, certificate=issued.certificate, ca=authority.certificate
            )
        )
        assert (said in caplog.text) if said else not caplog.text
    (end,) = ends_of(authority.certificate)
    assert end > datetime.datetime.now(datetime.UTC)
    loaded = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    assert end == loaded.not_valid_after_utc
    assert ends_of(tmp_path / "none") == []


@pytest.fixture
async def pair_settings(pair: KMEPair) -> KMESettings:
    return pair.alice.settings
