"""The time until which packets may pass, and the grants that say so to the kernel."""

from gateway.rotation import limits
from gateway.rotation.actions import GrantPassing, RevokePassing
from gateway.rotation.epochs import Epoch


class Lifetime:
    """When a tunnel fails closed, whatever else is going on.

    Attributes:
        seconds: How long an epoch may serve after its commit.
        expires_at: When the last epoch in force, or a first one that is not yet,
            reaches that, monotonic seconds; None while nothing may pass.
    """

    __slots__ = ("expires_at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expires_at: float | None = None

    def begin(self, epoch: Epoch, interval: float, *, now: float) -> None:
        """Set the times of an epoch that was just committed.

        It lets packets pass for longer only once it is in force.

        Args:
            epoch: The epoch.
            interval: Seconds between epochs.
            now: Current time, monotonic seconds.
        """
        epoch.ends_at = now + self.seconds
        if self.expires_at is None:
            self.expires_at = epoch.ends_at
        left = self.expires_at - now - interval
        patience = max(limits.PROOF_SHARE * interval, left)
        epoch.judge_at = now + min(limits.PROOF_TIMEOUT, patience)

    def renew(self, epoch: Epoch) -> GrantPassing:
        """Let packets pass for as long as an epoch that came into force may serve."""
        self.expires_at = epoch.ends_at
        return GrantPassing(epoch.ends_at)

    def revoke(self) -> RevokePassing:
        """Let nothing pass any more; keys stay."""
        self.stop()
        return RevokePassing()

    def stop(self) -> None:
        """Forget the time: there are no keys."""
        self.expires_at = None

    def is_over(self, *, now: float) -> bool:
        """Whether what passes now must end."""
        return self.expires_at is not None and now >= self.expires_at
