"""Addresses of peers: as they are, or by names through the system's resolver.

A name is resolved when first needed and again after its address stopped answering,
never for each handshake: a slow or lying DNS holds up nothing that works.
"""

import asyncio
import ipaddress
import logging
import socket
from typing import Final

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host.path import SocketAddress

logger = logging.getLogger(__name__)

RESOLVE_TIMEOUT: Final = 5.0
"""Seconds; the resolver's own first retry."""


class Resolver:
    """Resolves endpoints for the address families that have a socket."""

    def __init__(self, families: set[int]) -> None:
        self._families = families
        self._known: dict[Endpoint, list[SocketAddress]] = {}

    def use(self, families: set[int]) -> None:
        """Resolve for other address families from now on."""
        if families != self._families:
            self._families = families
            self._known.clear()

    def forget(self, endpoint: Endpoint, failed: SocketAddress) -> None:
        """Try the next address of a name, or resolve it again after the last.

        Tunnels that share a name share its addresses: only the one that failed is
        skipped, so that several which fail together skip no other.
        """
        addresses = self._known.get(endpoint)
        if not addresses or addresses[0] != failed:
            return
        addresses.pop(0)
        if not addresses:
            del self._known[endpoint]

    async def resolve(self, endpoint: Endpoint) -> SocketAddress:
        """Return an address of an endpoint.

        Raises:
            GatewayError: The name has none that this gateway can reach.
        """
        try:
            ipaddress.ip_address(endpoint.host)
        except ValueError:
            pass
        else:
            return endpoint.host, endpoint.port
        if endpoint not in self._known:
            self._known[endpoint] = await self._look_up(endpoint)
        return self._known[endpoint][0]

    async def _look_up(self, endpoint: Endpoint) -> list[SocketAddress]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await loop.getaddrinfo(
                    endpoint.host, endpoint.port, type=socket.SOCK_DGRAM
                )
        except (OSError, TimeoutError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no answer from the resolver"
            raise GatewayError(
                f"cannot resolve {endpoint.host}: {reason}",
                "check the endpoint's name and /etc/resolv.conf",
            ) from error
        addresses = [
            (str(address[0]), int(address[1]))
            for family, _, _, _, address in found
            if family in self._families
        ]
        if not addresses:
            raise GatewayError(
                f"{endpoint.host} has no address of a family this gateway listens on",
                "add an address of that family to listen in gateway.toml",
            )
        return addresses
