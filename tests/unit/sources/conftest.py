"""A PKI, a KME that obeys tests, and links that lead to it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.sources.base import KeyClient
from gateway.sources.clients import make_client
from gateway.sources.http.retry import Patience
from tests.unit.sources.certificates import Authority, Files
from tests.unit.sources.hostile import HostileKME
from tests.unit.sources.leaks import shown_parts

OURS = "sae-redu"
PEERS = "sae-betzdorf"

MakeKME = Callable[..., Awaitable[HostileKME]]
MakeLink = Callable[..., LinkConfig]
MakeClient = Callable[..., KeyClient]


class Waits:
    """Waits for nothing, and remembers how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note the wait."""
        self.seconds.append(seconds)

    @property
    def patience(self) -> Patience:
        """What a client is given; jitter takes the whole ceiling."""
        return Patience(self.sleep, lambda ceiling: ceiling)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA, which nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "another CA")


@pytest.fixture(scope="session")
def server_files(authority: Authority) -> Files:
    return authority.server()


@pytest.fixture(scope="session")
def client_files(authority: Authority) -> Files:
    return authority.client(OURS)


@pytest_asyncio.fixture
async def make_kme(authority: Authority, server_files: Files) -> AsyncIterator[MakeKME]:
    """Start KMEs, and stop them in the end."""
    started: list[HostileKME] = []

    async def make(
        files: Files | None = server_files, client_ca: Path | None = authority.ca
    ) -> HostileKME:
        kme = HostileKME(files, str(client_ca) if client_ca else "")
        await kme.start()
        started.append(kme)
        return kme

    yield make
    for kme in started:
        await kme.stop()


@pytest_asyncio.fixture
async def kme(
    make_kme: MakeKME, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[HostileKME]:
    """One good KME; no key it ever made may be in the log."""
    caplog.set_level(logging.DEBUG)
    made = await make_kme()
    yield made
    assert not shown_parts(caplog.text, made.made)


@pytest.fixture
def make_link(authority: Authority, client_files: Files) -> MakeLink:
    """Describe a link to KMEs."""

    def make(*kmes: HostileKME | str, **changes: object) -> LinkConfig:
        urls = tuple(k if isinstance(k, str) else k.url for k in kmes)
        source = changes.pop("source", LinkSource.ETSI014)
        assert isinstance(source, LinkSource)
        config = KMEConfig(
            urls,
            OURS,
            PEERS,
            authority.ca,
            client_files.certificate,
            client_files.private_key,
        )
        return LinkConfig(
            "redu-betzdorf",
            source,
            kme=replace(config, **changes),  # type: ignore[arg-type]  # as given
        )

    return make


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest_asyncio.fixture
async def make(make_link: MakeLink, waits: Waits) -> AsyncIterator[MakeClient]:
    """Make clients, and close them in the end."""
    clients: list[KeyClient] = []

    def make_one(*kmes: HostileKME | str, **changes: object) -> KeyClient:
        link = make_link(*kmes, **changes)
        clients.append(make_client(link, patience=waits.patience))
        return clients[-1]

    yield make_one
    for client in clients:
        await client.close()


@pytest.fixture
def other_environment(monkeypatch: pytest.MonkeyPatch, stranger: Authority) -> None:
    """An environment that names other CAs and proxies."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(stranger.ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(stranger.ca.parent))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
