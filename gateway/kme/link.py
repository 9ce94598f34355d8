"""A simulated QKD link as the KME sees it: secret bits, and how it stands.

The model knows physics and nothing of keys: it says how many secret bits each block
gave after post-processing; the KME cuts them into keys. It performs no I/O and reads no
clock, so that time can run fast in tests.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

MAX_QBER = 0.5
"""A quantum bit error rate beyond which nobody measures anything: a coin's."""


class LinkState(StrEnum):
    """How a quantum link stands."""

    UP = "up"
    DOWN = "down"
    """No light: fibre cut, or switched off."""
    EAVESDROPPED = "eavesdropped"
    """The QBER says that someone listens: blocks are thrown away, the alarm is on."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of sifted bits after error correction and privacy amplification.

    Attributes:
        secret_bits: Secret bits it gave, 0 when it was thrown away.
        qber: Quantum bit error rate measured in it, 0 to 0.5.
        time: When it was delivered, in the seconds that `blocks_due` is given.
    """

    secret_bits: int
    qber: float
    time: float


@dataclass(frozen=True, slots=True)
class KmeLinkStatus:
    """How the link stands.

    Attributes:
        state: Up, down or eavesdropped.
        qber: QBER of the last block, or None before the first.
        secret_rate: Secret bits a second that the link gives as it stands.
        alarm: What an operator must know, empty when all is well.
        description: One line: what kind of link this models.
    """

    state: LinkState
    qber: float | None
    secret_rate: float
    alarm: str
    description: str


@runtime_checkable
class LinkUnderSky(Protocol):
    """A `LinkModel` that clouds can cover."""

    def overcast(self, station: str, days: float) -> None:
        """Cloud the sky over a station from now on.

        Args:
            station: Its name.
            days: Simulated days; 0 ends what was said before.

        Raises:
            QuantumLinkError: The link has no such station, or the time is none.
        """


class LinkModel(Protocol):
    """A simulated quantum link. One end ("alice") runs it for both.

    `now` is monotonic seconds, from any origin; the first call sets it.
    """

    def blocks_due(self, now: float) -> list[Block]:
        """Return the blocks that were delivered since the last call, oldest first.

        Call it about ten times a second; after a longer pause what the pause gave is
        returned, at most a bounded number of blocks.
        """

    def down(self) -> None:
        """Cut the fibre: blocks that are not delivered yet are lost."""

    def up(self) -> None:
        """Mend it."""

    def eavesdrop(self, on: bool) -> None:  # noqa: FBT001  # a switch
        """Let someone listen, or stop it: the QBER rises and the rate goes to zero."""

    def status(self) -> KmeLinkStatus:
        """Say how the link stands."""
