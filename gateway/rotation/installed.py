"""A tunnel's epochs that have something in the kernel, and which is the newest."""

from collections.abc import Iterator

from gateway.rotation import limits
from gateway.rotation.epochs import Epoch, EpochPhase


class InstalledEpochs:
    """What one tunnel has in the kernel.

    Attributes:
        by_number: Epochs, by number.
        current: The newest epoch committed, or None.
        commits: Epochs committed since start.
        retire_at: When those that `current` replaces are to go, or None.
    """

    __slots__ = ("by_number", "commits", "current", "retire_at")

    def __init__(self) -> None:
        self.by_number: dict[int, Epoch] = {}
        self.current: Epoch | None = None
        self.commits = 0
        self.retire_at: float | None = None

    def adopt(self, numbers: tuple[int, ...], *, active: int, now: float) -> None:
        """Take over what an earlier run left.

        Args:
            numbers: Epochs found, 0 for one whose number cannot be told.
            active: The one that sends.
            now: Current time, monotonic seconds.
        """
        for number in numbers:
            epoch = Epoch(number, EpochPhase.IN_FORCE, adopted=True)
            epoch.committed_at = epoch.in_force_at = now
            epoch.local_proof = epoch.peer_proof = epoch.peer_knows = True
            self.by_number[number] = epoch
        self.current = self.by_number[active]

    def prepare(self, number: int) -> Epoch:
        """Return an epoch whose receive side is in the kernel."""
        return self.by_number.setdefault(number, Epoch(number))

    def commit(self, epoch: Epoch) -> None:
        """Make an epoch the newest; its predecessors stay until it is in force."""
        self.current = epoch
        self.commits += 1
        self.retire_at = None

    def come_into_force(self, epoch: Epoch, interval: float, *, now: float) -> None:
        """Note that the newest is in force: its predecessors go soon.

        Args:
            epoch: The newest.
            interval: Seconds between epochs.
            now: Current time, monotonic seconds.
        """
        epoch.move(EpochPhase.IN_FORCE)
        epoch.in_force_at = now
        share = limits.RETIRE_SHARE * interval
        self.retire_at = now + min(limits.RETIRE_DELAY, share)

    def due(self, *, now: float) -> Iterator[Epoch]:
        """Yield the epochs that are to be retired now."""
        if self.retire_at is not None and now >= self.retire_at:
            self.retire_at = None
            yield from self.replaced()

    def replaced(self) -> Iterator[Epoch]:
        """Yield the epochs that the newest replaces, and forget them."""
        if self.current is None:
            return
        for number in sorted(self.by_number):
            if number < self.current.number:
                epoch = self.by_number.pop(number)
                epoch.move(EpochPhase.RETIRED)
                yield epoch

    def clear(self) -> None:
        """Forget all: there are no keys."""
        for epoch in self.by_number.values():
            epoch.move(EpochPhase.RETIRED)
        self.by_number.clear()
        self.current = self.retire_at = None

    def is_settled(self) -> bool:
        """Whether there is no epoch that waits for its proof."""
        return self.current is None or self.current.phase is not EpochPhase.COMMITTED

    def judge_at(self) -> float | None:
        """When an epoch not in force fails its rotation, and then, when it ends."""
        epoch = self.current
        if epoch is None or self.is_settled():
            return None
        return epoch.ends_at if epoch.overdue else epoch.judge_at

    def hold_until(self) -> float | None:
        """Return when an epoch not yet in force may be overtaken, None for at once.

        Until then its predecessor carries the traffic, and a plane with room for two
        (WireGuard) would have to drop that to make room for a third.
        """
        epoch = self.current
        if epoch is None or self.is_settled() or epoch.overdue:
            return None
        return epoch.judge_at
