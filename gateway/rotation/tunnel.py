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
from collections.abc import Callable
from uuid import UUID

from gateway.handshake.bucket import Bucket
from gateway.handshake.limits import PEER_BURST, PEER_RATE
from gateway.handshake.policy import is_near
from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    GrantPassing,
    PollPlane,
    RetireEpoch,
    RevokePassing,
    SendInForce,
    StartHandshake,
)
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    EpochRetired,
    QKDMissing,
    QKDRestored,
    RotationFailed,
    TunnelBlocked,
    TunnelEvent,
    TunnelUnproven,
    TunnelUp,
)
from gateway.rotation.obstacles import Obstacles
from gateway.rotation.pace import Pace
from gateway.rotation.passage import Carrying
from gateway.rotation.phases import Change, TunnelPhase, after
from gateway.rotation.proof import Proof
from gateway.rotation.requests import Requests
from gateway.rotation.retries import Retries
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason

NOT_IN_FORCE = "not-in-force"
"""Reason of a rotation whose epoch both ends committed and packets did not prove."""


def describe_unproven(epoch: Epoch) -> str:
    """Say that an epoch is not in force, as far as rotation alone can tell why."""
    return f"no packet has proven epoch {epoch.number}"


class TunnelRotation:
    """Decides when keys change and what an epoch lives through.

    Attributes:
        name: The tunnel's name.
        phase: What an operator sees.
        reason: Why the tunnel is not up, one line, empty when it is.
        epochs: Epochs that have something in the kernel, by number.
        current: The newest epoch committed, or None.
        rotations: Epochs committed since start.
        expires_at: When the tunnel will be blocked, None while nothing may pass.
        next_attempt: When the initiator rotates next, None if it does not.
        without_qkd: Why epochs lack the QKD key that is wanted, None if they do not.
    """

    __slots__ = (
        "_actions",
        "_attempting",
        "_begun",
        "_carrying",
        "_closed",
        "_closed_pace",
        "_doubt_at",
        "_events",
        "_explain",
        "_held",
        "_highest",
        "_initiator",
        "_lifetime",
        "_lost",
        "_obstacles",
        "_paces",
        "_proof",
        "_qkd_every",
        "_qkd_wanted",
        "_requests",
        "_retire_at",
        "_retries",
        "_schedule",
        "_unproven",
        "_urgent",
        "_wished",
        "current",
        "epochs",
        "expires_at",
        "name",
        "next_attempt",
        "phase",
        "reason",
        "rotations",
        "without_qkd",
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
        self.name = schedule.name
        self._schedule = schedule
        self._initiator = initiator
        self._lifetime = max_epoch_lifetime
        self._qkd_wanted = qkd_wanted
        self._qkd_every = qkd_every
        self._highest = last_epoch
        self._explain = explain
        self._actions: deque[Action] = deque()
        self._events: deque[TunnelEvent] = deque()
        self._attempting = False
        self._begun = Bucket(PEER_RATE, PEER_BURST)
        self._retries = Retries()
        self._requests = Requests()
        self._proof = Proof()
        self._paces = {
            reason: Pace(limits.FIRST_PAUSE, limits.LONGEST_PAUSE)
            for reason in (RotateReason.PLANE_LOST, RotateReason.ADDRESS_CHANGED)
        }
        self._closed_pace = Pace(limits.FIRST_CLOSED, limits.LONGEST_CLOSED)
        self._closed = False
        self._carrying = Carrying(silence)
        self._lost = ""
        self._obstacles = Obstacles()
        self._doubt_at: float | None = None
        self._unproven = 0
        self._retire_at: float | None = None
        self._held = False
        self._urgent = self._wished = False
        self.phase = TunnelPhase.DOWN
        self.reason = "not started"
        self.epochs: dict[int, Epoch] = {}
        self.current: Epoch | None = None
        self.without_qkd: str | None = None
        self.rotations = 0
        self.expires_at: float | None = None
        self.next_attempt: float | None = None

    @property
    def failures(self) -> int:
        """Rotations that failed since start."""
        return self._retries.total

    @property
    def failures_in_row(self) -> int:
        """Handshakes that failed since the last one that did not."""
        return self._retries.in_row

    # -- What the operator wants

    def up(self, *, now: float, ask: bool = False) -> None:
        """Bring the tunnel up: the initiator starts at once, also one that waits.

        Args:
            now: Current time, monotonic seconds.
            ask: Whether a responder can ask its initiator to start.
        """
        if self.phase is TunnelPhase.DOWN:
            self._move(Change.START)
            self.reason = "waiting for the first epoch"
        elif self._is_proving() or self.phase is TunnelPhase.UP:
            return
        self._reopen()
        if not self._initiator:
            if ask:
                self._actions.append(
                    self._requests.insist(RotateReason.OPERATOR, now=now)
                )
        elif not self._attempting:
            self.next_attempt = now

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
        self._move(Change.START)
        self.next_attempt = now if self._initiator else None
        for number in numbers:
            epoch = Epoch(number, EpochPhase.IN_FORCE, adopted=True)
            epoch.committed_at = epoch.in_force_at = now
            epoch.local_proof = epoch.peer_proof = epoch.peer_knows = True
            self.epochs[number] = epoch
        self._highest = max(self._highest, *numbers)
        self.current = self.epochs[active]
        self.expires_at = expires_at
        if proven:
            self._move(Change.ADOPT)
            self.reason = ""
        else:
            self._move(Change.DOUBT)
            self.reason = "the epoch found in the kernel was never in force"
        self._proof.rest(self._schedule.interval, now=now)

    def down(self) -> None:
        """Take the tunnel down; the driver removes its keys."""
        self._clear()
        self._actions.append(BlockTunnel())
        self._move(Change.STOP)
        self.reason = "taken down"
        self.next_attempt = None
        self._attempting = self._wished = False
        self._reopen()

    def reconfigure(
        self,
        schedule: Schedule,
        *,
        max_epoch_lifetime: float,
        qkd_wanted: bool,
        qkd_every: int = 1,
    ) -> None:
        """Take over a new schedule; the present epoch keeps its time of expiry."""
        self._lifetime = max_epoch_lifetime
        self._qkd_wanted = qkd_wanted
        self._qkd_every = qkd_every
        changed = schedule != self._schedule
        self._schedule = schedule
        # Neither is ever later than planned: this epoch has only its old lifetime.
        last = self.current.committed_at if self.current else None
        if changed and last is not None and self.next_attempt is not None:
            self.next_attempt = min(self.next_attempt, schedule.next_after(last))
        due_by = self._requests.due_by
        if changed and last is not None and due_by is not None:
            late = last + limits.LATE_FACTOR * schedule.interval
            self._requests.due_by = min(due_by, late)

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
        useless = self._is_waiting() or bool(self._obstacles.word)
        if reason is RotateReason.LIFETIME and useless:
            return  # the responder cannot know that another epoch would not help
        pace = self._paces.get(reason)
        when = max(now if pace is None else pace.due(now), not_before)
        if not self._initiator:
            if when <= now:
                self._actions.append(AskForRotation(reason))
            elif not self._requests.put_off(reason, when=when):
                return
        elif self._attempting:
            self._wished = self._wished or reason is not RotateReason.LIFETIME
            return
        elif pace is not None and self._urgent:
            return
        else:
            self._reopen()
            planned = self.next_attempt
            self.next_attempt = when if planned is None else min(when, planned)
            self._urgent = pace is not None
        if pace is not None:
            pace.take(when)

    # -- What the handshake did

    def prepared(self, number: int) -> None:
        """Note that an epoch's receive side is in the kernel."""
        self._highest = max(self._highest, number)
        self.epochs.setdefault(number, Epoch(number))

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
        self.prepared(number)
        epoch = self.epochs[number]
        epoch.move(EpochPhase.COMMITTED)
        epoch.sources = sources
        epoch.key_id = key_id
        epoch.qkd_age = qkd_age
        epoch.committed_at = now
        epoch.ends_at = now + self._lifetime
        fresh = self._is_settled() or self.phase is TunnelPhase.BLOCKED
        self._move(Change.COMMIT)
        if self.phase is TunnelPhase.CONNECTING:
            self.reason = f"waiting for a packet that proves epoch {number}"
        if self.expires_at is None:
            self.expires_at = epoch.ends_at
        epoch.judge_at = now + self._patience(now)
        if fresh:
            self._doubt_at = epoch.judge_at
        self.current = epoch
        self._carrying.peer_said(now=now)
        self._lost = ""
        self._retire_at = None
        self.rotations += 1
        self._retries.succeeded()
        self._reopen()
        self._attempting = self._wished = False
        self._proof.begin(now=now)
        self._actions.extend(self._obstacles.tell(now=now))
        if self._initiator:
            self.next_attempt = self._next_after(epoch, now)
            self._actions.append(PollPlane())
        else:
            late = limits.LATE_FACTOR * self._schedule.interval
            self._requests.begin(now + late)
        self._events.append(
            EpochCommittedHere(self.name, number, sources, key_id, qkd_age)
        )
        self._note_qkd(epoch, without_qkd)

    def _next_after(self, epoch: Epoch, committed_at: float) -> float:
        """Return when the next epoch is due: as late as can be if it is of no use."""
        if self._obstacles.word:
            return epoch.ends_at - self._schedule.interval
        return self._schedule.next_after(committed_at)

    def _patience(self, now: float) -> float:
        """Return how long an epoch may take to come into force, seconds."""
        interval = self._schedule.interval
        left = (self.expires_at or now) - now - interval
        return min(limits.PROOF_TIMEOUT, max(limits.PROOF_SHARE * interval, left))

    def _note_qkd(self, epoch: Epoch, reason: str) -> None:
        """Say when epochs begin, and cease, to lack a fresh QKD key that is due."""
        before = self.without_qkd
        self.without_qkd = reason if self.lacks_qkd(epoch) else None
        if self.without_qkd is not None and self.without_qkd != before:
            self._events.append(QKDMissing(self.name, epoch.number, self.without_qkd))
        elif epoch.key_id is not None and before is not None:
            self._events.append(QKDRestored(self.name, epoch.number))

    def lacks_qkd(self, epoch: Epoch) -> bool:
        """Whether an epoch has no QKD key as fresh as is wanted."""
        if not self._qkd_wanted or epoch.adopted:
            return False
        return epoch.qkd_age is None or epoch.qkd_age >= self._qkd_every

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
        self._attempting = False
        self._retries.failed(key_spent=key_spent)
        self._events.append(
            RotationFailed(self.name, reason, detail, self._retries.in_row)
        )
        waiting = self.phase in (TunnelPhase.CONNECTING, TunnelPhase.BLOCKED)
        if waiting and self.current is None:
            self.reason = detail
        if self._initiator and self.phase is not TunnelPhase.DOWN:
            self.next_attempt = now + self._retries.wait(self._schedule.interval)
            if self._closed:
                self._call_closed(now=now)
            if self._wished:
                # The cause may be gone: a secret that one end had changed first.
                self.next_attempt = min(self.next_attempt, now + limits.FIRST_RETRY)
        self._wished = False

    def learned(self, *, now: float) -> None:
        """Note that the failure taught us something: the next attempt is another one.

        An initiator with an old backup learns a few used QKD keys at a time, and must
        get past them all within one interval.
        """
        if self.next_attempt is not None:
            self.next_attempt = min(self.next_attempt, now + limits.FIRST_RETRY)

    def behind(self, peer_epoch: int, *, now: float) -> None:
        """Note that the peer has committed later epochs than we know of.

        One of us lost its memory or a message; the next attempt starts above. A
        peer that is not ahead, or too far to follow, is a failure like any other.
        """
        if not (self._highest <= peer_epoch and is_near(peer_epoch, self._highest)):
            detail = f"the peer says that it has committed epoch {peer_epoch}"
            self.failed("stale-epoch", detail, now=now)
            return
        self._attempting = self._wished = False
        self._highest = max(self._highest, peer_epoch)
        if self._initiator and self.phase is not TunnelPhase.DOWN:
            self.next_attempt = now

    def peer_silent(self, *, now: float) -> None:
        """Note that the peer does not answer: perhaps it lost the session."""
        if self._initiator and not self._attempting and self._has_peer():
            self._reopen()
            self.next_attempt = now

    def peer_closed(self, *, now: float, returning: bool = False) -> None:
        """Note that the peer took the tunnel down on purpose: fail closed.

        Args:
            now: Current time, monotonic seconds.
            returning: Whether it takes it down only to make it anew.
        """
        if self.phase is TunnelPhase.DOWN or self._closed:
            return
        self._closed = not returning
        if self.phase is not TunnelPhase.BLOCKED or self.current is not None:
            why = "makes the tunnel anew" if returning else "took the tunnel down"
            self._block(f"the peer {why}", Change.CLOSE)
        if self._initiator and not self._attempting:
            self.next_attempt = now
            if self._closed:
                self._call_closed(now=now)

    def _call_closed(self, *, now: float) -> None:
        """Plan the next call of a peer that is down on purpose, and would ask."""
        self._closed_pace.take(now)
        self.next_attempt = self._closed_pace.due(now)

    def _reopen(self) -> None:
        """Forget that the peer took the tunnel down."""
        self._closed = False
        self._closed_pace.forget()

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
        self._carrying.polled(sending, heard_at)
        epoch = self.current
        if epoch is None:
            return
        if epoch.number in proven and not epoch.local_proof:
            epoch.local_proof = True
            self._actions.append(self._proof.proven(epoch, now=now))
            self._check_force(epoch, now=now)
        self._proof.plane_polled(epoch, self._schedule.interval, now=now)
        self._review(now=now)
        if self._is_settled():
            self._miss(epoch, now=now)
        elif epoch.overdue:
            carrier = self._carrying.word(self.epochs, now=now)
            if carrier is not None:
                self._actions.append(SendInForce(carrier, echo=False))

    def _miss(self, epoch: Epoch, *, now: float) -> None:
        """Doubt an epoch in force under which nothing comes; or stop doubting it."""
        if self._lost and self._carrying.is_well(epoch):
            self._lost = ""
            self._come_up(epoch.number)
        elif self._carrying.is_silent(now=now):
            self.plane_lost(
                f"no packet has come for {self._carrying.silence:g} s", now=now
            )

    def plane_failed(self, *, now: float) -> None:
        """Note that the kernel could not be asked: it is asked again."""
        if self.current is None:
            return
        self._carrying.poll_failed()
        self._proof.plane_polled(self.current, self._schedule.interval, now=now)
        self._review(now=now)

    def plane_lost(self, detail: str, *, now: float) -> None:
        """Note that the present keys do not serve any more: make new ones.

        Args:
            detail: What is wrong, one line for the operator.
            now: Current time, monotonic seconds.
        """
        if self.current is None:
            return
        self._lost = detail
        self._carrying.doubted(now=now)
        self._review(now=now)
        self.rotate(RotateReason.PLANE_LOST, now=now)

    def obstructed(self, detail: str, *, now: float) -> None:
        """Note what keeps packets out of the tunnel at this end, whatever its keys.

        Another epoch would not help, so none is made before this one ends.

        Args:
            detail: What it is, one line for the operator; empty for nothing any more.
            now: Current time, monotonic seconds.
        """
        before = self._obstacles.word
        can_tell = self.current is not None
        self._actions.extend(
            self._obstacles.note_here(detail, now=now, can_tell=can_tell)
        )
        self._note_obstacle(before, now=now)

    def peer_obstructed(self, *, is_there: bool, now: float) -> None:
        """Note that the peer keeps packets out at its end, or does no more."""
        if self.current is None:
            return
        before = self._obstacles.word
        self._obstacles.note_there(is_there=is_there, now=now)
        self._note_obstacle(before, now=now)

    def _note_obstacle(self, before: str, *, now: float) -> None:
        """Judge tunnel and schedule anew, if there is another obstacle than before."""
        detail = self._obstacles.word
        epoch = self.current
        if detail == before or epoch is None or epoch.committed_at is None:
            return
        self._review(now=now)
        if self._is_settled():
            if self._initiator and not self._attempting and not self._urgent:
                self.next_attempt = max(
                    now, self._next_after(epoch, epoch.committed_at)
                )
            if not detail and not self._lost:
                self._come_up(epoch.number)

    def peer_in_force(self, number: int, *, echo: bool, now: float) -> None:
        """Note that the peer has proof of an epoch."""
        epoch = self.epochs.get(number)
        if epoch is None or epoch is not self.current:
            if epoch is not None and epoch.phase is EpochPhase.IN_FORCE:
                self._carrying.peer_said(now=now)
            return
        if epoch.phase is EpochPhase.COMMITTED:
            self._carrying.peer_left()
        answer = self._proof.peer_said(epoch, echo=echo, now=now)
        if answer is not None:
            self._actions.append(answer)
        self._check_force(epoch, now=now)

    def _check_force(self, epoch: Epoch, *, now: float) -> None:
        if not (epoch.local_proof and epoch.peer_proof):
            return
        if epoch.phase is not EpochPhase.COMMITTED or epoch.committed_at is None:
            return
        epoch.move(EpochPhase.IN_FORCE)
        epoch.in_force_at = now
        self.expires_at = epoch.ends_at
        self._actions.append(GrantPassing(epoch.ends_at))
        self._doubt_at = None
        self._unproven = 0
        self._carrying.proven(now=now)
        self._lost = ""
        if self._initiator and not self._attempting:
            if epoch.overdue and not self._urgent:
                self.next_attempt = self._next_after(epoch, epoch.committed_at)
            if self._held:
                self.next_attempt = now
        self._held = False
        self._proof.rest(self._schedule.interval, now=now)
        self._events.append(
            EpochInForce(self.name, epoch.number, now - epoch.committed_at)
        )
        self._retire_at = now + self._retire_delay()
        self._come_up(epoch.number)

    def _come_up(self, number: int) -> None:
        if self._obstacles.word:
            if self.phase is TunnelPhase.BLOCKED:
                self._move(Change.PROVE)
            self._doubt(self._obstacles.word)
            return
        if self.phase is not TunnelPhase.UP:
            self._events.append(TunnelUp(self.name, number))
        self._move(Change.PROVE)
        self.reason = ""

    def _judge(self, epoch: Epoch, *, now: float) -> None:
        """Give up on a rotation whose epoch is not in force in time; keep the epoch."""
        epoch.overdue = True
        self._held = False
        self._unproven += 1
        self._retries.total += 1
        detail = self._explain(epoch)
        self._events.append(
            RotationFailed(self.name, NOT_IN_FORCE, detail, self._unproven)
        )
        if self._initiator and not self._attempting:
            again = self._unproven == 1 and not self._obstacles.word
            self.next_attempt = now if again else epoch.ends_at

    def _review(self, *, now: float) -> None:
        """Call the tunnel unproven once nothing that is in force carries."""
        epoch = self.current
        trouble = self._lost or self._obstacles.word
        if epoch is None or (self._is_settled() and not trouble):
            return
        in_time = self._doubt_at is not None
        carried = not trouble and self._carrying.carries(self.epochs, now=now)
        if carried and self.phase is TunnelPhase.UNPROVEN:
            self._come_up(epoch.number)
        if carried or (in_time and not trouble):
            return
        self._doubt(trouble or self._explain(epoch))

    def _doubt(self, reason: str) -> None:
        was_unproven = self.phase is TunnelPhase.UNPROVEN
        self._move(Change.DOUBT)
        if self.phase is not TunnelPhase.UNPROVEN:
            return
        self.reason = reason
        if not was_unproven:
            self._events.append(TunnelUnproven(self.name, self.reason))

    def _is_settled(self) -> bool:
        """Whether there is no epoch that waits for its proof."""
        return self.current is None or self.current.phase is not EpochPhase.COMMITTED

    def _is_proving(self) -> bool:
        """Whether the newest epoch is younger than its proof may take."""
        return not self._is_settled() and self._doubt_at is not None

    def _is_waiting(self) -> bool:
        """Whether nothing but proof of the present epoch is waited for."""
        return (
            self.current is not None
            and not self._is_settled()
            and self.current.overdue
            and self._unproven > 1
        )

    def _has_peer(self) -> bool:
        """Whether there is, or was, a session with the peer."""
        return self.current is not None or self._closed

    # -- Time

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is to be called next, or None."""
        times = [
            when
            for when in (
                self.next_attempt,
                self.expires_at,
                self._proof.poll_at,
                self._proof.notice_at,
                self._retire_at,
                self._doubt_at,
                self._judge_at(),
                self._requests.get_timer(),
                self._obstacles.get_timer(),
            )
            if when is not None
        ]
        return min(times, default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        judge_at = self._judge_at()
        if self.current is not None and judge_at is not None and now >= judge_at:
            if self.current.overdue:
                self._lapse(now=now)
            else:
                self._judge(self.current, now=now)
        if self._doubt_at is not None and now >= self._doubt_at:
            self._doubt_at = None
            self._review(now=now)
        if self.expires_at is not None and now >= self.expires_at:
            self._lapse(now=now)
        if self.next_attempt is not None and now >= self.next_attempt:
            self._attempt(now=now)
        self._actions.extend(self._proof.due(self.current, now=now))
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            self._retire_old()
        self._actions.extend(self._requests.due(now=now))
        before = self._obstacles.word
        if self._obstacles.is_over(now=now):
            self._note_obstacle(before, now=now)
        self._actions.extend(self._obstacles.due(now=now))

    def next_action(self) -> Action | None:
        """Return the oldest action not yet returned."""
        return self._actions.popleft() if self._actions else None

    def next_event(self) -> TunnelEvent | None:
        """Return the oldest event not yet returned."""
        return self._events.popleft() if self._events else None

    def _attempt(self, *, now: float) -> None:
        self.next_attempt = None
        if self._attempting:
            return
        until = self._hold_until()
        if until is not None and now < until:
            self.next_attempt = until
            self._held = True
            return
        if not self._begun.take(now=now):
            self.next_attempt = now + 1 / PEER_RATE
            return
        self._held = self._urgent = False
        self._attempting = True
        self._highest += 1
        self._actions.append(StartHandshake(self._highest))

    def _hold_until(self) -> float | None:
        """Return when an epoch not yet in force may be overtaken, None for at once.

        Until then its predecessor carries the traffic, and a plane with room for two
        (WireGuard) would have to drop that to make room for a third.
        """
        epoch = self.current
        if epoch is None or self._is_settled() or self._urgent or epoch.overdue:
            return None
        return epoch.judge_at

    def _judge_at(self) -> float | None:
        """When an epoch that is not in force fails its rotation, and when it ends."""
        epoch = self.current
        if epoch is None or self._is_settled():
            return None
        return epoch.ends_at if epoch.overdue else epoch.judge_at

    def _retire_delay(self) -> float:
        share = limits.RETIRE_SHARE * self._schedule.interval
        return min(limits.RETIRE_DELAY, share)

    def _retire_old(self) -> None:
        """Retire what the newest epoch replaces."""
        if self.current is None:
            return
        for number in sorted(self.epochs):
            if number < self.current.number:
                self._retire(self.epochs.pop(number))

    def _retire(self, epoch: Epoch) -> None:
        epoch.move(EpochPhase.RETIRED)
        self._actions.append(RetireEpoch(epoch.number))
        self._events.append(EpochRetired(self.name, epoch.number))

    def _lapse(self, *, now: float) -> None:
        """Fail closed at the lifetime of what was in force.

        An epoch that is committed stays: it may be proven yet, and then carries without
        another handshake.
        """
        epoch = self.current
        if epoch is None or self._is_settled():
            self._block("no new epoch within max_epoch_lifetime")
            return
        reason = f"no epoch in force within max_epoch_lifetime: {self._explain(epoch)}"
        if now >= epoch.ends_at:
            self._block(reason)
            return
        self.expires_at = None
        self._actions.append(RevokePassing())
        self._retire_old()
        self._say_blocked(reason, Change.LAPSE)

    def _block(self, reason: str, change: Change = Change.LAPSE) -> None:
        self._clear()
        self._actions.append(BlockTunnel())
        self._say_blocked(reason, change)

    def _say_blocked(self, reason: str, change: Change) -> None:
        was_blocked = self.phase is TunnelPhase.BLOCKED
        self._move(change)
        self.reason = reason
        if not was_blocked:
            self._events.append(TunnelBlocked(self.name, reason))

    def _clear(self) -> None:
        for epoch in self.epochs.values():
            epoch.move(EpochPhase.RETIRED)
        self.epochs.clear()
        self.current = None
        self.expires_at = None
        self._proof.stop()
        self._requests.stop()
        self._retire_at = self._doubt_at = None
        self._carrying.forget()
        self._obstacles.rest()
        self._lost = ""
        self._held = self._urgent = False

    def _move(self, change: Change) -> None:
        self.phase = after(self.phase, change)
