"""Adoption of what an earlier run of the daemon left on the devices."""

from gateway.dataplane.wireguard.devices import Adoptable
from gateway.dataplane.wireguard.tunnel import ADOPTED_EPOCH, Installed, WireGuardTunnel

ADOPTION_GRACE = 30.0
"""Seconds after `open` in which a tunnel can claim its peers. The daemon adds its
tunnels in the first of them; a peer that nobody claims has no tunnel any more, and
its session must not live on unwatched."""


class Adoption:
    """The peers and routes that were there at `open`, until tunnels claim them."""

    def __init__(
        self,
        peers: dict[str, list[Adoptable]],
        routed: dict[str, str],
        opened_at: float,
    ) -> None:
        self._peers = peers
        self._routed = routed
        self._claimed: set[tuple[int, bytes]] = set()
        self._ends_at = opened_at + ADOPTION_GRACE

    def claim(
        self, tunnel: WireGuardTunnel, devices: tuple[str, str], now: float
    ) -> None:
        """Give a tunnel the peers that have one of its prefixes.

        The one with the newest handshake becomes the active one: its session works
        at both ends, and a rotation that the restart interrupted ends here. Its routes
        lead where they led.
        """
        found: dict[tuple[int, bytes], Adoptable] = {}
        for prefix in tunnel.prefixes:
            for peer in self._peers.pop(prefix, []):
                if (peer.device, peer.key) not in self._claimed:
                    found[peer.device, peer.key] = peer
        self._claimed |= found.keys()
        for peer in sorted(found.values(), key=_by_handshake):
            one = Installed(
                epoch=ADOPTED_EPOCH,
                device=peer.device,
                key=peer.key,
                since=now,
                initiator=False,
                activated=True,
                confirmed=peer.reading.confirmed,
                allowed=peer.reading.allowed,
            )
            tunnel.installed.append(one)
            if one.confirmed:
                tunnel.active = one
        routed = {prefix for prefix in tunnel.prefixes if prefix in self._routed}
        for prefix in routed:
            tunnel.device = devices.index(self._routed.pop(prefix))

    def is_open(self, now: float) -> bool:
        """Whether tunnels may still claim peers."""
        return now < self._ends_at

    def take_unclaimed(self, now: float) -> tuple[Adoptable, ...]:
        """Return the peers that no tunnel claimed in time, once."""
        if now < self._ends_at or not self._peers:
            return ()
        left = {
            (peer.device, peer.key): peer
            for peers in self._peers.values()
            for peer in peers
            if (peer.device, peer.key) not in self._claimed
        }
        self._peers = {}
        return tuple(left.values())


def _by_handshake(peer: Adoptable) -> tuple[bool, tuple[int, int]]:
    """Order completed handshakes by age, and those still to complete after them."""
    return not peer.reading.confirmed, peer.reading.handshake
