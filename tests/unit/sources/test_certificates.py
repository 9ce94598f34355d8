"""Whom the client trusts, whom it shows itself to, and what it says when that fails."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from gateway.errors import SourceFault
from tests.unit.sources.alerting import AlertingServer
from tests.unit.sources.certificates import (
    Authority,
    Files,
    private_pem,
    write_private,
)
from tests.unit.sources.conftest import OURS, MakeClient, MakeKME
from tests.unit.sources.hostile import HostileKME, reply
from tests.unit.sources.leaks import failure_of

CERTIFICATE = SourceFault.CERTIFICATE
CREDENTIALS = SourceFault.CREDENTIALS
TLS = SourceFault.TLS

YEAR = timedelta(365)


SERVERS = {
    "expired": ({"start": -2 * YEAR, "end": -YEAR}, "has expired"),
    "not valid yet": ({"start": YEAR, "end": 2 * YEAR}, "is not valid yet"),
    "wrong name": ({"names": ("kme.example",)}, "is for another address"),
    "common name only": ({"stem": "127.0.0.1", "names": ()}, "is for another address"),
    "DNS name for an address": ({"names": ("localhost",)}, "is for another address"),
}


@pytest.mark.parametrize("name", SERVERS)
async def test_wrong_server_certificate(
    tmp_path: Path, make_kme: MakeKME, make: MakeClient, name: str
) -> None:
    options, message = SERVERS[name]
    issuer = Authority(tmp_path)
    files = issuer.server(**options)  # type: ignore[arg-type]  # as the table says
    kme = await make_kme(files, None)
    error = await failure_of(make(kme, ca=issuer.ca).get_status())
    assert error.fault is CERTIFICATE
    assert message in error.message
    assert error.hint
    assert not kme.asked


async def test_wrong_host_name(
    tmp_path: Path, make_kme: MakeKME, make: MakeClient
) -> None:
    issuer = Authority(tmp_path)
    kme = await make_kme(issuer.server(names=("kme.example",)), None)
    url = f"https://localhost:{kme.port}"
    error = await failure_of(make(url, ca=issuer.ca).get_status())
    assert error.fault is CERTIFICATE
    assert "is for another name" in error.message


async def test_common_name_does_not_count(
    tmp_path: Path, make_kme: MakeKME, make: MakeClient
) -> None:
    """An SAE whose ID is the KME's name is not the KME."""
    issuer = Authority(tmp_path)
    kme = await make_kme(issuer.server(stem="localhost", names=()), None)
    url = f"https://localhost:{kme.port}"
    error = await failure_of(make(url, ca=issuer.ca).get_status())
    assert error.fault is CERTIFICATE


async def test_certificate_of_a_client_is_no_server_s(
    authority: Authority, make_kme: MakeKME, make: MakeClient
) -> None:
    kme = await make_kme(authority.client("localhost", stem="posing"), None)
    url = f"https://localhost:{kme.port}"
    assert (await failure_of(make(url).get_status())).fault is CERTIFICATE


async def test_unknown_ca(
    stranger: Authority, make_kme: MakeKME, make: MakeClient
) -> None:
    kme = await make_kme(stranger.server(), None)
    error = await failure_of(make(kme).get_status())
    assert error.fault is CERTIFICATE
    assert "unknown CA" in error.message
    assert not kme.asked


async def test_self_signed_certificate_can_be_pinned(
    authority: Authority, stranger: Authority, make_kme: MakeKME, make: MakeClient
) -> None:
    """Trusting one certificate trusts no other of the same issuer."""
    pinned = stranger.server("pinned")
    other = stranger.server("other")
    ours = await make_kme(pinned)
    assert (await make(ours, ca=pinned.certificate).get_status()).source == ours.url
    theirs = await make_kme(other)
    error = await failure_of(make(theirs, ca=pinned.certificate).get_status())
    assert error.fault is CERTIFICATE


async def test_environment_changes_nothing(
    kme: HostileKME,
    make_kme: MakeKME,
    make: MakeClient,
    stranger: Authority,
    other_environment: None,
) -> None:
    """Neither does it add a CA, nor take ours away, nor send us to a proxy."""
    assert (await make(kme).get_status()).source == kme.url
    theirs = await make_kme(stranger.server(), None)
    assert (await failure_of(make(theirs).get_status())).fault is CERTIFICATE


FRESH = """
import asyncio, sys
from pathlib import Path
from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import KeySourceError
from gateway.sources.clients import make_client

async def main():
    url, ca, certificate, key = sys.argv[1:]
    config = KMEConfig((url,), "a", "b", Path(ca), Path(certificate), Path(key))
    client = make_client(LinkConfig("l", LinkSource.ETSI014, kme=config))
    try:
        print((await client.get_status()).source)
    except KeySourceError as error:
        print(error.fault)
    await client.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("is_ours", [True, False])
async def test_environment_of_a_new_process_changes_nothing(
    kme: HostileKME,
    make_kme: MakeKME,
    authority: Authority,
    stranger: Authority,
    client_files: Files,
    other_environment: None,
    tmp_path: Path,
    is_ours: bool,
) -> None:
    """What libraries read when they are imported included; and no keys are logged."""
    server = kme if is_ours else await make_kme(stranger.server("theirs"), None)
    log = tmp_path / "keys.log"
    files = [authority.ca, client_files.certificate, client_files.private_key]
    environment = {**os.environ, "SSLKEYLOGFILE": str(log)}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FRESH,
        server.url,
        *map(str, files),
        stdout=subprocess.PIPE,
        env=environment,
    )
    said, _ = await child.communicate()
    assert said.decode().strip() == (server.url if is_ours else "certificate")
    # aiohttp makes a context of its own, which opens the file; ours writes nothing.
    lines = log.read_text().splitlines() if log.exists() else []
    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)
class TestOurCertificate:
    """Refused within the handshake with TLS 1.2, after it with 1.3."""

    @pytest.fixture
    def demanding(
        self, version: ssl.TLSVersion, server_files: Files, authority: Authority
    ) -> Iterator[AlertingServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(server_files.certificate, server_files.private_key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
        with AlertingServer(context) as server:
            yield server

    async def test_of_another_ca(
        self, demanding: AlertingServer, make: MakeClient, stranger: Authority
    ) -> None:
        theirs = stranger.client(OURS, stem=f"client{demanding.port}")
        client = make(
            demanding.url,
            certificate=theirs.certificate,
            private_key=theirs.private_key,
        )
        error = await failure_of(client.get_keys(1))
        assert error.fault is CREDENTIALS, error
        assert "CA of our certificate" in error.message
        assert demanding.handshakes == 1

    async def test_expired(
        self,
        demanding: AlertingServer,
        make: MakeClient,
        authority: Authority,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        old = authority.client(OURS, stem=f"old{demanding.port}", end=timedelta(-1))
        client = make(
            demanding.url, certificate=old.certificate, private_key=old.private_key
        )
        error = await failure_of(client.get_status())
        assert error.fault is CREDENTIALS
        assert "our certificate has expired" in error.message
        assert "our certificate for the KMEs expired on" in caplog.text

    async def test_dropped_without_a_word(
        self,
        version: ssl.TLSVersion,
        make_kme: MakeKME,
        make: MakeClient,
        stranger: Authority,
    ) -> None:
        """As KMEs on Python's asyncio do; the hint says what it may mean."""
        kme = await make_kme()
        assert kme.context is not None
        kme.context.maximum_version = version
        theirs = stranger.client(OURS, stem=f"dropped{kme.port}")
        client = make(
            kme, certificate=theirs.certificate, private_key=theirs.private_key
        )
        error = await failure_of(client.get_status())
        assert error.fault is SourceFault.UNREACHABLE
        assert "certificate" in error.hint


async def test_refused_by_a_web_server_before_the_kme(
    kme: HostileKME, make: MakeClient
) -> None:
    page = b"<html><head><title>400 The SSL certificate error</title></head></html>"
    kme.replies["status"] = [reply(page, 400)]
    error = await failure_of(make(kme).get_status())
    assert error.fault is SourceFault.UNAUTHORIZED
    assert "The SSL certificate error" in error.message


async def test_no_files_no_call(kme: HostileKME, make: MakeClient) -> None:
    error = await failure_of(make(kme, certificate=None).get_status())
    assert error.fault is CREDENTIALS
    assert "ca, certificate and private_key" in error.message


async def test_old_tls_is_refused(make: MakeClient, server_files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(server_files.certificate, server_files.private_key)
    with AlertingServer(context) as server:
        error = await failure_of(make(server.url).get_status())
    assert error.fault is TLS
    assert "1.2 or later" in error.message


async def test_no_common_cipher(make: MakeClient, server_files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    context.load_cert_chain(server_files.certificate, server_files.private_key)
    with AlertingServer(context) as server:
        error = await failure_of(make(server.url).get_status())
    assert error.fault is TLS
    assert "refuses the TLS handshake" in error.message


async def test_plain_http_is_no_tls(make: MakeClient) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await failure_of(make(f"https://127.0.0.1:{port}").get_status())
    server.close()
    assert error.fault is TLS
    assert "does not speak TLS" in error.message


async def test_nobody_there(kme: HostileKME, make: MakeClient) -> None:
    await kme.stop()
    error = await failure_of(make(f"https://127.0.0.1:{_closed_port()}").get_status())
    assert error.fault is SourceFault.UNREACHABLE
    assert "connection refused" in error.message


async def test_name_that_is_not_found(make: MakeClient) -> None:
    error = await failure_of(make("https://kme.invalid:443").get_status())
    assert error.fault is SourceFault.UNREACHABLE
    assert "name is not found" in error.message
    assert error.source == "https://kme.invalid:443"


async def test_source_names_no_user(make: MakeClient) -> None:
    url = "https://user:sesame@kme.invalid:443/path"
    error = await failure_of(make(url).get_status())
    assert "sesame" not in f"{error} {error.hint}"
    assert error.source == "https://kme.invalid:443"


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# Our own files


class OurFiles:
    """Copies of good files, to be spoiled."""

    def __init__(self, folder: Path, authority: Authority, files: Files) -> None:
        self.ca = Path(shutil.copy(authority.ca, folder / "our-ca.pem"))
        self.certificate = Path(shutil.copy(files.certificate, folder / "our.pem"))
        self.private_key = Path(shutil.copy(files.private_key, folder / "our.key"))

    @property
    def settings(self) -> dict[str, Path]:
        """For a link."""
        return vars(self)


@pytest.fixture
def our_files(tmp_path: Path, authority: Authority, client_files: Files) -> OurFiles:
    return OurFiles(tmp_path, authority, client_files)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
async def test_private_key_that_others_can_read(
    kme: HostileKME, make: MakeClient, our_files: OurFiles, mode: int
) -> None:
    our_files.private_key.chmod(mode)
    client = make(kme, **our_files.settings)
    error = await failure_of(client.get_status())
    assert error.fault is CREDENTIALS
    assert "is open to others" in error.message
    assert kme.connections == 0
    our_files.private_key.chmod(0o600)
    assert (await client.get_status()).source == kme.url


@pytest.mark.parametrize("name", ["ca", "certificate"])
async def test_certificate_that_others_can_write(
    kme: HostileKME, make: MakeClient, our_files: OurFiles, name: str
) -> None:
    our_files.settings[name].chmod(0o666)
    error = await failure_of(make(kme, **our_files.settings).get_status())
    assert error.fault is CREDENTIALS
    assert "writable by others" in error.message


@pytest.mark.parametrize("name", ["ca", "certificate", "private_key"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x30\x82\x01\x0a",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n",
        b"x" * 300_000,
    ],
)
async def test_files_with_something_else(
    kme: HostileKME, make: MakeClient, our_files: OurFiles, name: str, content: bytes
) -> None:
    our_files.settings[name].write_bytes(content)
    error = await failure_of(make(kme, **our_files.settings).get_status())
    assert error.fault is CREDENTIALS
    assert str(our_files.settings[name]) in error.message
    assert "secretsecret" not in f"{error} {error.hint}"


@pytest.mark.parametrize("name", ["ca", "certificate", "private_key"])
async def test_missing_file(
    kme: HostileKME, make: MakeClient, our_files: OurFiles, name: str
) -> None:
    our_files.settings[name].unlink()
    error = await failure_of(make(kme, **our_files.settings).get_status())
    assert error.fault is CREDENTIALS
    assert "no such file" in error.message


async def test_key_of_another_certificate(
    kme: HostileKME, make: MakeClient, our_files: OurFiles
) -> None:
    write_private(
        our_files.private_key, private_pem(ec.generate_private_key(ec.SECP256R1()))
    )
    error = await failure_of(make(kme, **our_files.settings).get_status())
    assert error.fault is CREDENTIALS
    assert "is not the private key of" in error.message


async def test_encrypted_key_asks_nobody(
    kme: HostileKME, make: MakeClient, our_files: OurFiles
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")
    )
    write_private(our_files.private_key, pem)
    error = await failure_of(make(kme, **our_files.settings).get_status())
    assert error.fault is CREDENTIALS
    assert "is encrypted" in error.message
