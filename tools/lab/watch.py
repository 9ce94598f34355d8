"""Collects what both ends of a pair say of each epoch while it lives."""

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import ControlError
from lab.gateway import Gateway

POLL = 0.2
"""Seconds between looks; epochs live for seconds."""


@dataclass(slots=True)
class EpochSeen:
    """One epoch as its ends reported it.

    Attributes:
        number: The epoch.
        sources: What its keys were mixed from.
        key_id: Its QKD key.
        in_force: Ends that said both ends have proof.
    """

    number: int
    sources: tuple[str, ...]
    key_id: str | None
    in_force: set[str] = field(default_factory=set)


class Watcher:
    """Looks at both ends again and again."""

    def __init__(self, ends: tuple[Gateway, Gateway]) -> None:
        self._ends = ends
        self.epochs: dict[int, EpochSeen] = {}
        self.failed: dict[str, int] = {}
        self.disagreements: list[str] = []

    def look(self) -> None:
        """Read both ends once; an end that does not answer is passed over."""
        for end in self._ends:
            with contextlib.suppress(ControlError):
                self._note(end.letter, end.tunnel())

    def wait_in_force(self, timeout: float, *, after: int = 0) -> int:
        """Wait for an epoch that both ends say is in force; return its number.

        Raises:
            TimeoutError: There was none in time.
        """
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            self.look()
            ready = [
                seen.number
                for seen in self.epochs.values()
                if len(seen.in_force) == len(self._ends) and seen.number > after
            ]
            if ready:
                return max(ready)
            time.sleep(0.02)
        states = [end.tunnel()["reason"] for end in self._ends]
        raise TimeoutError(f"no epoch in force after {timeout:g} s: {states}")

    def _note(self, letter: str, status: dict[str, Any]) -> None:
        self.failed[letter] = status["failed_rotations"]
        number = status["epoch"]
        if number is None or not status["sources"]:
            return
        seen = self.epochs.setdefault(
            number, EpochSeen(number, tuple(status["sources"]), status["key_id"])
        )
        said = (tuple(status["sources"]), status["key_id"])
        if said != (seen.sources, seen.key_id):
            self.disagreements.append(f"epoch {number}: {said} at {letter}")
        if status["in_force"]["local"] and status["in_force"]["peer"]:
            seen.in_force.add(letter)
