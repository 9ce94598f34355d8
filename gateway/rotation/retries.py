"""Waits after handshakes that failed."""

from gateway.rotation import limits

_MANY = 10
"""Failures after which a wait has long reached its bound."""


class Retries:
    """Failed handshakes of one tunnel, and the back-off that follows from them.

    Attributes:
        total: Rotations that failed since start.
        in_row: Handshakes that failed since the last that did not.
    """

    __slots__ = ("_keys_spent", "in_row", "total")

    def __init__(self) -> None:
        self.total = 0
        self.in_row = 0
        self._keys_spent = 0

    def failed(self, *, key_spent: bool) -> None:
        """Note a handshake that ended without an epoch."""
        self.total += 1
        self.in_row += 1
        self._keys_spent += key_spent

    def succeeded(self) -> None:
        """Note one that ended with an epoch."""
        self.in_row = 0
        self._keys_spent = 0

    def wait(self, interval: float) -> float:
        """Return how long to wait before the next, seconds."""
        tries = min(self.in_row - 1, _MANY)
        wait = limits.FIRST_RETRY * limits.RETRY_GROWTH**tries
        wait = min(wait, limits.MAX_RETRY, limits.RETRY_SHARE * interval)
        spent = limits.FIRST_RETRY * limits.SPENT_GROWTH ** min(self._keys_spent, _MANY)
        if self._keys_spent:
            wait = max(wait, min(spent, limits.SPENT_SHARE * interval))
        return wait
