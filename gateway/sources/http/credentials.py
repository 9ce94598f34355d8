"""A link's TLS material, renewed when its files are, and watched for its end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.config.model import KMEConfig
from gateway.events.bus import publish
from gateway.events.sources import (
    CertificateExpiring,
    CertificateFilesRefused,
    CertificateFilesRenewed,
)
from gateway.sources.http.tls import TLSMaterial, load_tls, tls_files
from gateway.sources.http.trouble import Trouble

EXPIRY_STEPS: Final = (timedelta(days=30), timedelta(days=7), timedelta(0))
"""How long before our certificate's end a warning is due: a month to order a new one, a
week in which it must come, and the end itself."""

RECHECK: Final = 1.0
"""Seconds between two looks at the files: a batch of calls looks once."""

_Stamp = tuple[tuple[str, int, int, int], ...]


def wall_clock() -> datetime:
    """Return the time that certificates are written in."""
    return datetime.now(UTC)


class Credentials:
    """The TLS context to use now.

    Args:
        link: The link's name, for log lines.
        config: Names the files.
        clock: Monotonic seconds.
        wall: Wall-clock time, for the end of our certificate only.
    """

    def __init__(
        self,
        link: str,
        config: KMEConfig,
        clock: Callable[[], float],
        wall: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._link = link
        self._config = config
        self._clock = clock
        self._wall = wall
        self._material: TLSMaterial | None = None
        self._stamp: _Stamp = ()
        self._looked = float("-inf")
        self._warned: tuple[datetime, int] | None = None
        self._lock = asyncio.Lock()

    @property
    def expires(self) -> datetime | None:
        """When our certificate ends; None with a PSK, or before the first call."""
        return self._material.expires if self._material else None

    @property
    def tls_group(self) -> str:
        """The group of the key exchange last agreed on; empty if that is unknown."""
        return self._material.sessions.group if self._material else ""

    async def current(self) -> TLSMaterial:
        """Return the material, read anew if a file has changed.

        Raises:
            Trouble: ``CREDENTIALS``: there is none yet, and the files are no good.
        """
        async with self._lock:
            material = self._material
            if material is not None and self._clock() - self._looked < RECHECK:
                return material
            stamp = _stamp_of(tls_files(self._config))
            if material is None or stamp != self._stamp:
                material = await self._renew(stamp)
            self._looked = self._clock()
            self._warn_of_expiry(material)
            return material

    async def _renew(self, stamp: _Stamp) -> TLSMaterial:
        old = self._material
        try:
            material = await asyncio.to_thread(load_tls, self._config)
        except Trouble as trouble:
            if old is None:
                raise
            # Half a renewal: certificate and key don't fit yet, or never will.
            self._stamp = stamp
            publish(CertificateFilesRefused(self._link, trouble.message))
            return old
        if old is not None:
            publish(CertificateFilesRenewed(self._link))
        self._material = material
        self._stamp = stamp
        return material

    def _warn_of_expiry(self, material: TLSMaterial) -> None:
        expires = material.expires
        if expires is None:
            return
        left = expires - self._wall()
        step = sum(left <= limit for limit in EXPIRY_STEPS)
        before = self._warned[1] if self._warned and self._warned[0] == expires else 0
        self._warned = (expires, max(step, before))
        if step <= before:
            return
        publish(
            CertificateExpiring(
                self._link,
                f"{expires:%Y-%m-%d %H:%M} UTC",
                is_over=left <= timedelta(0),
            )
        )


def _stamp_of(paths: tuple[Path, ...]) -> _Stamp:
    """Return what changes when a file is renewed, or opened to its reader at last."""
    stamps = []
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            stamps.append((str(path), 0, 0, 0))
        else:
            stamps.append((str(path), found.st_ino, found.st_size, found.st_ctime_ns))
    return tuple(stamps)
