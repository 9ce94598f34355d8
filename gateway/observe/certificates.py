"""Ends of the certificates for speaking with KMEs."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.config.model import LinkConfig
from gateway.control.schema import Alert, AlertKind
from gateway.observe.alerts import link_alert
from gateway.units import duration

EARLY: Final = timedelta(days=30)
"""A month to order a new one in, as `qgw config check` says it too."""

RECHECK: Final = 60.0
"""Seconds for which what was read of the files will do."""


class Certificates:
    """Reads the files of links, not more often than it must."""

    def __init__(self) -> None:
        self._read_at: float | None = None
        self._of: tuple[LinkConfig, ...] = ()
        self._ends: tuple[tuple[str, str, Path, datetime], ...] = ()

    async def alerts(
        self, configs: Iterable[LinkConfig], *, now: float
    ) -> tuple[Alert, ...]:
        """Say which certificates end soon, or have ended."""
        links = tuple(configs)
        is_old = self._read_at is None or now - self._read_at >= RECHECK
        if is_old or links != self._of:
            self._ends = await asyncio.to_thread(lambda: tuple(_read(links)))
            self._read_at, self._of = now, links
        return tuple(_alerts(self._ends, datetime.now(UTC)))


def _read(links: Iterable[LinkConfig]) -> Iterator[tuple[str, str, Path, datetime]]:
    """Yield link, what it is, file and end; skip what cannot be read."""
    for link in links:
        if link.kme is None or link.kme.ca is None:
            continue
        # Imported here: loading an HTTP library for nothing takes time at start.
        from gateway.sources.http.certificates import load_ca  # noqa: PLC0415
        from gateway.sources.http.trouble import Trouble  # noqa: PLC0415

        for what, path, last in (
            ("our certificate for the KME", link.kme.certificate, False),
            ("the CA of the KME", link.kme.ca, True),
        ):
            if path is None:
                continue
            try:
                found = [one.not_valid_after_utc for one in load_ca(path)]
            except Trouble:
                continue  # the KME's own error says so
            # Ours is the first of its chain; of CAs the one that lasts longest counts.
            yield link.name, what, path, max(found) if last else found[0]


def _alerts(
    ends: Iterable[tuple[str, str, Path, datetime]], now: datetime
) -> Iterator[Alert]:
    for link, what, path, end in ends:
        left = end - now
        if left > EARLY:
            continue
        day = f"{end:%Y-%m-%d %H:%M} UTC"
        hint = f"have a new one issued and replace {path}; no restart is needed"
        if left > timedelta(0):
            text = f"{what} ends on {day}, in {duration(left.total_seconds())}"
            yield link_alert(link, "warning", AlertKind.CERTIFICATE_ENDS, text, hint)
        else:
            text = f"{what} ended on {day}"
            yield link_alert(link, "critical", AlertKind.CERTIFICATE_ENDED, text, hint)
