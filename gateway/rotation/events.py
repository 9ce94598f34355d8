"""Events of tunnels, to be logged, counted, shown and audited."""

from dataclasses import dataclass
from uuid import UUID

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class EpochCommittedHere(Event):
    """Both ends hold the epoch's keys, and this end sends with them.

    Attributes:
        sources: What its keys mix.
        key_id: Its fresh QKD key, or None.
        qkd_age: Epochs since the last fresh one that its keys depend on, None for none.
    """

    tunnel: str
    epoch: int
    sources: tuple[str, ...]
    key_id: UUID | None
    qkd_age: int | None


@dataclass(frozen=True, slots=True)
class EpochInForce(Event):
    """Packets under the epoch's keys have arrived at both ends.

    Attributes:
        after: Seconds since it was committed here.
    """

    tunnel: str
    epoch: int
    after: float


@dataclass(frozen=True, slots=True)
class EpochRetired(Event):
    """The epoch's keys are gone from the kernel."""

    tunnel: str
    epoch: int


@dataclass(frozen=True, slots=True)
class RotationFailed(Event):
    """An attempt at a new epoch ended without one.

    Attributes:
        reason: Short machine-readable reason.
        detail: One line for the operator.
        attempts: Failures in a row, this one included.
    """

    tunnel: str
    reason: str
    detail: str
    attempts: int


@dataclass(frozen=True, slots=True)
class TunnelBlocked(Event):
    """The tunnel fails closed: nothing is sent, neither in clear nor under old keys."""

    tunnel: str
    reason: str


@dataclass(frozen=True, slots=True)
class TunnelUp(Event):
    """The tunnel carries traffic after it did not: an epoch is in force."""

    tunnel: str
    epoch: int


@dataclass(frozen=True, slots=True)
class TunnelUnproven(Event):
    """Keys are agreed on, and nothing shows any more that packets pass."""

    tunnel: str
    reason: str


@dataclass(frozen=True, slots=True)
class QKDMissing(Event):
    """Policy ``preferred``: an epoch lacks the fresh QKD key that was due.

    Said when that begins, and when its reason changes.

    Attributes:
        reason: One line for the operator.
    """

    tunnel: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class QKDRestored(Event):
    """An epoch mixes a fresh QKD key again, after some that did not."""

    tunnel: str
    epoch: int


TunnelEvent = (
    EpochCommittedHere
    | EpochInForce
    | EpochRetired
    | RotationFailed
    | TunnelBlocked
    | TunnelUp
    | TunnelUnproven
    | QKDMissing
    | QKDRestored
)
