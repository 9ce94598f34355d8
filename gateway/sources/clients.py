"""Clients of KMEs, made from a link's configuration."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from gateway.config.model import LinkConfig, LinkSource
from gateway.sources.base import KeyClient
from gateway.sources.etsi014.client import ETSI014Client
from gateway.sources.failover import FailoverClient
from gateway.sources.http.credentials import Credentials
from gateway.sources.http.retry import Patience
from gateway.sources.skip.client import SKIPClient

_KINDS: Final[Mapping[LinkSource, type[ETSI014Client] | type[SKIPClient]]] = {
    LinkSource.ETSI014: ETSI014Client,
    LinkSource.SKIP: SKIPClient,
}


def make_client(
    link: LinkConfig,
    *,
    patience: Patience | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> KeyClient:
    """Make the client of a link whose keys come from KMEs.

    No file is read and no connection made before the first call.

    Args:
        link: An ``etsi014`` or ``skip`` link, with `kme`.
        patience: How to wait between tries.
        clock: Monotonic seconds.

    Raises:
        ValueError: The link's keys come from elsewhere.
    """
    if link.kme is None or not link.kme.urls or link.source not in _KINDS:
        raise ValueError(f"link {link.name} has no KME")
    kind = _KINDS[link.source]
    credentials = Credentials(link.name, link.kme, clock)
    clients: list[KeyClient] = [
        kind(link.name, link.kme, url, credentials, patience, clock)
        for url in link.kme.urls
    ]
    return clients[0] if len(clients) == 1 else FailoverClient(clients, clock)
