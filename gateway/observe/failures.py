"""Rotations that fail again and again, as events tell of them."""

from dataclasses import dataclass

from gateway.rotation.events import EpochInForce, RotationFailed, TunnelEvent


@dataclass(frozen=True, slots=True)
class Failing:
    """A tunnel's failures since its last epoch in force.

    Attributes:
        attempts: How many.
        since: When the first of them ended, monotonic seconds.
        reason: The last one's, one word.
        detail: The last one's, one line.
    """

    attempts: int
    since: float
    reason: str
    detail: str


class FailingRotations:
    """The tunnels whose rotation fails at present."""

    def __init__(self) -> None:
        self._found: dict[str, Failing] = {}

    def note(self, event: TunnelEvent, *, now: float) -> None:
        """Take what happened to a tunnel."""
        match event:
            case RotationFailed(tunnel, reason, detail, _):
                before = self._found.get(tunnel)
                self._found[tunnel] = Failing(
                    1 + (before.attempts if before else 0),
                    before.since if before else now,
                    reason,
                    detail,
                )
            case EpochInForce(tunnel):
                self.forget(tunnel)
            case _:
                pass

    def forget(self, tunnel: str) -> None:
        """Drop what is known of a tunnel that is taken down, or removed."""
        self._found.pop(tunnel, None)

    def get(self, tunnel: str) -> Failing | None:
        """Return a tunnel's failures, None while its rotation works."""
        return self._found.get(tunnel)
