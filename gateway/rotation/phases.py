"""The phases of a tunnel, as a table; nothing else changes its phase.

docs/states.md shows it, by scripts/draw-states. Rules:

1. UP is measured. It begins when an epoch is in force at both ends, or with keys that
   an earlier run had in force, and with nothing else.
2. A rotation does not end it: while a new epoch is on its way into force, its
   predecessor carries, or both do.
3. It ends by doubt: the new epoch is not in force in time and no epoch in force
   carries, or the kernel lost the keys.
4. Doubt ends by packets alone: the newest epoch is in force, or an earlier one that is
   carries again. Keys that both ends agree on change nothing.
5. BLOCKED lets nothing pass. Proof of an epoch that is still installed ends it, and so
   does a first new one, which has yet to be proven.
6. Only an operator, or a start, leads out of DOWN.
"""

from enum import Enum
from typing import Final


class TunnelPhase(Enum):
    """What an operator sees of a tunnel.

    * DOWN: by an operator.
    * CONNECTING: no epoch yet, or the first one is younger than its proof may take.
    * UNPROVEN: keys are agreed on, and nothing shows that packets pass.
    * UP: an epoch is in force at both ends and carries.
    * BLOCKED: nothing may pass.
    """

    DOWN = "down"
    CONNECTING = "connecting"
    UNPROVEN = "unproven"
    UP = "up"
    BLOCKED = "blocked"


class Change(Enum):
    """What can happen to a phase.

    * START: an operator wants the tunnel up.
    * ADOPT: the kernel holds keys of an earlier run that were in force.
    * COMMIT: both ends agreed on an epoch.
    * PROVE: an epoch is in force at both ends, and carries.
    * DOUBT: nothing that is in force carries.
    * LAPSE: the last epoch in force reached its lifetime.
    * CLOSE: the peer took the tunnel down.
    * STOP: an operator takes it down.
    """

    START = "start"
    ADOPT = "adopt"
    COMMIT = "commit"
    PROVE = "prove"
    DOUBT = "doubt"
    LAPSE = "lapse"
    CLOSE = "close"
    STOP = "stop"


_LIVING: Final = {
    Change.PROVE: TunnelPhase.UP,
    Change.LAPSE: TunnelPhase.BLOCKED,
    Change.CLOSE: TunnelPhase.BLOCKED,
    Change.STOP: TunnelPhase.DOWN,
}
"""The same in every phase but DOWN."""

TRANSITIONS: Final[dict[TunnelPhase, dict[Change, TunnelPhase]]] = {
    TunnelPhase.DOWN: {
        Change.START: TunnelPhase.CONNECTING,
        Change.STOP: TunnelPhase.DOWN,
    },
    TunnelPhase.CONNECTING: {
        **_LIVING,
        Change.ADOPT: TunnelPhase.UP,
        Change.COMMIT: TunnelPhase.CONNECTING,
        Change.DOUBT: TunnelPhase.UNPROVEN,
    },
    TunnelPhase.UNPROVEN: {
        **_LIVING,
        Change.COMMIT: TunnelPhase.UNPROVEN,
        Change.DOUBT: TunnelPhase.UNPROVEN,
    },
    TunnelPhase.UP: {
        **_LIVING,
        Change.COMMIT: TunnelPhase.UP,
        Change.DOUBT: TunnelPhase.UNPROVEN,
    },
    TunnelPhase.BLOCKED: {
        **_LIVING,
        Change.COMMIT: TunnelPhase.CONNECTING,
        Change.DOUBT: TunnelPhase.BLOCKED,
    },
}


def after(phase: TunnelPhase, change: Change) -> TunnelPhase:
    """Return the phase that a change leads to.

    Raises:
        ValueError: The table has no such step.
    """
    try:
        return TRANSITIONS[phase][change]
    except KeyError:
        raise ValueError(f"{change.value} of a tunnel that is {phase.value}") from None
