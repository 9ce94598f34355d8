"""A tunnel's standing: the phase an operator sees, why it is so, and who is told."""

from collections.abc import Iterator

from gateway.rotation.events import TunnelBlocked, TunnelEvent, TunnelUnproven, TunnelUp
from gateway.rotation.phases import Change, TunnelPhase, after


class TunnelStanding:
    """One tunnel's phase, which the table of `phases` alone changes.

    Attributes:
        name: The tunnel's name.
        phase: What an operator sees.
        reason: Why the tunnel is not up, one line, empty when it is.
    """

    __slots__ = ("name", "phase", "reason")

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = TunnelPhase.DOWN
        self.reason = "not started"

    def start(self) -> None:
        """Note that an operator wants the tunnel up."""
        self._move(Change.START)
        self.reason = "waiting for the first epoch"

    def adopt(self, *, proven: bool) -> None:
        """Note keys of an earlier run, and whether they were in force."""
        self._move(Change.START)
        self._move(Change.ADOPT if proven else Change.DOUBT)
        unproven = "the epoch found in the kernel was never in force"
        self.reason = "" if proven else unproven

    def stop(self) -> None:
        """Note that an operator takes the tunnel down."""
        self._move(Change.STOP)
        self.reason = "taken down"

    def commit(self, number: int) -> None:
        """Note that both ends agreed on an epoch."""
        self._move(Change.COMMIT)
        if self.phase is TunnelPhase.CONNECTING:
            self.reason = f"waiting for a packet that proves epoch {number}"

    def fail(self, detail: str) -> None:
        """Note why there is no first epoch yet."""
        if self.phase in {TunnelPhase.CONNECTING, TunnelPhase.BLOCKED}:
            self.reason = detail

    def prove(self, number: int, obstacle: str) -> Iterator[TunnelEvent]:
        """Note that an epoch is in force and carries; yield what that is news of.

        Args:
            number: The epoch.
            obstacle: What keeps packets out in spite of it, empty for nothing.
        """
        if obstacle:
            if self.phase is TunnelPhase.BLOCKED:
                self._move(Change.PROVE)
            yield from self.doubt(obstacle)
            return
        if self.phase is not TunnelPhase.UP:
            yield TunnelUp(self.name, number)
        self._move(Change.PROVE)
        self.reason = ""

    def doubt(self, reason: str) -> Iterator[TunnelEvent]:
        """Note that nothing in force carries; yield what that is news of."""
        was_unproven = self.phase is TunnelPhase.UNPROVEN
        self._move(Change.DOUBT)
        if self.phase is not TunnelPhase.UNPROVEN:
            return
        self.reason = reason
        if not was_unproven:
            yield TunnelUnproven(self.name, reason)

    def block(self, reason: str, change: Change) -> Iterator[TunnelEvent]:
        """Note that nothing may pass; yield what that is news of.

        Args:
            reason: One line for the operator.
            change: LAPSE or CLOSE.
        """
        was_blocked = self.phase is TunnelPhase.BLOCKED
        self._move(change)
        self.reason = reason
        if not was_blocked:
            yield TunnelBlocked(self.name, reason)

    def _move(self, change: Change) -> None:
        self.phase = after(self.phase, change)
