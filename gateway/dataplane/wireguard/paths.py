"""A tunnel's routes and addresses on two devices."""

from ipaddress import ip_address

from gateway.dataplane.links import Links
from gateway.dataplane.wireguard.shared import SharedLinks
from gateway.dataplane.wireguard.tunnel import Tunnel
from gateway.errors import DataPlaneError

OVERHEAD = {4: 60, 6: 80}
"""Bytes that WireGuard adds, by IP version outside: 20 or 40 of IP, 8 of UDP, 32."""

DEFAULT_MTU = 1420
"""Bytes inside when the outer path is unknown: fits 1500 outside over IPv6."""

MIN_MTU = 1280
"""Bytes; IPv6 inside needs as much (RFC 8200, section 5)."""


class TunnelPaths:
    """Makes, moves and removes what leads into a tunnel."""

    def __init__(
        self, links: Links, shared: SharedLinks, devices: tuple[str, str]
    ) -> None:
        self._links = links
        self._shared = shared
        self._devices = devices

    def make(self, tunnel: Tunnel, routed: frozenset[str]) -> None:
        """Add addresses, refusals and routes; nothing is left behind on failure.

        Args:
            tunnel: Whose; its routes lead to `Tunnel.device`.
            routed: Prefixes that we routed before a restart.

        Raises:
            PlaneConflictError: A route to one of its prefixes is not ours, or an
                address is on somebody else's interface.
        """
        if not routed.issuperset(tunnel.prefixes):
            self._shared.refuse_taken(tunnel.spec.addresses, self._devices)
        try:
            for device in self._devices:
                self._shared.ensure_addresses(device, tunnel.spec.addresses)
            for prefix in tunnel.prefixes:
                self._add(tunnel, prefix, is_ours=prefix in routed)
        except DataPlaneError:
            self.unmake(tunnel, frozenset())
            raise

    def change(
        self, tunnel: Tunnel, changed: Tunnel, kept_addresses: frozenset[str]
    ) -> None:
        """Go from one state of a tunnel to the next; what is in both is untouched."""
        new = set(changed.spec.addresses) - set(tunnel.spec.addresses)
        self._shared.refuse_taken(new, self._devices)
        for device in self._devices:
            self._shared.ensure_addresses(device, changed.spec.addresses)
        for prefix in changed.prefixes:
            self._add(changed, prefix, is_ours=prefix in tunnel.prefixes)
        for prefix in set(tunnel.prefixes) - set(changed.prefixes):
            self._delete(tunnel, prefix)
        gone = set(tunnel.spec.addresses) - set(changed.spec.addresses)
        for device in self._devices:
            self._shared.remove_addresses(device, gone - kept_addresses)
        self.fit_device(changed.device, changed.mtu)

    def unmake(self, tunnel: Tunnel, kept_addresses: frozenset[str]) -> None:
        """Remove routes, refusals and the addresses that no other tunnel has."""
        for prefix in tunnel.prefixes:
            self._delete(tunnel, prefix)
        gone = set(tunnel.spec.addresses) - kept_addresses
        for device in self._devices:
            self._shared.remove_addresses(device, gone)

    def move(self, tunnel: Tunnel, device: int) -> None:
        """Point every prefix at a device; each moves in one step."""
        for prefix in tunnel.prefixes:
            self._route(tunnel, prefix, device)
        tunnel.device = device

    def restore(self, tunnel: Tunnel, devices: list[int]) -> None:
        """Put back what vanished with devices that were made anew."""
        for index in devices:
            self._shared.ensure_addresses(self._devices[index], tunnel.spec.addresses)
        if tunnel.device in devices:
            self.move(tunnel, tunnel.device)

    def derive_mtu(self, peer: str) -> int:
        """Return the inner MTU for the outer path to an address, in bytes."""
        try:
            outer = self._links.routes.path_mtu(peer)
        except DataPlaneError:
            return DEFAULT_MTU
        return max(outer - OVERHEAD[ip_address(peer).version], MIN_MTU)

    def fit_device(self, device: int, mtu: int | None) -> None:
        """Raise a device's MTU to what a tunnel's routes need; never lower it."""
        name = self._devices[device]
        if mtu is not None and mtu > self._links.mtu_of(name):
            self._links.set_mtu(name, mtu)

    def _add(self, tunnel: Tunnel, prefix: str, *, is_ours: bool) -> None:
        if not is_ours:
            # Refuses to replace a route that is not ours.
            self._links.routes.replace(prefix, self._devices[tunnel.device])
        self._shared.refuse(prefix)
        self._route(tunnel, prefix, tunnel.device)

    def _route(self, tunnel: Tunnel, prefix: str, device: int) -> None:
        self._shared.move_route(
            prefix,
            self._devices[device],
            source=tunnel.source_for(prefix),
            mtu=tunnel.mtu,
        )

    def _delete(self, tunnel: Tunnel, prefix: str) -> None:
        for device in self._devices:
            self._links.routes.delete(prefix, device)
        self._shared.stop_refusing(prefix)
        del tunnel
