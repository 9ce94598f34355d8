"""A lane of tests, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BIN = ROOT / ".venv" / "bin"


LANE_SECONDS = 1800
"""A lane that takes longer hangs: several times what any takes on two processors, since
a busy machine is slow. Each test has its own limit, as pyproject.toml says."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane.

    Attributes:
        name: What the operator calls it.
        needs: What it is for, and what it needs.
        path: What must exist for it to run.
        commands: The commands to run, in order; a function when the kernel decides.
        together: Whether they run side by side instead, each in a kernel of its own.
        processors: How many it keeps busy, on average; see `PROCESSORS`.
        aside: What the table says of it besides; nothing where all is as it should be.
        by_name: Whether it takes so long that it runs only when it is named.
        seconds: How long it may take before it counts as hanging.
    """

    name: str
    needs: str
    path: str
    commands: Callable[[], list[tuple[str, ...]]]
    processors: float
    together: bool = False
    aside: Callable[[], str] = str
    by_name: bool = False
    seconds: int = LANE_SECONDS


@dataclass(frozen=True, slots=True)
class Result:
    """How a lane ended.

    Attributes:
        processors: How many it kept busy on average, without what outlived its
            commands: what a lane's own figure should say.
        repeated: Attempts at tests that failed under load and did not count, each
            with what the machine withheld.
    """

    lane: Lane
    state: str
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    why: str = ""
    repeated: tuple[str, ...] = ()
    processors: float = 0.0


class CannotRunError(Exception):
    """Raised when this machine lacks what a lane needs; says what."""
