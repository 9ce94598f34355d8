"""The traffic of one tunnel: counters that only grow, over epochs and restarts.

The kernel counts for each epoch, and forgets with it. The totals are what epochs that
are gone had counted, and what those that are there count now. The first part is kept on
disk (`gateway.tunnels.records`), so that a daemon that follows one that was killed
goes on from the same numbers; it finds the second in the kernel. All of it starts from
zero when the host boots, as the kernel's own counters do.
"""

from dataclasses import dataclass

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

    def values(self) -> tuple[int, int, int, int]:
        """Return all four, in the order of the fields."""
        return self.rx_packets, self.rx_bytes, self.tx_packets, self.tx_bytes

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum of each."""
        return Counts(
            self.rx_packets + other.rx_packets,
            self.rx_bytes + other.rx_bytes,
            self.tx_packets + other.tx_packets,
            self.tx_bytes + other.tx_bytes,
        )

    def fell_from(self, before: "Counts") -> bool:
        """Whether a count is lower: what counted was removed, or made anew."""
        return (
            self.rx_packets < before.rx_packets
            or self.rx_bytes < before.rx_bytes
            or self.tx_packets < before.tx_packets
            or self.tx_bytes < before.tx_bytes
        )


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
        if there == self._there:
            return  # nothing came or went: most readings of a rotation say so
        total = self.total
        for number, counted in before.items():
            if there.get(number, NOTHING).fell_from(counted):
                self.gone += counted
        is_first, self._there = self._there is None, there
        if is_first:
            return  # what a first reading finds may have come long ago
        carried = self.total
        if carried.received > total.received:
            self.received_at = now
        if carried.sent > total.sent:
            self.sent_at = now


def _counts(epoch: EpochState) -> Counts:
    return Counts(epoch.packets_in, epoch.bytes_in, epoch.packets_out, epoch.bytes_out)
