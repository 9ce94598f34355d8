"""From configuration to client."""

import dataclasses

import pytest

from gateway.config.model import LinkConfig, LinkSource
from gateway.sources.clients import make_client
from gateway.sources.etsi014.client import ETSI014Client
from gateway.sources.failover import FailoverClient
from gateway.sources.skip.client import SKIPClient
from tests.unit.sources.conftest import MakeLink

URL = "https://kme.example:8443/vendor"


def test_one_etsi_kme(make_link: MakeLink) -> None:
    client = make_client(make_link(URL))
    assert isinstance(client, ETSI014Client)
    assert client.link == "redu-betzdorf"
    assert client.description == (
        "ETSI GS QKD 014 at https://kme.example:8443, sae-redu with sae-betzdorf"
    )


def test_one_skip_provider(make_link: MakeLink) -> None:
    client = make_client(make_link(URL, source=LinkSource.SKIP))
    assert isinstance(client, SKIPClient)
    assert client.description == "SKIP at https://kme.example:8443, with sae-betzdorf"


def test_several(make_link: MakeLink) -> None:
    client = make_client(make_link(URL, "https://[::1]:1"))
    assert isinstance(client, FailoverClient)
    assert client.link == "redu-betzdorf"


@pytest.mark.parametrize("source", [LinkSource.FILE, LinkSource.SIMULATED])
def test_links_without_kme(make_link: MakeLink, source: LinkSource) -> None:
    with pytest.raises(ValueError, match="has no KME"):
        make_client(make_link(URL, source=source))
    with pytest.raises(ValueError, match="has no KME"):
        make_client(LinkConfig("l", LinkSource.ETSI014))
    link = make_link()
    assert link.kme is not None
    with pytest.raises(ValueError, match="has no KME"):
        make_client(dataclasses.replace(link, kme=link.kme))
