"""A tunnel's routes and addresses on two devices."""

from ipaddress import ip_address

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.wanted import WantedTunnel
from gateway.dataplane.wireguard.backend import DEFAULT_MTU
from gateway.dataplane.wireguard.tunnel import WireGuardTunnel
from gateway.errors import DataPlaneError

OVERHEAD = {4: 60, 6: 80}
"""Bytes that WireGuard adds, by IP version outside: 20 or 40 of IP, 8 of UDP, 32."""

MIN_MTU = 1280
"""Bytes; IPv6 inside needs as much (RFC 8200, section 5)."""


class TunnelPaths:
    """Says to the keeper what leads into a tunnel.

    A tunnel's addresses are on both devices, so that a source address stays valid
    whichever device carries the tunnel.
    """

    def __init__(self, keeper: Keeper, aliases: tuple[str, str]) -> None:
        self._keeper = keeper
        self._aliases = aliases

    def hold(self, tunnel: WireGuardTunnel) -> None:
        """Make a tunnel's addresses and routes, or change them to what it is now.

        Raises:
            PlaneConflictError: An address is on somebody else's interface.
            DataPlaneError: The kernel refused; what was before stands.
        """
        spec = tunnel.spec
        self._keeper.hold(
            WantedTunnel(
                name=spec.name,
                link=self._aliases[tunnel.device],
                holders=self._aliases,
                addresses=spec.addresses,
                prefixes=tunnel.prefixes,
                local=spec.local_subnets,
                mtu=tunnel.mtu or 0,
            )
        )

    def release(self, name: str) -> None:
        """Remove a tunnel's routes and the addresses that no other tunnel has."""
        self._keeper.release(name)

    def move(self, tunnel: WireGuardTunnel, device: int) -> None:
        """Point every prefix at a device; each moves in one step."""
        alias = self._aliases[device]
        self._keeper.move(tunnel.spec.name, alias, tunnel.mtu or 0)
        tunnel.device = device

    def derive_mtu(self, peer: str) -> int:
        """Return the inner MTU for the outer path to an address, in bytes."""
        try:
            outer = self._keeper.path_mtu(peer)
        except DataPlaneError:
            return DEFAULT_MTU
        return max(outer - OVERHEAD[ip_address(peer).version], MIN_MTU)

    def fit_device(self, device: int, mtu: int | None) -> None:
        """Raise a device's MTU to what a tunnel's routes need; never lower it."""
        alias = self._aliases[device]
        link = self._keeper.wanted.links.get(alias)
        if mtu is not None and link is not None and mtu > (link.mtu or 0):
            self._keeper.change_link(alias, mtu=mtu)
