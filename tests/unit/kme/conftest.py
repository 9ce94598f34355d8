"""A pair of KMEs over real TLS, and what calls them."""

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from doubles.kme_pair import ALICE_ID, BOB_ID, LOOPBACK, KMEPair

from gateway.kme.pki import LaboratoryPKI, TlsFiles, make_laboratory_pki
from tests.unit.kme.sae import SAE


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> LaboratoryPKI:
    """One PKI for all tests: nothing in it changes."""
    return make_laboratory_pki(
        tmp_path_factory.mktemp("kme") / "pki",
        kmes={ALICE_ID: [LOOPBACK, "localhost"], BOB_ID: [LOOPBACK, "localhost"]},
        saes=["gw-a", "gw-b", "gw-c", "bank/büro 1", "stranger"],
    )


@pytest.fixture
async def pair(tmp_path: Path, pki: LaboratoryPKI) -> AsyncIterator[KMEPair]:
    """Two KMEs with 100 keys at each end."""
    made = KMEPair(
        tmp_path / "pair", pki=pki, max_key_per_request=32, requests_per_second=0
    )
    async with made:
        assert await made.make_keys(200) == 200
        yield made


def tls_of(credentials: TlsFiles | None, ca: Path) -> ssl.SSLContext:
    """Make a client's TLS context, without certificate if there are no credentials."""
    context = ssl.create_default_context(cafile=str(ca))
    if credentials is not None:
        context.load_cert_chain(credentials.certificate, credentials.private_key)
    return context


Call = Callable[..., SAE]


@pytest.fixture
async def sae(pki: LaboratoryPKI) -> AsyncIterator[Call]:
    """Make SAEs that call a KME: by SAE ID, by credentials, or None for nobody."""
    sessions: list[aiohttp.ClientSession] = []

    def make(who: str | TlsFiles | None, url: str) -> SAE:
        credentials = pki.saes[who] if isinstance(who, str) else who
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls_of(credentials, credentials.ca if credentials else pki.ca)
            ),
            timeout=aiohttp.ClientTimeout(total=15),
        )
        sessions.append(session)
        return SAE(session, url)

    yield make
    for session in sessions:
        await session.close()
