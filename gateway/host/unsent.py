"""Datagrams that the kernel did not take: counted by reason, and told now and then."""

import logging
import time
from collections import Counter
from typing import Final

from gateway.host.bounded_log import alike
from gateway.units import plural

logger = logging.getLogger(__name__)

RECENT: Final = 600.0
"""Seconds for which a reason is worth a warning."""


class Unsent:
    """What could not be sent.

    Attributes:
        counts: Datagrams by reason, since the start.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._untold: dict[str, str] = {}

    def note(self, reason: str, host: str) -> None:
        """Count a datagram to a host; a full buffer brings thousands a second."""
        self.counts[reason] += 1
        self._last[reason] = time.monotonic()
        self._untold[reason] = host

    def tell(self) -> None:
        """Log what could not be sent since; called every few seconds."""
        untold, self._untold = self._untold, {}
        for reason, host in untold.items():
            logger.warning(
                "%s could not be sent, the last one to %s: %s",
                plural(self.counts[reason], "datagram"),
                host,
                reason,
                extra={"event": "unsent", "reason": reason} | alike("unsent", reason),
            )

    @staticmethod
    def note_address(host: str, *, is_absent: bool) -> None:
        """Say that an address to listen on has gone, or come."""
        if is_absent:
            logger.warning(
                "%s, which listen names, is not on this host; it is used once it comes",
                host,
                extra={"event": "address-absent"},
            )
        else:
            logger.info(
                "%s, which listen names, is on this host now",
                host,
                extra={"event": "address-present"},
            )

    def recent(self) -> list[str]:
        """Return a line for each reason that is no longer ago than `RECENT`."""
        return [
            f"{plural(self.counts[reason], 'datagram')} could not be sent: {reason}"
            for reason in self.recent_reasons()
        ]

    def recent_reasons(self) -> list[str]:
        """Return the reasons that are no longer ago than `RECENT`."""
        now = time.monotonic()
        return sorted(r for r, at in self._last.items() if now - at < RECENT)
