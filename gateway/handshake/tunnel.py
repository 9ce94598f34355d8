"""The machine's memory of one tunnel."""

from dataclasses import dataclass

from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.secret import Secret
from gateway.wire.payloads import PlaneKind, Policy, Terms


@dataclass(frozen=True, slots=True)
class TunnelParameters:
    """What the configuration says of a tunnel, as far as the handshake cares.

    Attributes:
        name: Equal at both ends, 1 to 32 ASCII characters.
        local: Our identity.
        peer: The peer's, of the same suite.
        initiator: Whether this end starts the handshakes.
        policy: QKD policy.
        plane: Kind of data plane.
        encap: Whether ESP travels in UDP.
        psk: Static 32-byte PSK, or None.
        interval: Rotation interval, seconds.
        qkd_every: A fresh QKD key is mixed in every so many epochs, at least.
    """

    name: str
    local: PrivateIdentity
    peer: PublicIdentity
    initiator: bool
    policy: Policy
    plane: PlaneKind
    encap: bool
    psk: Secret | None
    interval: float
    qkd_every: int = 1

    def terms(self) -> Terms:
        """What the peer is told of it."""
        return Terms(
            self.policy,
            self.plane,
            self.psk is not None,
            self.encap,
            round(self.interval * 1000),
            self.qkd_every,
        )
