"""Marks in the sequence of a link's keys: made so far, and drawn so far.

The sequence has two halves, even counters for keys that alice's SAEs draw and odd ones
for bob's, so that both ends can give keys without asking each other first.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.kme.keys import COUNTER_BITS

MAX_MARK: Final = 1 << COUNTER_BITS - 1
"""Keys that one half of the sequence has."""


class Half(IntEnum):
    """Whose SAEs draw these keys; the lowest bit of their counters."""

    ALICE = 0
    BOB = 1

    @property
    def other(self) -> "Half":
        """The other half."""
        return Half(1 - self)

    def counter(self, index: int) -> int:
        """Return the counter of the key with this index in the half."""
        return index << 1 | self

    @staticmethod
    def split(counter: int) -> "tuple[Half, int]":
        """Return half and index of a counter."""
        return Half(counter & 1), counter >> 1


@dataclass(frozen=True, slots=True)
class Marks:
    """How far each half of the sequence has come; numbers only grow.

    Attributes:
        made: Keys that the link has given, by half.
        drawn: Keys that SAEs have drawn, by half: the index of the next one.
    """

    made: tuple[int, int] = (0, 0)
    drawn: tuple[int, int] = (0, 0)

    def stock(self, half: Half) -> int:
        """Return how many keys of a half can be drawn."""
        return self.made[half] - self.drawn[half]

    def merged(self, other: "Marks") -> "Marks":
        """Return the higher of each; nothing can be drawn that was not made."""
        drawn = (
            max(self.drawn[0], other.drawn[0]),
            max(self.drawn[1], other.drawn[1]),
        )
        made = (
            max(self.made[0], other.made[0], drawn[0]),
            max(self.made[1], other.made[1], drawn[1]),
        )
        return Marks(made, drawn)


@dataclass(frozen=True, slots=True)
class DrawnKeys:
    """Keys that one call of ``enc_keys`` draws.

    Attributes:
        first: Index of the first in its half.
        number: How many keys.
        units: Indexes that each key takes: those longer than `key_size` take several.
        size: Bits of each key.
        master: SAE that draws them.
        slave: SAE that may fetch them at the other end.
    """

    first: int
    number: int
    units: int
    size: int
    master: str
    slave: str

    @property
    def end(self) -> int:
        """Index after the last."""
        return self.first + self.number * self.units

    @property
    def indexes(self) -> range:
        """Index of each key."""
        return range(self.first, self.end, self.units)


class BehindError(Exception):
    """Raised when the other end draws keys that this end knows to be drawn already.

    Attributes:
        drawn: From where it may draw.
    """

    def __init__(self, drawn: int) -> None:
        super().__init__(f"drawn up to {drawn}")
        self.drawn = drawn


class NotFoundError(Exception):
    """Raised when a key was never drawn for this pair of SAEs, or is delivered."""


class NotNamedError(Exception):
    """Raised when a key waits, but for another slave SAE."""
