"""Handshakes under way, as each side remembers them.

Records only: `initiating` and `responding` alone change them.
"""

from enum import Enum
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.handshake import limits
from gateway.handshake.events import Address, HandshakeID
from gateway.handshake.holder import Holder
from gateway.handshake.noise.responder import InitiationRead
from gateway.handshake.tunnel import TunnelState

if TYPE_CHECKING:
    from gateway.handshake.noise.initiator import InitiationSent, ResponseRead
    from gateway.handshake.noise.keys import EpochKeys
    from gateway.handshake.noise.symmetric import Chain, QKDKey
    from gateway.handshake.session import Session


class InitiatorState(Enum):
    """Where a handshake that this end started stands (`initiating`)."""

    SENT = "sent"
    KEY = "key"
    VERIFIED = "verified"
    COMMITTING = "committing"


class InitiatorHandshake(Holder):
    """One handshake that this end started."""

    __slots__ = (
        "address",
        "answered",
        "bodies",
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
        tunnel: TunnelState,
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
        self.bodies: list[bytes] = []
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


class ResponderState(Enum):
    """Where a handshake that the peer started stands (`responding`)."""

    ASKED = "asked"
    ANSWERED = "answered"
    REFUSED = "refused"
    COMMITTING = "committing"


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
        tunnel: TunnelState,
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
