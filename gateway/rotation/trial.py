"""The trial of a tunnel's epochs: proven by packets, doubted, and ended in time.

What the kernel counts and what the peer says decide it; attempts at a next epoch follow
from it.
"""

from collections.abc import Callable, Iterable, Iterator

from gateway.rotation.actions import (
    Action,
    BlockTunnel,
    PollPlane,
    RetireEpoch,
    SendInForce,
)
from gateway.rotation.attempts import Attempts
from gateway.rotation.doubts import Doubts, Evidence
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.events import (
    EpochInForce,
    EpochRetired,
    RotationFailed,
    TunnelEvent,
)
from gateway.rotation.installed import InstalledEpochs
from gateway.rotation.lifetime import Lifetime
from gateway.rotation.phases import Change, TunnelPhase
from gateway.rotation.proof_timers import ProofTimers
from gateway.rotation.standing import TunnelStanding
from gateway.wire.control import RotateReason

NOT_IN_FORCE = "not-in-force"
"""Reason of a rotation whose epoch both ends committed and packets did not prove."""


class Trial:
    """What becomes of the epochs that both ends of one tunnel committed.

    Attributes:
        standing: What an operator sees.
        installed: The epochs.
        lifetime: When the tunnel will be blocked.
        doubts: What speaks against the newest.
        proof: When the kernel is asked and the peer told.
        actions: What is to be done.
        events: What is news.
    """

    __slots__ = (
        "_attempts",
        "_explain",
        "actions",
        "doubts",
        "events",
        "installed",
        "lifetime",
        "proof",
        "standing",
    )

    def __init__(
        self,
        attempts: Attempts,
        *,
        max_epoch_lifetime: float,
        explain: Callable[[Epoch], str],
        silence: float,
    ) -> None:
        """Make one for a tunnel that is down.

        Args:
            attempts: When the next epoch is begun.
            max_epoch_lifetime: Seconds.
            explain: Says why an epoch is not in force, one line for the operator.
            silence: Seconds without a packet that the plane never leaves, if idle.
        """
        self._attempts = attempts
        self._explain = explain
        self.standing = TunnelStanding(attempts.schedule.name)
        self.installed = InstalledEpochs()
        self.lifetime = Lifetime(max_epoch_lifetime)
        self.doubts = Doubts(silence)
        self.proof = ProofTimers()
        # Lists: they are short, a deque takes 0.7 KiB, and a hub has many tunnels.
        self.actions: list[Action] = []
        self.events: list[TunnelEvent] = []

    @property
    def _interval(self) -> float:
        """Seconds between epochs."""
        return self._attempts.schedule.interval

    # -- Where epochs come from

    def adopt(
        self,
        numbers: tuple[int, ...],
        *,
        active: int,
        expires_at: float,
        now: float,
        proven: bool,
    ) -> None:
        """Take over what an earlier run left in the kernel (`TunnelRotation.adopt`)."""
        self.standing.adopt(proven=proven)
        self.installed.adopt(numbers, active=active, now=now)
        self.lifetime.expires_at = expires_at
        self.proof.rest(self._interval, now=now)

    def begin(self, epoch: Epoch, *, now: float) -> None:
        """Try an epoch that both ends have just committed.

        Args:
            epoch: One of those installed.
            now: Current time, monotonic seconds.
        """
        epoch.committed_at = now
        phase = self.standing.phase
        is_first = self.installed.is_settled() or phase is TunnelPhase.BLOCKED
        self.standing.commit(epoch.number)
        self.lifetime.begin(epoch, self._interval, now=now)
        self.doubts.begin(epoch, follows=not is_first, now=now)
        self.installed.commit(epoch)
        self._attempts.committed(self._next_after(epoch, now), now=now)
        self.proof.begin(now=now)
        self.actions.extend(self.doubts.obstacles.tell(now=now))
        if self._attempts.initiator:
            self.actions.append(PollPlane())

    def _next_after(self, epoch: Epoch, committed_at: float) -> float:
        """Return when the next epoch is due: as late as can be if it is of no use."""
        if self.doubts.obstacles.word:
            return epoch.ends_at - self._interval
        return self._attempts.schedule.next_after(committed_at)

    # -- What kernel and peer say

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
        self.doubts.carrying.polled(sending, heard_at)
        epoch = self.installed.current
        if epoch is None:
            return
        if epoch.number in proven and not epoch.local_proof:
            epoch.local_proof = True
            self.actions.append(self.proof.proven(epoch, now=now))
            self._check_force(epoch, now=now)
        self.proof.plane_polled(epoch, self._interval, now=now)
        self._review(now=now)
        if self.installed.is_settled():
            self._miss(epoch, now=now)
        elif epoch.overdue:
            carrier = self.doubts.carrying.word(self.installed.by_number, now=now)
            if carrier is not None:
                self.actions.append(SendInForce(carrier, echo=False))

    def _miss(self, epoch: Epoch, *, now: float) -> None:
        """Doubt an epoch in force under which nothing comes; or stop doubting it."""
        carrying = self.doubts.carrying
        if self.doubts.is_mended(epoch):
            self._come_up(epoch.number)
        elif carrying.is_silent(now=now):
            self.plane_lost(f"no packet has come for {carrying.silence:g} s", now=now)

    def plane_failed(self, *, now: float) -> None:
        """Note that the kernel could not be asked: it is asked again."""
        if self.installed.current is None:
            return
        self.doubts.carrying.poll_failed()
        self.proof.plane_polled(self.installed.current, self._interval, now=now)
        self._review(now=now)

    def plane_lost(self, detail: str, *, now: float) -> None:
        """Note that the present keys do not serve any more: make new ones.

        Args:
            detail: What is wrong, one line for the operator.
            now: Current time, monotonic seconds.
        """
        if self.installed.current is None:
            return
        self.doubts.lose(detail, now=now)
        self._review(now=now)
        reason = RotateReason.PLANE_LOST
        self.actions.extend(self._attempts.rotate(reason, now=now, not_before=0.0))

    def obstructed(self, detail: str, *, now: float) -> None:
        """Note what keeps packets out of the tunnel at this end, whatever its keys.

        Another epoch would not help, so none is made before this one ends.

        Args:
            detail: What it is, one line for the operator; empty for nothing any more.
            now: Current time, monotonic seconds.
        """
        obstacles = self.doubts.obstacles
        before, can_tell = obstacles.word, self.installed.current is not None
        self.actions.extend(obstacles.note_here(detail, now=now, can_tell=can_tell))
        self._note_obstacle(before, now=now)

    def peer_obstructed(self, *, is_there: bool, now: float) -> None:
        """Note that the peer keeps packets out at its end, or does no more."""
        if self.installed.current is None:
            return
        obstacles = self.doubts.obstacles
        before = obstacles.word
        obstacles.note_there(is_there=is_there, now=now)
        self._note_obstacle(before, now=now)

    def _note_obstacle(self, before: str, *, now: float) -> None:
        """Judge tunnel and schedule anew, if there is another obstacle than before."""
        detail = self.doubts.obstacles.word
        epoch = self.installed.current
        if detail == before or epoch is None or epoch.committed_at is None:
            return
        self._review(now=now)
        if self.installed.is_settled():
            due = self._next_after(epoch, epoch.committed_at)
            self._attempts.plan_unless_urgent(max(now, due))
            if not self.doubts.trouble:
                self._come_up(epoch.number)

    def peer_in_force(self, number: int, *, echo: bool, now: float) -> None:
        """Note that the peer has proof of an epoch."""
        epoch = self.installed.by_number.get(number)
        if epoch is None or epoch is not self.installed.current:
            if epoch is not None and epoch.phase is EpochPhase.IN_FORCE:
                self.doubts.carrying.peer_said(now=now)
            return
        if epoch.phase is EpochPhase.COMMITTED:
            self.doubts.carrying.peer_left()
        answer = self.proof.peer_said(epoch, echo=echo, now=now)
        if answer is not None:
            self.actions.append(answer)
        self._check_force(epoch, now=now)

    def _check_force(self, epoch: Epoch, *, now: float) -> None:
        if not (epoch.local_proof and epoch.peer_proof):
            return
        if epoch.phase is not EpochPhase.COMMITTED or epoch.committed_at is None:
            return
        self.installed.come_into_force(epoch, self._interval, now=now)
        self.actions.append(self.lifetime.renew(epoch))
        self.doubts.settle(now=now)
        if epoch.overdue:
            due = self._next_after(epoch, epoch.committed_at)
            self._attempts.plan_unless_urgent(due)
        self._attempts.in_force(now=now)
        self.proof.rest(self._interval, now=now)
        self.events.append(
            EpochInForce(self.standing.name, epoch.number, now - epoch.committed_at)
        )
        self._come_up(epoch.number)

    def _come_up(self, number: int) -> None:
        self.events.extend(self.standing.prove(number, self.doubts.obstacles.word))

    def _judge(self, epoch: Epoch, *, now: float) -> None:
        """Give up on a rotation whose epoch is not in force in time; keep the epoch."""
        again = self.doubts.miss(epoch)
        detail, missed = self._explain(epoch), self.doubts.missed
        self.events.append(
            RotationFailed(self.standing.name, NOT_IN_FORCE, detail, missed)
        )
        self._attempts.unproven(now if again else epoch.ends_at)

    def _review(self, *, now: float) -> None:
        """Call the tunnel unproven once nothing that is in force carries."""
        epoch = self.installed.current
        evidence = self.doubts.weigh(self.installed, now=now)
        if epoch is None or evidence is Evidence.NONE:
            return
        if evidence is Evidence.DOUBTED:
            reason = self.doubts.trouble or self._explain(epoch)
            self.events.extend(self.standing.doubt(reason))
        elif self.standing.phase is TunnelPhase.UNPROVEN:
            self._come_up(epoch.number)

    # -- Time

    def timers(self) -> Iterator[float | None]:
        """Yield when there is something to do, None for what is not planned."""
        yield self.lifetime.expires_at
        yield self.proof.poll_at
        yield self.proof.notice_at
        yield self.installed.retire_at
        yield self.doubts.at
        yield self.installed.judge_at()
        yield self.doubts.obstacles.get_timer()

    def end_what_is_over(self, *, now: float) -> None:
        """Judge, doubt or end the newest epoch, if it is time: before any attempt."""
        epoch, judge_at = self.installed.current, self.installed.judge_at()
        if epoch is not None and judge_at is not None and now >= judge_at:
            if epoch.overdue:
                self._lapse(now=now)
            else:
                self._judge(epoch, now=now)
        if self.doubts.is_due(now=now):
            self._review(now=now)
        if self.lifetime.is_over(now=now):
            self._lapse(now=now)

    def seek_proof(self, *, now: float) -> None:
        """Poll and tell what is due, and retire what is replaced."""
        self.actions.extend(self.proof.due(self.installed.current, now=now))
        self._retire(self.installed.due(now=now))

    def tell_obstacles(self, *, now: float) -> None:
        """End a peer's obstacle that it repeats no more; repeat our own."""
        obstacles = self.doubts.obstacles
        before = obstacles.word
        if obstacles.is_over(now=now):
            self._note_obstacle(before, now=now)
        self.actions.extend(obstacles.due(now=now))

    def _retire(self, epochs: Iterable[Epoch]) -> None:
        for epoch in epochs:
            self.actions.append(RetireEpoch(epoch.number))
            self.events.append(EpochRetired(self.standing.name, epoch.number))

    def _lapse(self, *, now: float) -> None:
        """Fail closed at the lifetime of what was in force.

        An epoch that is committed stays: it may be proven yet, and then carries without
        another handshake.
        """
        epoch = self.installed.current
        if epoch is None or self.installed.is_settled():
            self.block("no new epoch within max_epoch_lifetime")
            return
        reason = f"no epoch in force within max_epoch_lifetime: {self._explain(epoch)}"
        if now >= epoch.ends_at:
            self.block(reason)
            return
        self.actions.append(self.lifetime.revoke())
        self._retire(self.installed.replaced())
        self.events.extend(self.standing.block(reason, Change.LAPSE))

    def block(self, reason: str, change: Change = Change.LAPSE) -> None:
        """Fail closed: no keys, and nothing passes.

        Args:
            reason: One line for the operator.
            change: LAPSE, or CLOSE where the peer wishes it.
        """
        self.clear()
        self.actions.append(BlockTunnel())
        self.events.extend(self.standing.block(reason, change))

    def clear(self) -> None:
        """Forget every epoch: the driver removes their keys."""
        self.installed.clear()
        self.doubts.clear()
        self.proof.stop()
        self._attempts.clear()
        self.lifetime.stop()
