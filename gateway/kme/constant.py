"""A link of constant rate: no physics, for tests and for demonstrations in a hurry."""

from gateway.kme.link import Block, KmeLinkStatus, LinkState

BLOCK_INTERVAL = 0.1
"""Seconds between blocks: what a real link delivers over minutes comes evenly."""

MAX_CATCH_UP = 60.0
"""Seconds of a pause that are made up for; a suspended machine makes no keys."""

QUIET_QBER = 0.02
"""What a well aligned fibre link shows."""

NOISY_QBER = 0.25
"""What an intercept-resend attack leaves (BB84)."""


class ConstantLink:
    """A `gateway.kme.link.LinkModel` that gives so many secret bits a second.

    Args:
        rate: Secret bits a second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._last: float | None = None
        self._owed = 0.0
        self._is_up = True
        self._eavesdropped = False

    def blocks_due(self, now: float) -> list[Block]:
        """Return one block for all that was due since the last call."""
        if self._last is None:
            self._last = now
            return []
        passed = now - self._last
        if passed < BLOCK_INTERVAL:
            return []
        self._last = now
        if not self._is_up:
            return []
        if self._eavesdropped:
            return [Block(0, NOISY_QBER, now)]
        self._owed += self._rate * min(passed, MAX_CATCH_UP)
        bits = int(self._owed)
        self._owed -= bits
        return [Block(bits, QUIET_QBER, now)]

    def down(self) -> None:
        """Cut the fibre."""
        self._is_up = False

    def up(self) -> None:
        """Mend it."""
        self._is_up = True

    def eavesdrop(self, on: bool) -> None:  # noqa: FBT001  # a switch
        """Let someone listen, or stop it."""
        self._eavesdropped = on

    def status(self) -> KmeLinkStatus:
        """Say how the link stands."""
        description = f"constant {self._rate:g} secret bits a second, no physics"
        if not self._is_up:
            return KmeLinkStatus(
                LinkState.DOWN, None, 0.0, "the quantum link is down", description
            )
        if self._eavesdropped:
            alarm = f"QBER {NOISY_QBER:.0%}: someone listens, no keys are made"
            return KmeLinkStatus(
                LinkState.EAVESDROPPED, NOISY_QBER, 0.0, alarm, description
            )
        return KmeLinkStatus(LinkState.UP, QUIET_QBER, self._rate, "", description)
