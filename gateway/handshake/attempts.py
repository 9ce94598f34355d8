"""Tunnels and their handshakes under way, as each side remembers them.

Records only: `initiator` and `responder` alone change them.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.handshake import limits
from gateway.handshake.cookies import Seal
from gateway.handshake.events import Address, HandshakeID
from gateway.handshake.holder import Holder
from gateway.handshake.noise.responder import InitiationRead
from gateway.handshake.peer_paces import PeerPaces
from gateway.handshake.states import (
    INITIATOR_INPUTS,
    RESPONDER_INPUTS,
    InitiatorInput,
    InitiatorState,
    InitiatorStep,
    ResponderInput,
    ResponderState,
    ResponderStep,
    after_initiator,
    after_responder,
)
from gateway.handshake.tunnel import TunnelParameters

if TYPE_CHECKING:
    from gateway.handshake.noise.initiator import InitiationSent, ResponseRead
    from gateway.handshake.noise.keys import EpochKeys
    from gateway.handshake.noise.symmetric import Chain, QKDKey, SymmetricInputs
    from gateway.handshake.session import Session


class InitiatorHandshake(Holder):
    """One handshake that this end started."""

    __slots__ = (
        "address",
        "answered",
        "chain",
        "commit",
        "deadline",
        "epoch",
        "first_mac1",
        "handshake_id",
        "keys",
        "offered",
        "qkd",
        "qkd_age",
        "read",
        "rto",
        "sent",
        "sent_at",
        "session",
        "state",
        "suspicion",
        "tunnel",
    )

    def __init__(
        self,
        handshake_id: HandshakeID,
        tunnel: "TunnelHandshakes",
        epoch: int,
        offered: tuple[UUID, ...],
        address: Address,
    ) -> None:
        self.handshake_id = handshake_id
        self.tunnel = tunnel
        self.epoch = epoch
        self.offered = offered
        self.address = address
        self.answered: Address = None
        self.chain: Chain | None = tunnel.chains[0] if tunnel.chains else None
        self.state = InitiatorState.SENT
        self.sent: InitiationSent
        self.sent_at = 0.0
        self.rto = limits.INITIAL_RTO
        self.deadline = 0.0
        self.first_mac1 = b""
        self.read: ResponseRead | None = None
        self.qkd: QKDKey | None = None
        self.qkd_age: int | None = None
        self.keys: EpochKeys | None = None
        self.commit = b""
        self.session: Session | None = None
        self.suspicion = ""

    def takes(self, what: InitiatorInput) -> bool:
        """Whether this is the state that an input belongs to."""
        return self.state is INITIATOR_INPUTS[what]

    def move(self, step: InitiatorStep) -> None:
        """Change the state.

        Raises:
            ValueError: The table has no such step.
        """
        self.state = after_initiator(self.state, step)


class ResponderHandshake(Holder):
    """One handshake that a peer started."""

    __slots__ = (
        "address",
        "answers",
        "chain",
        "commit",
        "commit_address",
        "digest",
        "handshake_id",
        "keys",
        "qkd",
        "qkd_age",
        "read",
        "remote_id",
        "response",
        "sources",
        "state",
        "tunnel",
    )

    def __init__(
        self,
        handshake_id: HandshakeID,
        *,
        remote_id: bytes,
        tunnel: "TunnelHandshakes",
        read: InitiationRead,
        address: Address,
        digest: bytes,
    ) -> None:
        self.handshake_id = handshake_id
        self.remote_id = remote_id
        self.tunnel = tunnel
        self.read = read
        self.address = address
        self.digest = digest
        self.state = ResponderState.ASKED
        self.response: list[bytes] = []
        self.answers = 0
        self.keys: EpochKeys | None = None
        self.chain: Chain | None = None
        self.qkd: UUID | None = None
        self.qkd_age: int | None = None
        self.sources: tuple[str, ...] = ()
        self.commit = b""
        self.commit_address: Address = None

    def takes(self, what: ResponderInput) -> bool:
        """Whether this is the state that an input belongs to."""
        return self.state is RESPONDER_INPUTS[what]

    def move(self, step: ResponderStep) -> None:
        """Change the state.

        Raises:
            ValueError: The table has no such step.
        """
        self.state = after_responder(self.state, step)


class TunnelHandshakes:
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
        paces: Bounds of what the peer may do.
    """

    __slots__ = (
        "address",
        "chains",
        "committed",
        "cookie",
        "cookie_expires",
        "current",
        "handshake",
        "heard",
        "paces",
        "parameters",
        "pending",
        "pings",
        "previous",
        "round_trip",
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
        self.paces = PeerPaces(peer_rate)

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.parameters.name

    def sources(self, inputs: "SymmetricInputs") -> tuple[str, ...]:
        """Names of what an epoch's keys mix, for status and audit."""
        suite = self.parameters.local.suite
        names = (suite.ecdh.name, suite.kem.parameters.name, *inputs.sources())
        return tuple(name.lower() for name in names)
