"""The line that ``systemctl status`` shows."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.control.schema import Approval
from gateway.rotation.phases import TunnelPhase
from gateway.tunnels.set import TunnelSet

STATUS_DELAY: Final = 0.2
"""Seconds until ``systemctl status`` shows a tunnel that came up or was blocked."""


def summarize(phases: Mapping[TunnelPhase, int], *, unstarted: int) -> str:
    """Count tunnels by phase, those that are up first; leave out what there is none of.

    Args:
        phases: How many there are in each.
        unstarted: How many more cannot start.
    """
    total = sum(phases.values()) + unstarted
    parts = [f"{phases.get(TunnelPhase.UP, 0)} of {total} tunnels up"]
    parts += [
        f"{phases[phase]} {phase.value}"
        for phase in TunnelPhase
        if phase is not TunnelPhase.UP and phases.get(phase)
    ]
    if unstarted:
        parts.append(f"{unstarted} cannot start")
    return ", ".join(parts)


def _awaited(act: Approval) -> str:
    # All that `systemctl reload` says of a reload that waits is that it failed.
    return f"waits for a second person: {act['what']} (qgw approve {act['id']})"


class StatusLine:
    """Shows how the tunnels stand, at once or soon."""

    def __init__(
        self,
        tunnels: TunnelSet,
        show: Callable[[str], None],
        waiting: Callable[[], Iterable[Approval]] = tuple,
    ) -> None:
        """Show nothing yet.

        Args:
            tunnels: What it is about.
            show: Takes each line.
            waiting: Returns the acts that wait for a second person.
        """
        self._tunnels = tunnels
        self._waiting = waiting
        self._show = show
        self._timer: asyncio.TimerHandle | None = None

    def text(self) -> str:
        """Return the line."""
        drivers = self._tunnels.drivers.values()
        phases = Counter(driver.state.rotation.phase for driver in drivers)
        line = summarize(phases, unstarted=len(self._tunnels.failed))
        return "; ".join((line, *map(_awaited, self._waiting())))

    def show(self) -> None:
        """Show it now."""
        self._show(self.text())

    def refresh(self) -> None:
        """Show it soon, once for all that happens until then.

        Looking at every tunnel for each event of each would grow with their square.
        """
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(STATUS_DELAY, self._show_refreshed)

    def stop(self) -> None:
        """Show nothing more by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _show_refreshed(self) -> None:
        self._timer = None
        self.show()
