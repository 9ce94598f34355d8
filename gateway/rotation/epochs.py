"""The life of an epoch, as a table; nothing else changes its state.

docs/states.md shows it, by scripts/draw-states.

* PREPARED: its receive side is installed; nothing is sent with it.
* COMMITTED: both ends have its keys and this end sends with it.
* IN_FORCE: packets under its keys have arrived at both ends: measured, not hoped.
* RETIRED: its keys are gone from the kernel.
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from uuid import UUID


class EpochPhase(Enum):
    """State of one epoch at this end."""

    PREPARED = "prepared"
    COMMITTED = "committed"
    IN_FORCE = "in force"
    RETIRED = "retired"


TRANSITIONS: Final[dict[EpochPhase, frozenset[EpochPhase]]] = {
    EpochPhase.PREPARED: frozenset({EpochPhase.COMMITTED, EpochPhase.RETIRED}),
    EpochPhase.COMMITTED: frozenset({EpochPhase.IN_FORCE, EpochPhase.RETIRED}),
    EpochPhase.IN_FORCE: frozenset({EpochPhase.RETIRED}),
    EpochPhase.RETIRED: frozenset(),
}


@dataclass(slots=True)
class Epoch:
    """One epoch at this end.

    Attributes:
        number: The epoch's number; 0 where a plane found one in the kernel at start
            and cannot tell its number.
        phase: Where it stands.
        sources: Names of what was mixed into its keys.
        key_id: Its QKD key, if any.
        qkd_age: Epochs since the last fresh QKD key that its keys depend on: 0 for one
            of its own, None for none.
        committed_at: Monotonic seconds, None before.
        judge_at: When it must be in force, or its rotation has failed.
        ends_at: When its own lifetime ends, whether or not it was ever in force.
        in_force_at: Monotonic seconds, None before.
        local_proof: Whether packets under its keys have arrived here.
        peer_proof: Whether the peer says the same of its end.
        peer_knows: Whether the peer has heard that it has our proof.
        overdue: Whether it was not in force at `judge_at`.
        adopted: Whether it was found in the kernel at start: its sources are unknown.
    """

    number: int
    phase: EpochPhase = EpochPhase.PREPARED
    sources: tuple[str, ...] = field(default=())
    key_id: UUID | None = None
    qkd_age: int | None = None
    committed_at: float | None = None
    judge_at: float = math.inf
    ends_at: float = math.inf
    in_force_at: float | None = None
    local_proof: bool = False
    peer_proof: bool = False
    peer_knows: bool = False
    overdue: bool = False
    adopted: bool = False

    def move(self, phase: EpochPhase) -> None:
        """Change the phase.

        Raises:
            ValueError: The table has no such step.
        """
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"epoch {self.number}: {self.phase} to {phase}")
        self.phase = phase
