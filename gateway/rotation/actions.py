"""Actions that rotation asks of its driver, which reports their outcome."""

from dataclasses import dataclass

from gateway.wire.control import RotateReason


@dataclass(frozen=True, slots=True)
class StartHandshake:
    """Start a handshake for this epoch; report with `failed` if that is impossible."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PollPlane:
    """Poll the data plane and report with `plane_polled`."""


@dataclass(frozen=True, slots=True)
class ReadPlane:
    """Read the data plane's counters; nothing to report but an error."""


@dataclass(frozen=True, slots=True)
class RetireEpoch:
    """Remove an epoch's keys from the kernel."""

    epoch: int


@dataclass(frozen=True, slots=True)
class BlockTunnel:
    """Remove every epoch's keys; nothing may leave."""


@dataclass(frozen=True, slots=True)
class GrantPassing:
    """Let packets pass until then, whatever becomes of this process.

    Attributes:
        until: Monotonic seconds.
    """

    until: float


@dataclass(frozen=True, slots=True)
class RevokePassing:
    """Let nothing pass; the keys stay."""


@dataclass(frozen=True, slots=True)
class SendInForce:
    """Tell the peer that the epoch is proven here."""

    epoch: int
    echo: bool


@dataclass(frozen=True, slots=True)
class SendObstacle:
    """Tell the peer whether something here keeps packets out, whatever their keys."""

    is_there: bool


@dataclass(frozen=True, slots=True)
class AskForRotation:
    """Ask the initiator for a new epoch."""

    reason: RotateReason


Action = (
    StartHandshake
    | PollPlane
    | ReadPlane
    | RetireEpoch
    | BlockTunnel
    | GrantPassing
    | RevokePassing
    | SendInForce
    | SendObstacle
    | AskForRotation
)
