"""A tunnel's rotation under a stepped clock, and shorthand for what it is told."""

from typing import TYPE_CHECKING
from uuid import UUID

from gateway.rotation.actions import Action, StartHandshake
from gateway.rotation.schedule import Schedule
from gateway.rotation.tunnel import TunnelRotation

if TYPE_CHECKING:
    from gateway.rotation.events import TunnelEvent

INTERVAL = 10.0
LIFETIME = 30.0
KEY_ID = UUID(int=7)


class Stepped:
    """One rotation and its clock.

    Attributes:
        now: Monotonic seconds.
        actions: Everything it asked for, with when.
        events: Everything it said.
    """

    def __init__(
        self, *, initiator: bool, last_epoch: int = 0, qkd_every: int = 1
    ) -> None:
        self.rotation = TunnelRotation(
            Schedule("paris", INTERVAL),
            initiator=initiator,
            max_epoch_lifetime=LIFETIME,
            qkd_wanted=True,
            qkd_every=qkd_every,
            last_epoch=last_epoch,
        )
        self.now = 1000.0
        self.actions: list[tuple[float, Action]] = []
        self.events: list[TunnelEvent] = []

    def collect(self) -> list[Action]:
        """Take what it asks for now."""
        new = []
        while (action := self.rotation.next_action()) is not None:
            new.append(action)
            self.actions.append((self.now, action))
        while (event := self.rotation.next_event()) is not None:
            self.events.append(event)
        return new

    def up(self) -> list[Action]:
        """Bring it up and fire what is due at once."""
        self.rotation.up(now=self.now)
        self.rotation.handle_timer(now=self.now)
        return self.collect()

    def step(self, seconds: float) -> list[Action]:
        """Let time pass, firing every timer at its time."""
        until = self.now + seconds
        new: list[Action] = []
        while (when := self.rotation.get_timer()) is not None and when <= until:
            self.now = max(self.now, when)
            self.rotation.handle_timer(now=self.now)
            new += self.collect()
        self.now = until
        return new

    def commit(
        self,
        number: int,
        key_id: UUID | None = KEY_ID,
        *,
        qkd_age: int | None = None,
        without_qkd: str = "",
    ) -> list[Action]:
        """Say that an epoch was prepared and committed."""
        self.rotation.prepared(number)
        self.rotation.committed(
            number,
            sources=("x25519",),
            key_id=key_id,
            qkd_age=qkd_age if key_id is None else 0,
            now=self.now,
            without_qkd=without_qkd,
        )
        return self.collect()

    def prove(self, number: int) -> list[Action]:
        """Say that both ends have proof."""
        self.rotation.trial.plane_polled(frozenset({number}), now=self.now)
        self.rotation.trial.peer_in_force(number, echo=True, now=self.now)
        return self.collect()

    def fail(self) -> list[Action]:
        """Say that the attempt failed."""
        self.rotation.failed("timeout", "no answer", now=self.now)
        return self.collect()


def started(actions: list[Action]) -> list[int]:
    """Return the epochs that were asked for."""
    return [action.epoch for action in actions if isinstance(action, StartHandshake)]
