"""A responder's requests for an early epoch: sent, repeated, put off."""

from collections.abc import Iterator

from gateway.rotation import limits
from gateway.rotation.actions import AskForRotation
from gateway.wire.control import RotateReason


class Requests:
    """The timers of what a responder asks of its initiator.

    A request may be lost, and nothing answers it but a new epoch.

    Attributes:
        due_by: When the initiator is late with an epoch, or None.
    """

    __slots__ = ("_again_at", "_reason", "_wait", "due_by")

    def __init__(self) -> None:
        self.due_by: float | None = None
        self._again_at: float | None = None
        self._reason = RotateReason.LIFETIME
        self._wait = 0.0

    def begin(self, due_by: float) -> None:
        """Start over, for an epoch that was just committed."""
        self.stop()
        self.due_by = due_by

    def stop(self) -> None:
        """Ask for nothing any more."""
        self.due_by = self._again_at = None

    def insist(self, reason: RotateReason, *, now: float) -> AskForRotation:
        """Return a request to send now; it is repeated until `begin` or `stop`."""
        self._reason = reason
        self._wait = limits.FIRST_REPEAT
        self._again_at = now + self._wait
        return AskForRotation(reason)

    def put_off(self, reason: RotateReason, *, when: float) -> bool:
        """Send one request later, unless an epoch comes before.

        Returns:
            Whether it is the only one that waits to be sent.
        """
        if self._again_at is not None:
            return False
        self._reason = reason
        self._wait = 0.0
        self._again_at = when
        return True

    def get_timer(self) -> float | None:
        """Return when `due` has something to say, or None."""
        times = [when for when in (self.due_by, self._again_at) if when is not None]
        return min(times, default=None)

    def due(self, *, now: float) -> Iterator[AskForRotation]:
        """Yield what is to be asked now."""
        if self._again_at is not None and now >= self._again_at:
            yield AskForRotation(self._reason)
            self._wait = min(self._wait * limits.PAUSE_GROWTH, limits.LATE_REPEAT)
            self._again_at = now + self._wait if self._wait else None
        if self.due_by is not None and now >= self.due_by:
            self.due_by = now + limits.LATE_REPEAT
            yield AskForRotation(RotateReason.LIFETIME)
