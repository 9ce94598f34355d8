"""A fence in memory, for tests of what is above it. It records every call."""

from typing import TYPE_CHECKING

from gateway.dataplane.fence.base import FencePlan, FenceState, Passage, TunnelFence

if TYPE_CHECKING:
    from gateway.errors import DataPlaneError


class FakeFence:
    """Remembers plans and grants; time does not pass in it.

    Attributes:
        calls: Every call that changes something: ``("revoke", "paris")``.
        plan: What was loaded last.
        before: What was loaded with it, to be refused too.
        grants: What may pass, and for how long.
        dropped: Packets refused outward and inward, by tunnel, as a test sets them.
        failure: Raised by the next call that changes something, if set.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.plan = FencePlan()
        self.before: FencePlan | None = None
        self.grants: dict[str, tuple[Passage, float]] = {}
        self.dropped: dict[str, tuple[int, int]] = {}
        self.failure: DataPlaneError | None = None

    def load(self, plan: FencePlan, before: FencePlan | None = None) -> None:
        """See `Fence.load`."""
        self._begin("load", plan, before)
        self.plan, self.before = plan, before
        both = (*plan.tunnels, *(before.tunnels if before else ()))
        names = {tunnel.name for tunnel in both}
        self.grants = {n: g for n, g in self.grants.items() if n in names}

    def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """See `Fence.grant`."""
        self._begin("grant", name, passage, seconds)
        self.grants[name] = (passage, seconds)

    def revoke(self, name: str) -> None:
        """See `Fence.revoke`."""
        self._begin("revoke", name)
        self.grants.pop(name, None)

    def repair(self, *, touched: bool) -> bool:  # noqa: ARG002  # nothing to look at
        """See `Fence.repair`: nobody changes a fence in memory."""
        return False

    def listen(self) -> None:
        """Nobody changes a fence in memory."""

    def read(self) -> FenceState:
        """See `Fence.read`."""
        granted = {name: seconds for name, (_, seconds) in self.grants.items()}
        return FenceState(
            present=True,
            tunnels={
                tunnel.name: TunnelFence(
                    *self.dropped.get(tunnel.name, (0, 0)),
                    granted=granted.get(tunnel.name, 0.0),
                )
                for tunnel in self.plan.tunnels
            },
        )

    def remove(self) -> None:
        """See `Fence.remove`."""
        self._begin("remove")
        self.plan, self.before = FencePlan(), None
        self.grants.clear()

    def close(self) -> None:
        """See `Fence.close`: what was loaded stays."""

    def _begin(self, method: str, *arguments: object) -> None:
        self.calls.append((method, *arguments))
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
