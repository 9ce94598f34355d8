"""Doubt whether packets pass: what speaks against the newest epoch, and what for it."""

from enum import Enum

from gateway.rotation.epochs import Epoch
from gateway.rotation.installed import InstalledEpochs
from gateway.rotation.obstacles import Obstacles
from gateway.rotation.passage import Carrying


class Evidence(Enum):
    """What is known of packets.

    * NONE: nothing new; the newest epoch is in force, or may yet come in time.
    * CARRIED: they pass under an epoch in force, though a later one waits for proof.
    * DOUBTED: nothing shows that they pass.
    """

    NONE = "none"
    CARRIED = "carried"
    DOUBTED = "doubted"


class Doubts:
    """What speaks against one tunnel's keys.

    Attributes:
        at: When an epoch that follows none in force leaves the tunnel unproven, or
            None; monotonic seconds.
        missed: Epochs in a row that were not in force in time.
        lost: Why the present keys do not serve any more, empty if they do.
        obstacles: What keeps packets out whatever the keys.
        carrying: What shows that packets still pass.
    """

    __slots__ = ("at", "carrying", "lost", "missed", "obstacles")

    def __init__(self, silence: float) -> None:
        """Make one for a tunnel without keys.

        Args:
            silence: Seconds without a packet that the plane never leaves, if idle.
        """
        self.at: float | None = None
        self.missed = 0
        self.lost = ""
        self.obstacles = Obstacles()
        self.carrying = Carrying(silence)

    @property
    def trouble(self) -> str:
        """What is known to be wrong, one line for the operator; empty for nothing."""
        return self.lost or self.obstacles.word

    def begin(self, epoch: Epoch, *, follows: bool, now: float) -> None:
        """Start over, for an epoch that was just committed.

        Args:
            epoch: The epoch.
            follows: Whether it follows one that still waits for its proof: it gets no
                more time than that.
            now: Current time, monotonic seconds.
        """
        if not follows:
            self.at = epoch.judge_at
        self.carrying.peer_said(now=now)
        self.lost = ""

    def settle(self, *, now: float) -> None:
        """Doubt nothing: the newest epoch is in force."""
        self.at = None
        self.missed = 0
        self.carrying.proven(now=now)
        self.lost = ""

    def clear(self) -> None:
        """Forget what is known of keys: there are none."""
        self.at = None
        self.lost = ""
        self.carrying.forget()
        self.obstacles.rest()

    def lose(self, detail: str, *, now: float) -> None:
        """Note that the present keys do not serve any more."""
        self.lost = detail
        self.carrying.doubted(now=now)

    def is_mended(self, epoch: Epoch) -> bool:
        """Whether keys that were thought lost serve again; forget the loss then."""
        if not self.lost or not self.carrying.is_well(epoch):
            return False
        self.lost = ""
        return True

    def miss(self, epoch: Epoch) -> bool:
        """Note an epoch that is not in force in time.

        Returns:
            Whether another epoch may do better.
        """
        epoch.overdue = True
        self.missed += 1
        return self.missed == 1 and not self.obstacles.word

    def weigh(self, installed: InstalledEpochs, *, now: float) -> Evidence:
        """Return what is known of packets."""
        if installed.current is None:
            return Evidence.NONE
        if self.trouble:
            return Evidence.DOUBTED
        if installed.is_settled():
            return Evidence.NONE
        if self.carrying.carries(installed.by_number, now=now):
            return Evidence.CARRIED
        return Evidence.DOUBTED if self.at is None else Evidence.NONE

    def is_proving(self, installed: InstalledEpochs) -> bool:
        """Whether the newest epoch is younger than its proof may take."""
        return not installed.is_settled() and self.at is not None

    def is_useless(self, installed: InstalledEpochs) -> bool:
        """Whether another epoch would not help: only proof of this one does."""
        epoch = installed.current
        waiting = (
            epoch is not None
            and not installed.is_settled()
            and epoch.overdue
            and self.missed > 1
        )
        return waiting or bool(self.obstacles.word)

    def is_due(self, *, now: float) -> bool:
        """Whether the time of a first epoch has just ended; only once."""
        if self.at is None or now < self.at:
            return False
        self.at = None
        return True
