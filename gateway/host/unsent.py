"""Datagrams that the kernel did not take: counted by reason, and told now and then."""

import time
from collections import Counter
from typing import Final

from gateway.events.bus import publish
from gateway.events.host import (
    DatagramsUnsent,
    ListenAddressAbsent,
    ListenAddressPresent,
)
from gateway.units import plural

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
            publish(DatagramsUnsent(self.counts[reason], host, reason))

    @staticmethod
    def note_address(host: str, *, is_absent: bool) -> None:
        """Say that an address to listen on has gone, or come."""
        if is_absent:
            publish(ListenAddressAbsent(host))
        else:
            publish(ListenAddressPresent(host))

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
