"""What the machine keeps of one tunnel."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.handshake import limits
from gateway.handshake.bucket import Bucket
from gateway.handshake.cookies import Seal
from gateway.secret import Secret
from gateway.wire.payloads import PlaneKind, Policy, Terms

if TYPE_CHECKING:
    from gateway.handshake.attempts import InitiatorHandshake, ResponderHandshake
    from gateway.handshake.events import Address
    from gateway.handshake.noise.symmetric import Chain
    from gateway.handshake.session import Session


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


class TunnelState:
    """One tunnel's protocol state.

    Attributes:
        parameters: The configuration.
        terms: What the peer is told of it.
        static_secret: ``ss``: ECDH of both static keys, the same in every handshake.
        seal: The peer's, for mac1 on what we send.
        address: Where the peer was last heard, authentically.
        committed: The last epoch committed here.
        chains: Chain secrets that may be mixed next, newest first, at most two.
        handshake: The handshake we started, if one is under way.
        pending: Handshakes the peer started, oldest first.
        current: Session of the last committed epoch.
        previous: The one before, while its datagrams may still arrive.
        shown: At the responder, since when the initiator has shown that it holds
            `current`; None before, and once two were seen to speak.
        cookie: What the peer asked us to show, or empty.
        cookie_expires: Until when.
        round_trip: Last measured, seconds, or None.
        heard: When the peer was last heard, authentically.
        pings: Pings sent since.
        silent: Whether the driver was told of the silence.
        begun: Bounds the epochs that the peer begins.
        refused: Bounds those that are refused, which may be replays.
        moves: Bounds how often its address changes.
        said: Bounds its control messages.
        cookies: Bounds the cookies for its address.
    """

    __slots__ = (
        "address",
        "begun",
        "chains",
        "committed",
        "cookie",
        "cookie_expires",
        "cookies",
        "current",
        "handshake",
        "heard",
        "moves",
        "parameters",
        "pending",
        "pings",
        "previous",
        "refused",
        "round_trip",
        "said",
        "seal",
        "shown",
        "silent",
        "static_secret",
        "terms",
    )

    def __init__(
        self,
        parameters: TunnelParameters,
        committed: int,
        peer_rate: float = limits.PEER_RATE,
    ) -> None:
        self.parameters = parameters
        self.terms = parameters.terms()
        self.static_secret = parameters.local.ecdh.exchange(parameters.peer.ecdh)
        self.seal = Seal(parameters.peer)
        self.address: Address = None
        self.committed = committed
        self.chains: tuple[Chain, ...] = ()
        self.handshake: InitiatorHandshake | None = None
        self.pending: OrderedDict[bytes, ResponderHandshake] = OrderedDict()
        self.current: Session | None = None
        self.previous: Session | None = None
        self.shown: float | None = None
        self.cookie = b""
        self.cookie_expires = 0.0
        self.round_trip: float | None = None
        self.heard = float("-inf")
        self.pings = 0
        self.silent = False
        self.begun = Bucket(peer_rate, limits.PEER_BURST)
        self.refused = Bucket(peer_rate, limits.PEER_BURST)
        self.moves = Bucket(limits.MOVE_RATE, limits.MOVE_BURST)
        self.said = Bucket(limits.CONTROL_RATE, limits.CONTROL_BURST)
        self.cookies = Bucket(limits.PEER_REPLIES, limits.PEER_REPLIES)

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.parameters.name
