"""The fence of a kernel that can have none: it says so and does nothing else.

There the data planes' own policies and routes are all that keeps packets in.
"""

from gateway.dataplane.fence.base import FencePlan, FenceState, Passage


class UnavailableFence:
    """Stands where a fence would, and never refuses a packet."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def load(self, plan: FencePlan, before: FencePlan | None = None) -> None:
        """Do nothing."""

    def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """Do nothing: everything passes."""

    def revoke(self, name: str) -> None:
        """Do nothing: the data plane blocks."""

    def repair(self, *, touched: bool) -> bool:  # noqa: ARG002  # nothing to look at
        """Return that nothing was changed: there is nothing."""
        return False

    def listen(self) -> None:
        """There is nothing to change."""

    def read(self) -> FenceState:
        """Say that there is none, and why."""
        return FenceState(present=False, reason=self._reason)

    def remove(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
