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

from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    BlockTunnel,
    PollPlane,
    RetireEpoch,
    SendInForce,
    StartHandshake,
)
from gateway.rotation.attempts import Attempts
from gateway.rotation.doubts import Doubts, Evidence
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    EpochRetired,
    RotationFailed,
    TunnelEvent,
)
from gateway.rotation.installed import InstalledEpochs
from gateway.rotation.lifetime import Lifetime
from gateway.rotation.phases import Change, TunnelPhase
from gateway.rotation.proof import Proof
from gateway.rotation.qkd import QKDWatch
from gateway.rotation.schedule import Schedule
from gateway.rotation.standing import TunnelStanding
from gateway.wire.control import RotateReason

NOT_IN_FORCE = "not-in-force"
"""Reason of a rotation whose epoch both ends committed and packets did not prove."""


def describe_unproven(epoch: Epoch) -> str:
    """Say that an epoch is not in force, as far as rotation alone can tell why."""
    return f"no packet has proven epoch {epoch.number}"


class TunnelRotation:
    """Decides when keys change and what an epoch lives through.

    Attributes:
        attempts: When this end begins handshakes, or asks for them.
        lifetime: When the tunnel will be blocked.
    """

    __slots__ = (
        "_actions",
        "_doubts",
        "_events",
        "_explain",
        "_installed",
        "_proof",
        "_qkd",
        "_standing",
        "attempts",
        "lifetime",
    )

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
        self.lifetime = Lifetime(max_epoch_lifetime)
        self._standing = TunnelStanding(schedule.name)
        self._qkd = QKDWatch(wanted=qkd_wanted, every=qkd_every)
        self._explain = explain
        self._actions: deque[Action] = deque()
        self._events: deque[TunnelEvent] = deque()
        self._proof = Proof()
        self._installed = InstalledEpochs()
        self._doubts = Doubts(silence)

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self._standing.name

    @property
    def phase(self) -> TunnelPhase:
        """What an operator sees."""
        return self._standing.phase

    @property
    def reason(self) -> str:
        """Why the tunnel is not up, one line, empty when it is."""
        return self._standing.reason

    @property
    def epochs(self) -> dict[int, Epoch]:
        """Epochs that have something in the kernel, by number."""
        return self._installed.by_number

    @property
    def current(self) -> Epoch | None:
        """The newest epoch committed, or None."""
        return self._installed.current

    @property
    def rotations(self) -> int:
        """Epochs committed since start."""
        return self._installed.commits

    @property
    def expires_at(self) -> float | None:
        """When the tunnel will be blocked, None while nothing may pass."""
        return self.lifetime.expires_at

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
        if self.phase is TunnelPhase.DOWN:
            self._standing.start()
        elif self._doubts.is_proving(self._installed) or self.phase is TunnelPhase.UP:
            return
        self._actions.extend(self.attempts.up(now=now, ask=ask))

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
        self._standing.adopt(proven=proven)
        self.attempts.plan(now)
        self.attempts.reached(max(numbers))
        self._installed.adopt(numbers, active=active, now=now)
        self.lifetime.expires_at = expires_at
        self._proof.rest(self._interval, now=now)

    def down(self) -> None:
        """Take the tunnel down; the driver removes its keys."""
        self._clear()
        self._actions.append(BlockTunnel())
        self._standing.stop()
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
        self.lifetime.seconds = max_epoch_lifetime
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
        useless = self._doubts.is_useless(self._installed)
        if reason is RotateReason.LIFETIME and useless:
            return  # the responder cannot know that another epoch would not help
        self._actions.extend(
            self.attempts.rotate(reason, now=now, not_before=not_before)
        )

    # -- What the handshake did

    def prepared(self, number: int) -> None:
        """Note that an epoch's receive side is in the kernel."""
        self.attempts.reached(number)
        self._installed.prepare(number)

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
        epoch = self._installed.prepare(number)
        epoch.move(EpochPhase.COMMITTED)
        epoch.sources = sources
        epoch.key_id = key_id
        epoch.qkd_age = qkd_age
        epoch.committed_at = now
        is_first = self._installed.is_settled() or self.phase is TunnelPhase.BLOCKED
        self._standing.commit(number)
        self.lifetime.begin(epoch, self._interval, now=now)
        self._doubts.begin(epoch, follows=not is_first, now=now)
        self._installed.commit(epoch)
        self.attempts.committed(self._next_after(epoch, now), now=now)
        self._proof.begin(now=now)
        self._actions.extend(self._doubts.obstacles.tell(now=now))
        if self.attempts.initiator:
            self._actions.append(PollPlane())
        self._events.append(
            EpochCommittedHere(self.name, number, sources, key_id, qkd_age)
        )
        self._events.extend(self._qkd.note(self.name, epoch, without_qkd))

    def _next_after(self, epoch: Epoch, committed_at: float) -> float:
        """Return when the next epoch is due: as late as can be if it is of no use."""
        if self._doubts.obstacles.word:
            return epoch.ends_at - self._interval
        return self.attempts.schedule.next_after(committed_at)

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
        self._events.append(
            RotationFailed(self.name, reason, detail, self.failures_in_row)
        )
        if self.current is None:
            self._standing.fail(detail)

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
            self._block(f"the peer {why}", Change.CLOSE)
        self.attempts.peer_closed(now=now, returning=returning)

    # -- Proof

    def plane_polled(
        self,
        proven: frozenset[int],
        *,
        now: float,
        sending: int | None = None,
        heard_at: float | None = None,
    ) -> None:
        """Note what the kernel says.

        Args:
            proven: Epochs that something was received under.
            now: Current time, monotonic seconds.
            sending: The epoch that what is sent leaves under, or None.
            heard_at: When something was last seen to have come, monotonic seconds.
        """
        self._doubts.carrying.polled(sending, heard_at)
        epoch = self.current
        if epoch is None:
            return
        if epoch.number in proven and not epoch.local_proof:
            epoch.local_proof = True
            self._actions.append(self._proof.proven(epoch, now=now))
            self._check_force(epoch, now=now)
        self._proof.plane_polled(epoch, self._interval, now=now)
        self._review(now=now)
        if self._installed.is_settled():
            self._miss(epoch, now=now)
        elif epoch.overdue:
            carrier = self._doubts.carrying.word(self.epochs, now=now)
            if carrier is not None:
                self._actions.append(SendInForce(carrier, echo=False))

    def _miss(self, epoch: Epoch, *, now: float) -> None:
        """Doubt an epoch in force under which nothing comes; or stop doubting it."""
        carrying = self._doubts.carrying
        if self._doubts.is_mended(epoch):
            self._come_up(epoch.number)
        elif carrying.is_silent(now=now):
            self.plane_lost(f"no packet has come for {carrying.silence:g} s", now=now)

    def plane_failed(self, *, now: float) -> None:
        """Note that the kernel could not be asked: it is asked again."""
        if self.current is None:
            return
        self._doubts.carrying.poll_failed()
        self._proof.plane_polled(self.current, self._interval, now=now)
        self._review(now=now)

    def plane_lost(self, detail: str, *, now: float) -> None:
        """Note that the present keys do not serve any more: make new ones.

        Args:
            detail: What is wrong, one line for the operator.
            now: Current time, monotonic seconds.
        """
        if self.current is None:
            return
        self._doubts.lose(detail, now=now)
        self._review(now=now)
        self.rotate(RotateReason.PLANE_LOST, now=now)

    def obstructed(self, detail: str, *, now: float) -> None:
        """Note what keeps packets out of the tunnel at this end, whatever its keys.

        Another epoch would not help, so none is made before this one ends.

        Args:
            detail: What it is, one line for the operator; empty for nothing any more.
            now: Current time, monotonic seconds.
        """
        obstacles = self._doubts.obstacles
        before, can_tell = obstacles.word, self.current is not None
        self._actions.extend(obstacles.note_here(detail, now=now, can_tell=can_tell))
        self._note_obstacle(before, now=now)

    def peer_obstructed(self, *, is_there: bool, now: float) -> None:
        """Note that the peer keeps packets out at its end, or does no more."""
        if self.current is None:
            return
        obstacles = self._doubts.obstacles
        before = obstacles.word
        obstacles.note_there(is_there=is_there, now=now)
        self._note_obstacle(before, now=now)

    def _note_obstacle(self, before: str, *, now: float) -> None:
        """Judge tunnel and schedule anew, if there is another obstacle than before."""
        detail = self._doubts.obstacles.word
        epoch = self.current
        if detail == before or epoch is None or epoch.committed_at is None:
            return
        self._review(now=now)
        if self._installed.is_settled():
            due = self._next_after(epoch, epoch.committed_at)
            self.attempts.plan_unless_urgent(max(now, due))
            if not self._doubts.trouble:
                self._come_up(epoch.number)

    def peer_in_force(self, number: int, *, echo: bool, now: float) -> None:
        """Note that the peer has proof of an epoch."""
        epoch = self.epochs.get(number)
        if epoch is None or epoch is not self.current:
            if epoch is not None and epoch.phase is EpochPhase.IN_FORCE:
                self._doubts.carrying.peer_said(now=now)
            return
        if epoch.phase is EpochPhase.COMMITTED:
            self._doubts.carrying.peer_left()
        answer = self._proof.peer_said(epoch, echo=echo, now=now)
        if answer is not None:
            self._actions.append(answer)
        self._check_force(epoch, now=now)

    def _check_force(self, epoch: Epoch, *, now: float) -> None:
        if not (epoch.local_proof and epoch.peer_proof):
            return
        if epoch.phase is not EpochPhase.COMMITTED or epoch.committed_at is None:
            return
        self._installed.come_into_force(epoch, self._interval, now=now)
        self._actions.append(self.lifetime.renew(epoch))
        self._doubts.settle(now=now)
        if epoch.overdue:
            due = self._next_after(epoch, epoch.committed_at)
            self.attempts.plan_unless_urgent(due)
        self.attempts.in_force(now=now)
        self._proof.rest(self._interval, now=now)
        self._events.append(
            EpochInForce(self.name, epoch.number, now - epoch.committed_at)
        )
        self._come_up(epoch.number)

    def _come_up(self, number: int) -> None:
        self._events.extend(self._standing.prove(number, self._doubts.obstacles.word))

    def _judge(self, epoch: Epoch, *, now: float) -> None:
        """Give up on a rotation whose epoch is not in force in time; keep the epoch."""
        again = self._doubts.miss(epoch)
        detail, missed = self._explain(epoch), self._doubts.missed
        self._events.append(RotationFailed(self.name, NOT_IN_FORCE, detail, missed))
        self.attempts.unproven(now if again else epoch.ends_at)

    def _review(self, *, now: float) -> None:
        """Call the tunnel unproven once nothing that is in force carries."""
        epoch = self.current
        evidence = self._doubts.weigh(self._installed, now=now)
        if epoch is None or evidence is Evidence.NONE:
            return
        if evidence is Evidence.DOUBTED:
            reason = self._doubts.trouble or self._explain(epoch)
            self._events.extend(self._standing.doubt(reason))
        elif self.phase is TunnelPhase.UNPROVEN:
            self._come_up(epoch.number)

    @property
    def _interval(self) -> float:
        """Seconds between epochs."""
        return self.attempts.schedule.interval

    # -- Time

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is to be called next, or None."""
        times = [
            when
            for when in (
                self.attempts.get_timer(),
                self.lifetime.expires_at,
                self._proof.poll_at,
                self._proof.notice_at,
                self._installed.retire_at,
                self._doubts.at,
                self._installed.judge_at(),
                self._doubts.obstacles.get_timer(),
            )
            if when is not None
        ]
        return min(times, default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        judge_at = self._installed.judge_at()
        if self.current is not None and judge_at is not None and now >= judge_at:
            if self.current.overdue:
                self._lapse(now=now)
            else:
                self._judge(self.current, now=now)
        if self._doubts.is_due(now=now):
            self._review(now=now)
        if self.lifetime.is_over(now=now):
            self._lapse(now=now)
        number = self.attempts.due(now=now, hold_until=self._installed.hold_until())
        if number is not None:
            self._actions.append(StartHandshake(number))
        self._actions.extend(self._proof.due(self.current, now=now))
        self._retire(self._installed.due(now=now))
        self._actions.extend(self.attempts.requests.due(now=now))
        obstacles = self._doubts.obstacles
        before = obstacles.word
        if obstacles.is_over(now=now):
            self._note_obstacle(before, now=now)
        self._actions.extend(obstacles.due(now=now))

    def next_action(self) -> Action | None:
        """Return the oldest action not yet returned."""
        return self._actions.popleft() if self._actions else None

    def next_event(self) -> TunnelEvent | None:
        """Return the oldest event not yet returned."""
        return self._events.popleft() if self._events else None

    def _retire(self, epochs: Iterable[Epoch]) -> None:
        for epoch in epochs:
            self._actions.append(RetireEpoch(epoch.number))
            self._events.append(EpochRetired(self.name, epoch.number))

    def _lapse(self, *, now: float) -> None:
        """Fail closed at the lifetime of what was in force.

        An epoch that is committed stays: it may be proven yet, and then carries without
        another handshake.
        """
        epoch = self.current
        if epoch is None or self._installed.is_settled():
            self._block("no new epoch within max_epoch_lifetime")
            return
        reason = f"no epoch in force within max_epoch_lifetime: {self._explain(epoch)}"
        if now >= epoch.ends_at:
            self._block(reason)
            return
        self._actions.append(self.lifetime.revoke())
        self._retire(self._installed.replaced())
        self._events.extend(self._standing.block(reason, Change.LAPSE))

    def _block(self, reason: str, change: Change = Change.LAPSE) -> None:
        self._clear()
        self._actions.append(BlockTunnel())
        self._events.extend(self._standing.block(reason, change))

    def _clear(self) -> None:
        self._installed.clear()
        self._doubts.clear()
        self._proof.stop()
        self.attempts.clear()
        self.lifetime.stop()
