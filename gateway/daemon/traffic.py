"""What one tunnel carried: counters that only grow, over epochs and restarts.

The kernel counts for each epoch, and forgets with it. The totals are what epochs that
are gone had counted, and what those that are there count now. The first part is kept on
disk (`gateway.daemon.state`), so that a daemon that follows one that was killed goes on
from the same numbers; it finds the second in the kernel. All of it starts from zero
when the host boots, as the kernel's own counters do.
"""

from dataclasses import astuple, dataclass

from gateway.dataplane.base import EpochState, PlaneState


@dataclass(frozen=True, slots=True)
class Counts:
    """Packets and bytes each way; packets stay 0 on planes that count none."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0

    @property
    def received(self) -> tuple[int, int]:
        """Packets and bytes."""
        return self.rx_packets, self.rx_bytes

    @property
    def sent(self) -> tuple[int, int]:
        """Packets and bytes."""
        return self.tx_packets, self.tx_bytes

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum of each."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Counts(*(one + two for one, two in pairs))

    def fell_from(self, before: "Counts") -> bool:
        """Whether a count is lower: what counted was removed, or made anew."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return any(now < then for now, then in pairs)


NOTHING = Counts()


class Traffic:
    """One tunnel's totals.

    Attributes:
        gone: What epochs had counted that are no longer in the kernel.
        received_at: When a reading last found that something had come, monotonic
            seconds, None for never: it came between that reading and the one before.
        sent_at: The same of what was sent.
    """

    def __init__(self, gone: Counts = NOTHING) -> None:
        """Go on from what epochs had counted that are gone."""
        self.gone = gone
        self.received_at: float | None = None
        self.sent_at: float | None = None
        self._there: dict[int, Counts] | None = None

    @property
    def total(self) -> Counts:
        """Everything carried."""
        return sum((self._there or {}).values(), start=self.gone)

    def note(self, state: PlaneState, *, now: float) -> None:
        """Take a reading of the kernel."""
        before = self._there or {}
        there = {epoch.epoch: _counts(epoch) for epoch in state.epochs}
        rx, tx = self.total.received, self.total.sent
        for number, counted in before.items():
            if there.get(number, NOTHING).fell_from(counted):
                self.gone += counted
        is_first, self._there = self._there is None, there
        if is_first:
            return  # what a first reading finds may have come long ago
        if self.total.received > rx:
            self.received_at = now
        if self.total.sent > tx:
            self.sent_at = now


def _counts(epoch: EpochState) -> Counts:
    return Counts(epoch.packets_in, epoch.bytes_in, epoch.packets_out, epoch.bytes_out)
