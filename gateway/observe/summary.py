"""The line that ``systemctl status`` shows."""

from collections.abc import Mapping

from gateway.rotation.phases import TunnelPhase


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
