"""One tunnel's epochs on the two devices, and when to try what again. No I/O."""

from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.wireguard.backend import PeerSettings
from gateway.secret import Secret

ADOPTED_EPOCH = 0
"""Number of an epoch found on a device after a restart: WireGuard keeps none."""

KEEPALIVE = 25
"""Seconds between keepalives of a peer in use: WireGuard's own advice, shorter than
any common address translator forgets a UDP mapping. Both ends send them."""

ATTEMPT_DELAYS = (0.95, 0.95, 0.95, 1.45)
"""Seconds until the initiator starts a handshake afresh, in turn for ever. WireGuard
would wait 5 s each time; with these, four losses in a row still end within 5 s of
the commit, and a path that opens again carries within 2 s, whenever that is. An attempt
costs 148 bytes and no key of the store. The first ones are longer than a round trip
over a link of 400 ms; one in four is long enough for two hops by geostationary
satellites (1.2 s). Each is a little less than a multiple of rotation's polls, which
make the attempts."""

RESPONDER_PATIENCE = 2.0
"""Seconds after which the responder tries, too, if it has heard nothing: its own
firewall may let nothing in. Not sooner: two handshakes that cross on the way cancel
each other, which is why only one end starts."""

PROBE_INTERVAL = 0.3
"""Seconds between keepalives that tell the responder of a completed handshake."""


@dataclass(slots=True, eq=False)
class Installed:
    """One epoch's peer on one device.

    Attributes:
        epoch: Its number, or `ADOPTED_EPOCH`.
        device: Index of the device.
        key: The peer's public key.
        since: When it was installed; older readings are not of this peer.
        initiator: Whether this end starts the WireGuard handshake.
        settings: What to install again for a new attempt; None once a handshake
            completed, and for adopted epochs.
        port: UDP port that the peer offered, 0 if unknown.
        activated: Whether `activate` was called.
        confirmed: Whether a handshake completed.
        next_attempt: When to start the handshake afresh.
        attempts: Attempts made.
        next_probe: When to send a keepalive again.
        allowed: The prefixes that the device has for it.
    """

    epoch: int
    device: int
    key: bytes
    since: float
    initiator: bool
    settings: PeerSettings | None = None
    port: int = 0
    activated: bool = False
    confirmed: bool = False
    next_attempt: float = 0.0
    attempts: int = 0
    next_probe: float = 0.0
    allowed: tuple[str, ...] = ()

    def schedule_attempt(self, now: float) -> None:
        """Set when the next attempt is due."""
        if self.initiator:
            step = self.attempts % len(ATTEMPT_DELAYS)
            self.next_attempt = now + ATTEMPT_DELAYS[step]
        else:
            self.next_attempt = now + RESPONDER_PATIENCE
        self.attempts += 1

    def forget_psk(self) -> None:
        """Wipe our copy of the PSK; the device keeps its own."""
        if self.settings is not None:
            self.settings.psk.wipe()
            self.settings = None


@dataclass(slots=True, eq=False)
class WireGuardTunnel:
    """What the plane knows of one tunnel.

    Attributes:
        spec: As given.
        prefixes: What is routed to the peer and accepted from it.
        device: Index of the device to which its routes lead.
        mtu: MTU of its routes in bytes, or None for the device's.
        active: The epoch that carries what is sent; None if nothing can be sent.
        installed: All epochs, oldest first.
    """

    spec: TunnelSpec
    prefixes: tuple[str, ...]
    device: int = 0
    mtu: int | None = None
    active: Installed | None = None
    installed: list[Installed] = field(default_factory=list)

    def find(self, epoch: int) -> Installed | None:
        """Return the newest installation of an epoch."""
        matching = [one for one in self.installed if one.epoch == epoch]
        return matching[-1] if matching else None

    def pending(self) -> Installed | None:
        """Return the newest activated epoch if it is not the active one yet."""
        newest = [one for one in self.installed if one.activated][-1:]
        return newest[0] if newest and newest[0] is not self.active else None

    def idle_device(self) -> int:
        """Return the device for the next epoch: the one the routes do not lead to.

        Not only while an epoch is in use: a packet that reached a prepared peer
        would start its handshake. Each end chooses for itself; the offers tell.
        """
        return 1 - self.device


def tunnel_prefixes(spec: TunnelSpec) -> tuple[str, ...]:
    """Return what belongs to the peer: its subnets and the networks we share with it.

    An address with a prefix (``10.9.0.1/30``) means that the peer has another one in
    it, unless the network is one of our own subnets.
    """
    prefixes = [ip_network(prefix) for prefix in spec.remote_subnets]
    local = {ip_network(prefix) for prefix in spec.local_subnets}
    for address in spec.addresses:
        network = ip_interface(address).network
        is_single = network.prefixlen == network.max_prefixlen
        if not is_single and network not in local:
            prefixes.append(network)
    return tuple(dict.fromkeys(str(prefix) for prefix in prefixes))


def copy_psk(psk: Secret) -> Secret:
    """Return a copy for later attempts: the daemon wipes its own."""
    return Secret(psk.expose())
