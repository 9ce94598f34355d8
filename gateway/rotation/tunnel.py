"""One tunnel's rotation at one end: decides, and does nothing itself.

A driver tells it what happened and what time it is, carries out what `next_action`
returns, passes on what `next_event` returns, and calls `handle_timer` at
`get_timer`. Invariants:

* Nothing passes longer than `max_epoch_lifetime` after the commit of the last epoch in
  force, or of a first one that is not in force yet, whatever else is going on.
* Epoch numbers proposed here only grow.
* An epoch that was in force is retired only once a newer one is, or at its lifetime.
* An epoch that does not come into force is a failed rotation. One more handshake
  follows at once; then the epoch stays and is probed, and no handshake costs a key
  before its lifetime ends or something tells that the next may succeed.
"""

from collections.abc import Callable
from uuid import UUID

from gateway.rotation import limits
from gateway.rotation.actions import Action, BlockTunnel, StartHandshake
from gateway.rotation.attempts import Attempts
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.events import EpochCommittedHere, RotationFailed, TunnelEvent
from gateway.rotation.phases import Change, TunnelPhase
from gateway.rotation.qkd import QKDWatch
from gateway.rotation.schedule import Schedule
from gateway.rotation.trial import Trial
from gateway.wire.control import RotateReason


def describe_unproven(epoch: Epoch) -> str:
    """Say that an epoch is not in force, as far as rotation alone can tell why."""
    return f"no packet has proven epoch {epoch.number}"


class TunnelRotation:
    """Decides when keys change and what an epoch lives through.

    Attributes:
        attempts: When this end begins handshakes, or asks for them.
        trial: What becomes of the epochs that both ends committed.
    """

    __slots__ = ("_qkd", "attempts", "trial")

    def __init__(  # a tunnel's whole policy
        self,
        schedule: Schedule,
        *,
        initiator: bool,
        max_epoch_lifetime: float,
        qkd_wanted: bool,
        qkd_every: int = 1,
        last_epoch: int = 0,
        explain: Callable[[Epoch], str] = describe_unproven,
        silence: float = limits.PROBED_SILENCE,
    ) -> None:
        """Make a tunnel that is down.

        Args:
            schedule: Name and interval.
            initiator: Whether this end starts the handshakes.
            max_epoch_lifetime: Seconds.
            qkd_wanted: Whether an epoch without a QKD key is worth an event.
            qkd_every: How many epochs may share a fresh one, by the chain.
            last_epoch: The last epoch proposed or committed before a restart.
            explain: Says why an epoch is not in force, one line for the operator.
            silence: Seconds without a packet that the plane never leaves, if idle.
        """
        self.attempts = Attempts(schedule, initiator=initiator, last_epoch=last_epoch)
        self.trial = Trial(
            self.attempts,
            max_epoch_lifetime=max_epoch_lifetime,
            explain=explain,
            silence=silence,
        )
        self._qkd = QKDWatch(wanted=qkd_wanted, every=qkd_every)

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.trial.standing.name

    @property
    def phase(self) -> TunnelPhase:
        """What an operator sees."""
        return self.trial.standing.phase

    @property
    def reason(self) -> str:
        """Why the tunnel is not up, one line, empty when it is."""
        return self.trial.standing.reason

    @property
    def epochs(self) -> dict[int, Epoch]:
        """Epochs that have something in the kernel, by number."""
        return self.trial.installed.by_number

    @property
    def current(self) -> Epoch | None:
        """The newest epoch committed, or None."""
        return self.trial.installed.current

    @property
    def rotations(self) -> int:
        """Epochs committed since start."""
        return self.trial.installed.commits

    @property
    def expires_at(self) -> float | None:
        """When the tunnel will be blocked, None while nothing may pass."""
        return self.trial.lifetime.expires_at

    @property
    def without_qkd(self) -> str | None:
        """Why epochs lack the QKD key that is wanted, None if they do not."""
        return self._qkd.missing

    @property
    def next_attempt(self) -> float | None:
        """When the initiator rotates next, None if it does not."""
        return self.attempts.next_at

    @property
    def failures(self) -> int:
        """Rotations that failed since start."""
        return self.attempts.retries.total

    @property
    def failures_in_row(self) -> int:
        """Handshakes that failed since the last one that did not."""
        return self.attempts.retries.in_row

    # -- What the operator wants

    def up(self, *, now: float, ask: bool = False) -> None:
        """Bring the tunnel up: the initiator starts at once, also one that waits.

        Args:
            now: Current time, monotonic seconds.
            ask: Whether a responder can ask its initiator to start.
        """
        trial = self.trial
        if self.phase is TunnelPhase.DOWN:
            trial.standing.start()
        elif self.phase is TunnelPhase.UP or trial.doubts.is_proving(trial.installed):
            return
        trial.actions.extend(self.attempts.up(now=now, ask=ask))

    def adopt(
        self,
        numbers: tuple[int, ...],
        *,
        active: int,
        expires_at: float,
        now: float,
        proven: bool = True,
    ) -> None:
        """Take over what an earlier run left in the kernel, instead of `up`.

        Args:
            numbers: Epochs found there, 0 for one whose number cannot be told.
            active: The one that sends.
            expires_at: When the last epoch in force reaches its lifetime, or a first
                one that was not in force yet, monotonic seconds.
            now: Current time, monotonic seconds.
            proven: Whether the one that sends was in force.
        """
        self.trial.adopt(
            numbers, active=active, expires_at=expires_at, now=now, proven=proven
        )
        self.attempts.plan(now)
        self.attempts.reached(max(numbers))

    def down(self) -> None:
        """Take the tunnel down; the driver removes its keys."""
        self.trial.clear()
        # What was missed before tells nothing of the path when it comes up again.
        self.trial.doubts.missed = 0
        self.trial.actions.append(BlockTunnel())
        self.trial.standing.stop()
        self.attempts.stop()

    def reconfigure(
        self,
        schedule: Schedule,
        *,
        max_epoch_lifetime: float,
        qkd_wanted: bool,
        qkd_every: int = 1,
    ) -> None:
        """Take over a new schedule; the present epoch keeps its time of expiry."""
        self.trial.lifetime.seconds = max_epoch_lifetime
        self._qkd.reconfigure(wanted=qkd_wanted, every=qkd_every)
        last = self.current.committed_at if self.current else None
        self.attempts.reschedule(schedule, last=last)

    def rotate(
        self, reason: RotateReason, *, now: float, not_before: float = 0.0
    ) -> None:
        """Rotate now rather than on schedule; a responder asks its peer.

        A plane that lost its keys, and a peer that moved, are served at once, and then
        at growing pauses. A wish that comes during an attempt is served by it, or if
        that fails, by one more soon after, whatever the failure is worth.

        Args:
            reason: Why.
            now: Current time, monotonic seconds.
            not_before: The soonest that it may be, where somebody else wishes it.
        """
        if self.phase is TunnelPhase.DOWN:
            return
        useless = self.trial.doubts.is_useless(self.trial.installed)
        if reason is RotateReason.LIFETIME and useless:
            return  # the responder cannot know that another epoch would not help
        self.trial.actions.extend(
            self.attempts.rotate(reason, now=now, not_before=not_before)
        )

    # -- What the handshake did

    def prepared(self, number: int) -> None:
        """Note that an epoch's receive side is in the kernel."""
        self.attempts.reached(number)
        self.trial.installed.prepare(number)

    def committed(
        self,
        number: int,
        *,
        sources: tuple[str, ...],
        key_id: UUID | None,
        qkd_age: int | None,
        now: float,
        without_qkd: str = "",
    ) -> None:
        """Note that an epoch is committed and sending uses it.

        Args:
            number: The epoch.
            sources: What its keys mix.
            key_id: The QKD key it mixes, or None.
            qkd_age: Epochs since the last fresh key that its keys depend on, or None.
            now: Current time, monotonic seconds.
            without_qkd: Why it mixes none, one line for the operator.
        """
        self.attempts.reached(number)
        epoch = self.trial.installed.prepare(number)
        epoch.move(EpochPhase.COMMITTED)
        epoch.sources = sources
        epoch.key_id = key_id
        epoch.qkd_age = qkd_age
        self.trial.begin(epoch, now=now)
        self.trial.events.append(
            EpochCommittedHere(self.name, number, sources, key_id, qkd_age)
        )
        self.trial.events.extend(self._qkd.note(self.name, epoch, without_qkd))

    def lacks_qkd(self, epoch: Epoch) -> bool:
        """Whether an epoch has no QKD key as fresh as is wanted."""
        return self._qkd.lacks(epoch)

    def failed(
        self, reason: str, detail: str, *, now: float, key_spent: bool = False
    ) -> None:
        """Note that an attempt ended without an epoch.

        Args:
            reason: Short machine-readable reason.
            detail: One line for the operator.
            now: Current time, monotonic seconds.
            key_spent: Whether the attempt cost a QKD key.
        """
        is_down = self.phase is TunnelPhase.DOWN
        self.attempts.failed(now=now, key_spent=key_spent, again=not is_down)
        self.trial.events.append(
            RotationFailed(self.name, reason, detail, self.failures_in_row)
        )
        if self.current is None:
            self.trial.standing.fail(detail)

    def learned(self, *, now: float) -> None:
        """Note that the failure taught us something: the next attempt is another one.

        An initiator with an old backup learns a few used QKD keys at a time, and must
        get past them all within one interval.
        """
        self.attempts.learned(now=now)

    def behind(self, peer_epoch: int, *, now: float) -> None:
        """Note that the peer has committed later epochs than we know of.

        One of us lost its memory or a message; the next attempt starts above. A
        peer that is not ahead, or too far to follow, is a failure like any other.
        """
        is_down = self.phase is TunnelPhase.DOWN
        if not self.attempts.follow(peer_epoch, now=now, again=not is_down):
            detail = f"the peer says that it has committed epoch {peer_epoch}"
            self.failed("stale-epoch", detail, now=now)

    def peer_silent(self, *, now: float) -> None:
        """Note that the peer does not answer: perhaps it lost the session."""
        self.attempts.peer_silent(now=now, has_epoch=self.current is not None)

    def peer_closed(self, *, now: float, returning: bool = False) -> None:
        """Note that the peer took the tunnel down on purpose: fail closed.

        Args:
            now: Current time, monotonic seconds.
            returning: Whether it takes it down only to make it anew.
        """
        if self.phase is TunnelPhase.DOWN or self.attempts.closed:
            return
        if self.phase is not TunnelPhase.BLOCKED or self.current is not None:
            why = "makes the tunnel anew" if returning else "took the tunnel down"
            self.trial.block(f"the peer {why}", Change.CLOSE)
        self.attempts.peer_closed(now=now, returning=returning)

    # -- Time

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is to be called next, or None."""
        planned = (self.attempts.get_timer(), *self.trial.timers())
        return min((when for when in planned if when is not None), default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        trial = self.trial
        trial.end_what_is_over(now=now)
        number = self.attempts.due(now=now, hold_until=trial.installed.hold_until())
        if number is not None:
            trial.actions.append(StartHandshake(number))
        trial.seek_proof(now=now)
        trial.actions.extend(self.attempts.requests.due(now=now))
        trial.tell_obstacles(now=now)

    def next_action(self) -> Action | None:
        """Return the oldest action not yet returned."""
        return self.trial.actions.pop(0) if self.trial.actions else None

    def next_event(self) -> TunnelEvent | None:
        """Return the oldest event not yet returned."""
        return self.trial.events.pop(0) if self.trial.events else None
