"""One tunnel's rotation at one end: decides, and does nothing itself.

A driver tells it what happened and what time it is, carries out what `next_action`
returns, passes on what `next_event` returns, and calls `handle_timer` at
`get_timer`. Invariants:

* A tunnel that is up holds an epoch younger than `max_epoch_lifetime`; at that age
  it is blocked, whatever else is going on.
* Epoch numbers proposed here only grow.
* An old epoch is retired only once a newer one is in force at both ends, or blocked
  with all others.
"""

from collections import deque
from enum import Enum
from uuid import UUID

from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    PollPlane,
    RetireEpoch,
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
    TunnelUp,
)
from gateway.rotation.proof import Proof
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason

_MANY = 10
"""Failures after which a wait has long reached its bound."""


class TunnelPhase(Enum):
    """What an operator sees of a tunnel."""

    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"
    BLOCKED = "blocked"


_URGENT = frozenset({RotateReason.PLANE_LOST, RotateReason.ADDRESS_CHANGED})
"""What the present epoch will not recover from by waiting."""


class TunnelRotation:
    """Decides when keys change and what an epoch lives through.

    Attributes:
        name: The tunnel's name.
        phase: What an operator sees.
        reason: Why the tunnel is not up, one line, empty when it is.
        epochs: Epochs that have something in the kernel, by number.
        current: The epoch that sends, or None.
        rotations: Epochs committed since start.
        failures: Attempts that failed since start.
        failures_in_row: The same since the last success.
        expires_at: When the tunnel will be blocked, None while it is not up.
        next_attempt: When the initiator rotates next, None if it does not.
        without_qkd: Why epochs lack the QKD key that is wanted, None if they do not.
    """

    __slots__ = (
        "_actions",
        "_asked_at",
        "_attempting",
        "_due_by",
        "_events",
        "_held",
        "_highest",
        "_initiator",
        "_keys_spent",
        "_lifetime",
        "_proof",
        "_qkd_every",
        "_qkd_wanted",
        "_retire_at",
        "_schedule",
        "_urgent",
        "current",
        "epochs",
        "expires_at",
        "failures",
        "failures_in_row",
        "name",
        "next_attempt",
        "phase",
        "reason",
        "rotations",
        "without_qkd",
    )

    def __init__(
        self,
        schedule: Schedule,
        *,
        initiator: bool,
        max_epoch_lifetime: float,
        qkd_wanted: bool,
        qkd_every: int = 1,
        last_epoch: int = 0,
    ) -> None:
        """Make a tunnel that is down.

        Args:
            schedule: Name and interval.
            initiator: Whether this end starts the handshakes.
            max_epoch_lifetime: Seconds.
            qkd_wanted: Whether an epoch without a QKD key is worth an event.
            qkd_every: How many epochs may share a fresh one, by the chain.
            last_epoch: The last epoch proposed or committed before a restart.
        """
        self.name = schedule.name
        self._schedule = schedule
        self._initiator = initiator
        self._lifetime = max_epoch_lifetime
        self._qkd_wanted = qkd_wanted
        self._qkd_every = qkd_every
        self._highest = last_epoch
        self._actions: deque[Action] = deque()
        self._events: deque[TunnelEvent] = deque()
        self._attempting = False
        self._keys_spent = 0
        self._proof = Proof()
        self._retire_at: float | None = None
        self._due_by: float | None = None
        self._asked_at: float | None = None
        self._held = False
        self._urgent = False
        self.phase = TunnelPhase.DOWN
        self.reason = "not started"
        self.epochs: dict[int, Epoch] = {}
        self.current: Epoch | None = None
        self.without_qkd: str | None = None
        self.rotations = 0
        self.failures = 0
        self.failures_in_row = 0
        self.expires_at: float | None = None
        self.next_attempt: float | None = None

    # -- What the operator wants

    def up(self, *, now: float) -> None:
        """Bring the tunnel up: the initiator starts at once."""
        if self.phase is not TunnelPhase.DOWN:
            return
        self.phase = TunnelPhase.CONNECTING
        self.reason = "waiting for the first epoch"
        self.next_attempt = now if self._initiator else None

    def adopt(
        self, numbers: tuple[int, ...], *, active: int, expires_at: float, now: float
    ) -> None:
        """Take over what an earlier run left in the kernel, instead of `up`.

        Args:
            numbers: Epochs found there, 0 for one whose number cannot be told.
            active: The one that sends.
            expires_at: When that epoch reaches its lifetime, monotonic seconds.
            now: Current time, monotonic seconds.
        """
        self.up(now=now)
        for number in numbers:
            epoch = Epoch(number, EpochPhase.IN_FORCE, adopted=True)
            epoch.committed_at = epoch.in_force_at = now
            epoch.local_proof = epoch.peer_proof = epoch.peer_knows = True
            self.epochs[number] = epoch
        self._highest = max(self._highest, *numbers)
        self.current = self.epochs[active]
        self.phase = TunnelPhase.UP
        self.reason = ""
        self.expires_at = expires_at
        self._proof.rest(self._schedule.interval, now=now)

    def down(self) -> None:
        """Take the tunnel down; the driver removes its keys."""
        self._clear()
        self._actions.append(BlockTunnel())
        self.phase = TunnelPhase.DOWN
        self.reason = "taken down"
        self.next_attempt = None
        self._attempting = False

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
        if changed and last is not None and self._due_by is not None:
            late = last + limits.LATE_FACTOR * schedule.interval
            self._due_by = min(self._due_by, late)

    def rotate(self, reason: RotateReason, *, now: float) -> None:
        """Rotate now rather than on schedule; a responder asks its peer."""
        if self.phase is TunnelPhase.DOWN:
            return
        if not self._initiator:
            self._actions.append(AskForRotation(reason))
        elif not self._attempting:
            self.next_attempt = now
            self._urgent = reason in _URGENT

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
        was_up = self.phase is TunnelPhase.UP
        self.current = epoch
        self.phase = TunnelPhase.UP
        self.reason = ""
        self.rotations += 1
        self.failures_in_row = 0
        self._keys_spent = 0
        self.expires_at = now + self._lifetime
        self._attempting = False
        self._asked_at = None
        self._due_by = now + limits.LATE_FACTOR * self._schedule.interval
        self._proof.begin(now=now)
        self._retire_at = None
        if self._initiator:
            self.next_attempt = self._schedule.next_after(now)
            self._actions.append(PollPlane())
        self._events.append(
            EpochCommittedHere(self.name, number, sources, key_id, qkd_age)
        )
        if not was_up:
            self._events.append(TunnelUp(self.name, number))
        self._note_qkd(epoch, without_qkd)

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
        self._keys_spent += key_spent
        self.failures += 1
        self.failures_in_row += 1
        self._events.append(
            RotationFailed(self.name, reason, detail, self.failures_in_row)
        )
        if self.phase in (TunnelPhase.CONNECTING, TunnelPhase.BLOCKED):
            self.reason = detail
        if self._initiator and self.phase is not TunnelPhase.DOWN:
            self.next_attempt = now + self._retry_wait()

    def learned(self, *, now: float) -> None:
        """Note that the failure taught us something: the next attempt is another one.

        An initiator with an old backup learns a few used QKD keys at a time, and must
        get past them all within one interval.
        """
        if self.next_attempt is not None:
            self.next_attempt = min(self.next_attempt, now + limits.FIRST_RETRY)

    def _retry_wait(self) -> float:
        """Return how long to wait after a failure, seconds."""
        interval = self._schedule.interval
        tries = min(self.failures_in_row - 1, _MANY)
        wait = limits.FIRST_RETRY * limits.RETRY_GROWTH**tries
        wait = min(wait, limits.MAX_RETRY, limits.RETRY_SHARE * interval)
        spent = limits.FIRST_RETRY * limits.SPENT_GROWTH ** min(self._keys_spent, _MANY)
        if self._keys_spent:
            wait = max(wait, min(spent, limits.SPENT_SHARE * interval))
        return wait

    def behind(self, peer_epoch: int, *, now: float) -> None:
        """Note that the peer has committed later epochs than we know of.

        One of us lost its memory or a message; the next attempt starts above. A
        peer that is not ahead, or too far to follow, is a failure like any other.
        """
        if not self._highest <= peer_epoch <= limits.MAX_EPOCH:
            detail = f"the peer says that it has committed epoch {peer_epoch}"
            self.failed("stale-epoch", detail, now=now)
            return
        self._attempting = False
        self._highest = max(self._highest, peer_epoch)
        if self._initiator and self.phase is not TunnelPhase.DOWN:
            self.next_attempt = now

    def peer_silent(self, *, now: float) -> None:
        """Note that the peer does not answer: perhaps it lost the session."""
        if self._initiator and not self._attempting and self.phase is TunnelPhase.UP:
            self.next_attempt = now

    def peer_closed(self) -> None:
        """Note that the peer took the tunnel down on purpose: fail closed."""
        if self.phase is TunnelPhase.UP:
            self._block("the peer took the tunnel down")

    # -- Proof

    def plane_polled(self, proven: frozenset[int], *, now: float) -> None:
        """Note which epochs the kernel has received something under."""
        epoch = self.current
        if epoch is None:
            return
        if epoch.number in proven and not epoch.local_proof:
            epoch.local_proof = True
            self._actions.append(self._proof.proven(epoch, now=now))
            self._check_force(epoch, now=now)
        self._proof.plane_polled(epoch, self._schedule.interval, now=now)

    def peer_in_force(self, number: int, *, echo: bool, now: float) -> None:
        """Note that the peer has proof of an epoch."""
        epoch = self.epochs.get(number)
        if epoch is None or epoch is not self.current:
            return
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
        if self._held:
            self._held = False
            self.next_attempt = now
        self._proof.rest(self._schedule.interval, now=now)
        self._events.append(
            EpochInForce(self.name, epoch.number, now - epoch.committed_at)
        )
        share = limits.RETIRE_SHARE * self._schedule.interval
        self._retire_at = now + min(limits.RETIRE_DELAY, share)

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
                self._late_at(),
            )
            if when is not None
        ]
        return min(times, default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        if self.expires_at is not None and now >= self.expires_at:
            self._block("no new epoch within max_epoch_lifetime")
        if self.next_attempt is not None and now >= self.next_attempt:
            self._attempt(now=now)
        self._actions.extend(self._proof.due(self.current, now=now))
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            self._retire_old()
        late = self._late_at()
        if late is not None and now >= late:
            self._asked_at = now
            self._actions.append(AskForRotation(RotateReason.LIFETIME))

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
        if epoch is None or epoch.phase is not EpochPhase.COMMITTED or self._urgent:
            return None
        if epoch.committed_at is None or self.expires_at is None:
            return None
        latest = self.expires_at - self._schedule.interval
        return min(epoch.committed_at + limits.FORCE_PATIENCE, latest)

    def _late_at(self) -> float | None:
        """When a responder without a new epoch asks for one."""
        if self._initiator or self.current is None:
            return None
        if self._asked_at is not None:
            return self._asked_at + limits.LATE_REPEAT
        return self._due_by

    def _retire_old(self) -> None:
        if self.current is None:
            return
        for number in sorted(self.epochs):
            if number < self.current.number:
                self._retire(self.epochs.pop(number))

    def _retire(self, epoch: Epoch) -> None:
        epoch.move(EpochPhase.RETIRED)
        self._actions.append(RetireEpoch(epoch.number))
        self._events.append(EpochRetired(self.name, epoch.number))

    def _block(self, reason: str) -> None:
        self._clear()
        self._actions.append(BlockTunnel())
        self._events.append(TunnelBlocked(self.name, reason))
        self.phase = TunnelPhase.BLOCKED
        self.reason = reason

    def _clear(self) -> None:
        for epoch in self.epochs.values():
            epoch.move(EpochPhase.RETIRED)
        self.epochs.clear()
        self.current = None
        self.expires_at = None
        self._proof.stop()
        self._retire_at = None
        self._due_by = None
        self._asked_at = None
        self._held = self._urgent = False
