"""Addresses of neighbours: to connect to, and to let connect."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import Final

from gateway.config.model import Endpoint

RESOLVE_TIMEOUT: Final = 5.0
"""Seconds; the resolver's own first retry."""

REFRESH_INTERVAL: Final = 10.0
"""Seconds between two resolutions of one name: strangers who connect cause no more."""

SocketAddress = tuple[str, int]


class AddressBook:
    """The addresses of every neighbour, as last resolved.

    A name that does not resolve keeps the addresses it had: a resolver that fails cuts
    nobody off.
    """

    def __init__(
        self, neighbours: Mapping[str, Endpoint], clock: Callable[[], float]
    ) -> None:
        self._neighbours = dict(neighbours)
        self._clock = clock
        self._known: dict[str, list[str]] = {}
        self._names: dict[str, float] = {}
        for name, endpoint in self._neighbours.items():
            literal = _literal(endpoint.host)
            if literal is None:
                self._names[name] = -REFRESH_INTERVAL + clock()
            else:
                self._known[name] = [literal]

    def knows(self, address: str) -> bool:
        """Whether some neighbour is at an address."""
        return any(address in each for each in self._known.values())

    def is_at(self, name: str, address: str) -> bool:
        """Whether this neighbour is at an address."""
        return address in self._known.get(name, ())

    @property
    def stale(self) -> list[str]:
        """Neighbours given by a DNS name that may be resolved again now."""
        now = self._clock()
        return [
            name for name, when in self._names.items() if now - when >= REFRESH_INTERVAL
        ]

    async def refresh(self, name: str) -> None:
        """Resolve a neighbour's name again, unless that was done just now."""
        if name not in self.stale:
            return
        self._names[name] = self._clock()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await loop.getaddrinfo(
                    self._neighbours[name].host, None, type=socket.SOCK_STREAM
                )
        except (OSError, TimeoutError, UnicodeError):
            return
        self._known[name] = list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def candidates(self, name: str) -> list[SocketAddress]:
        """Return where to connect to, in the resolver's order; empty if unknown."""
        port = self._neighbours[name].port
        return [(address, port) for address in self._known.get(name, ())]


def _literal(host: str) -> str | None:
    """Return an address in the kernel's spelling, or None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
