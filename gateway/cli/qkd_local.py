"""``qgw qkd test --local``: trying KMEs without a daemon, before its first start."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.config.load import load_config
from gateway.config.model import LinkConfig
from gateway.control.qkd_schema import QKDFinding
from gateway.control.schema import ErrorCode
from gateway.errors import ControlError, GatewayError
from gateway.events.bus import subscribe
from gateway.observe.journal.listener import log
from gateway.sources.diagnosis.trial import diagnose


def find_link(path: Path, name: str) -> LinkConfig:
    """Return a link with KMEs from a configuration.

    Raises:
        ConfigError: The configuration is wrong.
        GatewayError: There is no such link, or it has no KME.
    """
    links = load_config(path).links
    if name not in links:
        known = ", ".join(sorted(links)) or "none"
        raise ControlError(
            f"no link named {name} is configured in {path}",
            f"it has: {known}",
            code=ErrorCode.NOT_FOUND,
        )
    link = links[name]
    if link.kme is None:
        raise GatewayError(
            f"link {name} has no KME: its source is {link.source.value}",
            f"keys of a file: qgw keystore import --link {name} FILE",
        )
    return link


def try_link(
    link: LinkConfig,
    peer_link: LinkConfig | None,
    *,
    draw: bool,
    note: Callable[[QKDFinding], None],
) -> None:
    """Try a link's KMEs from this process.

    Args:
        link: The link.
        peer_link: The same one as the peer has it, or None.
        draw: Whether to use a key of each KME up.
        note: Takes each finding as it comes.
    """
    subscribe(log)
    asyncio.run(_try(link, peer_link, draw, note))


async def _try(
    link: LinkConfig,
    peer_link: LinkConfig | None,
    draw: bool,  # noqa: FBT001  # as the caller was told
    note: Callable[[QKDFinding], None],
) -> None:
    async for finding in diagnose(link, draw=draw, peer_link=peer_link):
        note(
            QKDFinding(
                source=finding.source,
                step=finding.step.value,
                grade=finding.grade.value,
                text=finding.text,
                hint=finding.hint,
            )
        )
