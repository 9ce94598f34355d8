"""TLS with a pre-shared key, for SKIP: only a server that knows it is spoken to."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import LinkSource
from gateway.errors import SourceFault
from gateway.sources.diagnosis.findings import Grade, Step
from gateway.sources.diagnosis.trial import diagnose
from gateway.sources.http.tls_psk import SUITES
from tests.unit.sources.alerting import AlertingServer
from tests.unit.sources.certificates import Authority, Files, write_private
from tests.unit.sources.conftest import MakeClient, MakeKME, MakeLink
from tests.unit.sources.hostile import HostileKME
from tests.unit.sources.leaks import everything_of, failure_of, shown_parts
from tests.unit.sources.test_skip import KeyProvider

PSK = bytes(range(50, 82))
IDENTITY = "redu-gateway"
HAS_PSK = getattr(ssl, "HAS_PSK", False)

needs_psk = [
    pytest.mark.may_skip("TLS-PSK needs Python 3.13"),
    pytest.mark.skipif(not HAS_PSK, reason="TLS-PSK needs Python 3.13"),
]


@pytest.fixture
def by_psk(tmp_path: Path) -> dict[str, Any]:
    """Settings of a link with a PSK."""
    path = tmp_path / "psk"
    write_private(path, PSK.hex().encode() + b"\n")
    return {
        "source": LinkSource.SKIP,
        "ca": None,
        "certificate": None,
        "private_key": None,
        "psk_identity": IDENTITY,
        "psk_file": path,
    }


def psk_server_context(suites: str = SUITES) -> ssl.SSLContext:
    """Make a server's context with our PSK."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    set_callback: Any = context.set_psk_server_callback  # type: ignore[attr-defined]  # since 3.13
    set_callback(lambda identity: PSK if identity == IDENTITY else b"")
    return context


@pytest.fixture
def other_server() -> Iterator[AlertingServer]:
    with AlertingServer(psk_server_context()) as server:
        yield server


@pytest.mark.skipif(HAS_PSK, reason="this Python has TLS-PSK")
@pytest.mark.may_skip("Python 3.13 has TLS-PSK")
async def test_python_without_psk_says_so(
    make: MakeClient, by_psk: dict[str, Any]
) -> None:
    error = await failure_of(make("https://127.0.0.1:9", **by_psk).get_status())
    assert error.fault is SourceFault.CREDENTIALS
    assert "no TLS-PSK" in error.message
    assert "Python 3.13" in error.hint
    assert not shown_parts(everything_of(error), [PSK])


@pytest.mark.parametrize(
    "content",
    [b"", b"00" * 15, b"00" * 65, b"0" * 33, b"secret password", b"00" * 600],
)
async def test_psk_file_with_something_else(
    make: MakeClient, by_psk: dict[str, Any], content: bytes
) -> None:
    write_private(by_psk["psk_file"], content)
    error = await failure_of(make("https://127.0.0.1:9", **by_psk).get_status())
    assert error.fault is SourceFault.CREDENTIALS
    assert str(by_psk["psk_file"]) in error.message
    assert "password" not in everything_of(error)


async def test_psk_file_that_others_can_read(
    make: MakeClient, by_psk: dict[str, Any]
) -> None:
    by_psk["psk_file"].chmod(0o640)
    error = await failure_of(make("https://127.0.0.1:9", **by_psk).get_status())
    assert error.fault is SourceFault.CREDENTIALS
    assert "open to others" in error.message


class TestWithPSK:
    pytestmark = needs_psk

    @pytest.fixture
    async def provider(self, make_kme: MakeKME) -> HostileKME:
        kme = await make_kme(None, None)
        await kme.stop()
        kme.context = psk_server_context()
        await kme.start()
        KeyProvider(kme)
        return kme

    async def test_keys_come(
        self, provider: HostileKME, make: MakeClient, by_psk: dict[str, Any]
    ) -> None:
        client = make(provider, **by_psk)
        assert len((await client.get_keys(5)).keys) == 5
        assert (await client.get_status()).certificate_expires is None

    async def test_diagnosis(
        self, provider: HostileKME, make_link: MakeLink, by_psk: dict[str, Any]
    ) -> None:
        found = [one async for one in diagnose(make_link(provider, **by_psk))]
        assert {one.grade for one in found} == {Grade.OK}
        texts = {one.step: one.text for one in found}
        assert IDENTITY in texts[Step.FILES]
        tls = [finding.text for finding in found if finding.step is Step.TLS]
        assert "PSK" in tls[0]
        assert "both know the PSK" in texts[Step.CERTIFICATE]

    async def test_another_psk(
        self, other_server: AlertingServer, make: MakeClient, by_psk: dict[str, Any]
    ) -> None:
        write_private(by_psk["psk_file"], b"11" * 32)
        error = await failure_of(make(other_server.url, **by_psk).get_status())
        assert error.fault is SourceFault.CREDENTIALS, error
        assert "PSK" in f"{error.message} {error.hint}"

    async def test_another_identity(
        self, other_server: AlertingServer, make: MakeClient, by_psk: dict[str, Any]
    ) -> None:
        by_psk["psk_identity"] = "nobody"
        error = await failure_of(make(other_server.url, **by_psk).get_status())
        assert error.fault is SourceFault.CREDENTIALS, error
        assert "PSK" in f"{error.message} {error.hint}"

    @pytest.mark.parametrize("identity", ["x" * 129, "ü" * 65])
    async def test_long_identity(
        self, make: MakeClient, by_psk: dict[str, Any], identity: str
    ) -> None:
        by_psk["psk_identity"] = identity
        error = await failure_of(make("https://127.0.0.1:9", **by_psk).get_status())
        assert error.fault is SourceFault.CREDENTIALS

    async def test_server_with_a_certificate_instead(
        self, make_kme: MakeKME, make: MakeClient, by_psk: dict[str, Any]
    ) -> None:
        """A man in the middle has certificates; the PSK is what he lacks."""
        kme = await make_kme(client_ca=None)
        KeyProvider(kme)
        error = await failure_of(make(kme, **by_psk).get_keys(1))
        assert error.fault in {SourceFault.TLS, SourceFault.UNREACHABLE}
        assert not kme.asked

    async def test_server_without_forward_secrecy(
        self, make_kme: MakeKME, make: MakeClient, by_psk: dict[str, Any]
    ) -> None:
        with AlertingServer(psk_server_context("PSK-AES256-GCM-SHA384")) as server:
            error = await failure_of(make(server.url, **by_psk).get_keys(1))
        assert error.fault is SourceFault.TLS


async def test_certificates_win_nothing_over_a_psk(
    authority: Authority,
    server_files: Files,
    make_kme: MakeKME,
    make: MakeClient,
    by_psk: dict[str, Any],
) -> None:
    """A link with a PSK trusts no CA, even one that it names."""
    kme = await make_kme(server_files, None)
    by_psk["ca"] = authority.ca
    await failure_of(make(kme, **by_psk).get_status())
    assert not kme.asked
