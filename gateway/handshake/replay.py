"""A sliding window against replayed counters (RFC 6479's idea, one integer)."""

from gateway.handshake.limits import REPLAY_WINDOW


class ReplayWindow:
    """Accepts each counter once, and none that is `REPLAY_WINDOW` behind the newest."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    @property
    def highest(self) -> int:
        """The newest counter accepted, -1 before the first."""
        return self._highest

    def is_fresh(self, counter: int) -> bool:
        """Whether `accept` would be right for this counter."""
        behind = self._highest - counter
        if behind < 0:
            return True
        return behind < REPLAY_WINDOW and not self._seen >> behind & 1

    def accept(self, counter: int) -> None:
        """Record a counter whose datagram has verified."""
        ahead = counter - self._highest
        if ahead > 0:
            if ahead < REPLAY_WINDOW:
                mask = (1 << REPLAY_WINDOW) - 1
                self._seen = (self._seen << ahead) & mask | 1
            else:
                self._seen = 1
            self._highest = counter
        else:
            self._seen |= 1 << -ahead
