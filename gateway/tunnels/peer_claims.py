"""Claims of tunnels on peers, where a plane can give a peer to one tunnel only."""

from gateway.config.model import TunnelConfig
from gateway.dataplane.base import DataPlane
from gateway.errors import PlaneConflictError


class PeerClaims:
    """Peers by tunnel, on planes that know a gateway by its key.

    WireGuard knows a gateway by its key, not by tunnel: two tunnels between the same
    gateways would take turns at replacing each other's peer. The configuration is
    checked for that where it names the plane; with ``auto`` only the kernel decides.
    """

    def __init__(self) -> None:
        self._tunnels: dict[tuple[str, bytes], str] = {}
        self._claimed: dict[str, tuple[str, bytes]] = {}

    def claim(self, config: TunnelConfig, plane: DataPlane, fingerprint: bytes) -> None:
        """Note that a tunnel uses a peer on a plane, if it is to come up.

        Raises:
            PlaneConflictError: Another one does, and the plane allows one.
        """
        self.release(config.name)
        if not plane.traits.one_tunnel_a_peer or not config.enabled:
            return
        claimed = (plane.name, fingerprint)
        first = self._tunnels.setdefault(claimed, config.name)
        if first != config.name:
            raise PlaneConflictError(
                f"tunnel {first} already has this peer on {plane.name}",
                'use one tunnel between two gateways, or plane = "esp"',
            )
        self._claimed[config.name] = claimed

    def release(self, name: str) -> None:
        """Forget a tunnel."""
        claimed = self._claimed.pop(name, None)
        if claimed is not None:
            del self._tunnels[claimed]
