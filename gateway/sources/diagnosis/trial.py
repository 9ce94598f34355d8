"""Trial of a link's KMEs from end to end, with explanations (`qgw qkd test`).

Each step explains itself, and the first that fails ends the diagnosis of that KME: what
comes after it could only fail too.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from gateway.config.model import KMEConfig, LinkConfig
from gateway.sources.clients import make_client
from gateway.sources.diagnosis.files import findings_of
from gateway.sources.diagnosis.findings import Grade, Step, TrialFinding, failed
from gateway.sources.diagnosis.service import (
    DrawnKey,
    look_at_draw,
    look_at_peer,
    look_at_status,
)
from gateway.sources.diagnosis.transport import Place, look_at_network, look_at_tls
from gateway.sources.http.credentials import wall_clock
from gateway.sources.http.session import source_of
from gateway.sources.http.tls import TLSMaterial, load_tls
from gateway.sources.http.trouble import Trouble

_HTTPS_PORT = 443


async def diagnose(
    link: LinkConfig,
    *,
    draw: bool = False,
    peer_link: LinkConfig | None = None,
    now: datetime | None = None,
) -> AsyncIterator[TrialFinding]:
    """Look at a link's files, then at each of its KMEs.

    Args:
        link: An ``etsi014`` or ``skip`` link.
        draw: Whether to draw one key from each KME; it is used up by that.
        peer_link: The link as the other end has it, whose certificate is at hand (in a
            laboratory): with `draw`, the key is fetched there and compared.
        now: Wall-clock time, by default this machine's.

    Raises:
        ValueError: The link has no KME.
    """
    if link.kme is None or not link.kme.urls:
        raise ValueError(f"link {link.name} has no KME")
    material = await _load(link.kme)
    if isinstance(material, Trouble):
        yield failed("", Step.FILES, material.message, material.hint)
        return
    for finding in findings_of(link.kme, material, now or wall_clock()):
        yield finding
    for url in link.kme.urls:
        config = replace(link.kme, urls=(url,))
        alone = replace(link, kme=config)
        async for finding in _look_at_kme(alone, config, draw, peer_link):
            yield finding


async def _load(config: KMEConfig) -> TLSMaterial | Trouble:
    try:
        return await asyncio.to_thread(load_tls, config)
    except Trouble as trouble:
        return trouble


async def _look_at_kme(
    link: LinkConfig,
    config: KMEConfig,
    draw: bool,  # noqa: FBT001  # as the caller was told
    peer_link: LinkConfig | None,
) -> AsyncIterator[TrialFinding]:
    (url,) = config.urls
    async for finding in _look_at_way(config, url):
        yield finding
        if finding.grade is Grade.FAILED:
            return
    source, client, drawn = source_of(url), make_client(link), DrawnKey()
    try:
        async for finding in look_at_status(source, client, config, draw=draw):
            yield finding
            if finding.grade is Grade.FAILED:
                return
        if draw:
            async for finding in look_at_draw(source, client, drawn):
                yield finding
    finally:
        await client.close()
    if drawn.key is not None and peer_link is not None:
        peer = make_client(peer_link)
        try:
            async for finding in look_at_peer(source, peer, drawn.key):
                yield finding
        finally:
            await peer.close()


async def _look_at_way(config: KMEConfig, url: str) -> AsyncIterator[TrialFinding]:
    parts = urlsplit(url)
    place = Place(source_of(url), parts.hostname or "", parts.port or _HTTPS_PORT)
    is_open = True
    async for finding in look_at_network(place):
        yield finding
        is_open = finding.grade is not Grade.FAILED
    if is_open:
        async for finding in look_at_tls(place, config):
            yield finding
