"""Events from the protocol machine to its driver.

Some events ask for an answer, named in their docstring; the others only inform.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from uuid import UUID

from gateway.handshake.noise.keys import EpochKeys
from gateway.wire.control import ControlMessage
from gateway.wire.payloads import InitiationPayload, Status, Terms

Address = Hashable
"""A path to a peer: where it is, and which of our addresses it knows us by. Opaque to
the machine, which sends an answer by the path that the question came by."""

HandshakeID = bytes
"""8 bytes naming a handshake at this end."""


@dataclass(frozen=True, slots=True)
class DatagramDropped:
    """A datagram was dropped, unanswered.

    Attributes:
        reason: Why; one of a fixed set of words (docs/protocol.md, section 9).
        address: Where it came from.
    """

    reason: str
    address: Address


@dataclass(frozen=True, slots=True)
class UnknownPeer:
    """Somebody who knows our identity came with a fingerprint we do not know.

    Attributes:
        fingerprint: 25 bytes.
        address: Where it came from.
    """

    fingerprint: bytes
    address: Address


@dataclass(frozen=True, slots=True)
class InitiationReceived:
    """At the responder: a peer asks for an epoch.

    Answer with `accept_initiation` or `refuse_initiation`.

    Attributes:
        qkd_wanted: Whether to look for a QKD key among those offered; if not, the
            chain carries an earlier one on, and both ends' `qkd_every` allow that.
    """

    handshake: HandshakeID
    tunnel: str
    request: InitiationPayload
    address: Address
    qkd_wanted: bool


@dataclass(frozen=True, slots=True)
class InitiationRefused:
    """At the responder: an authentic M1 was refused.

    Attributes:
        tunnel: The name it asked for.
        fingerprint: The peer.
        status: Why.
        terms: The peer's configuration.
        known: Whether `tunnel` is one of this peer's.
    """

    tunnel: str
    fingerprint: bytes
    status: Status
    terms: Terms
    known: bool


@dataclass(frozen=True, slots=True)
class PeerHasty:
    """At the responder: the peer begins epochs faster than any honest one does.

    Attributes:
        tunnel: The tunnel.
        address: Where its initiation came from.
    """

    tunnel: str
    address: Address


@dataclass(frozen=True, slots=True)
class HandshakeRefused:
    """At the initiator: the responder said no, authentically.

    Attributes:
        tunnel: The tunnel.
        status: Why.
        terms: The peer's configuration.
        epoch: The last epoch it committed.
        used: QKD keys that were offered and that it has used up.
    """

    handshake: HandshakeID
    tunnel: str
    status: Status
    terms: Terms
    epoch: int
    used: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class QKDKeyRequested:
    """At the initiator: the responder chose a QKD key.

    Answer with `provide_qkd_key` (after consuming it) or `refuse_qkd_key`.

    Attributes:
        used: QKD keys offered that the responder has used up: retire them.
    """

    handshake: HandshakeID
    tunnel: str
    key_id: UUID
    used: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class EpochPrepared:
    """At the initiator: M2 verified. Prepare receiving, then `commit`.

    Attributes:
        qkd_age: Epochs since the last fresh QKD key that the keys depend on: 0 for
            one of this epoch's own, None for none.
        used: As in `QKDKeyRequested`: a responder that chose no key has used them, too.
    """

    handshake: HandshakeID
    tunnel: str
    epoch: int
    keys: EpochKeys
    sources: tuple[str, ...]
    key_id: UUID | None
    qkd_age: int | None
    plane_offer: bytes
    terms: Terms
    address: Address
    used: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class CommitReceived:
    """At the responder: M3 verified.

    Consume the QKD key, prepare and activate, then `confirm`; or `abort`.

    Attributes:
        qkd_age: As in `EpochPrepared`.
    """

    handshake: HandshakeID
    tunnel: str
    epoch: int
    keys: EpochKeys
    sources: tuple[str, ...]
    key_id: UUID | None
    qkd_age: int | None
    plane_offer: bytes
    terms: Terms
    address: Address


@dataclass(frozen=True, slots=True)
class EpochCommitted:
    """At the initiator: M4 verified. Activate sending."""

    handshake: HandshakeID
    tunnel: str
    epoch: int
    address: Address


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """A handshake ended without keys at this end.

    Attributes:
        reason: ``timeout``, ``unconfirmed``, ``symmetric``, ``policy``, ``qkd``,
            ``expired``, ``superseded`` or ``aborted``.
        detail: One line for the operator.
    """

    handshake: HandshakeID
    tunnel: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """An authentic, newest message came from another address than before.

    Attributes:
        keyed: Whether it committed an epoch, which so has the new address already.
    """

    tunnel: str
    address: Address
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class PeerDoubled:
    """At the responder: another machine speaks with the peer's identity.

    Attributes:
        address: Where the one is that holds the newest session.
        other: Where the one is that still speaks under the session before.
    """

    tunnel: str
    address: Address
    other: Address


@dataclass(frozen=True, slots=True)
class ControlReceived:
    """A control message that the machine does not answer itself."""

    tunnel: str
    epoch: int
    message: ControlMessage


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """The peer does not answer its pings."""

    tunnel: str


Event = (
    DatagramDropped
    | UnknownPeer
    | InitiationReceived
    | InitiationRefused
    | PeerHasty
    | HandshakeRefused
    | QKDKeyRequested
    | EpochPrepared
    | CommitReceived
    | EpochCommitted
    | HandshakeFailed
    | PeerMoved
    | PeerDoubled
    | ControlReceived
    | PeerSilent
)
