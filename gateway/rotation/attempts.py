"""Attempts at a next epoch: planned, hurried, put off, and asked of the peer.

An initiator begins handshakes. A responder begins none, and asks its initiator for an
epoch instead; of its own attempts it keeps only how those of its peer ended.
"""

from collections.abc import Iterator

from gateway.handshake.bucket import Bucket
from gateway.handshake.limits import PEER_BURST, PEER_RATE
from gateway.handshake.policy import is_near
from gateway.rotation import limits
from gateway.rotation.actions import AskForRotation
from gateway.rotation.pace import Pace
from gateway.rotation.requests import Requests
from gateway.rotation.retries import Retries
from gateway.rotation.schedule import Schedule
from gateway.wire.control import RotateReason


class Attempts:
    """When one end of a tunnel begins the next handshake, or asks for it.

    Attributes:
        initiator: Whether this end begins the handshakes.
        schedule: Name and interval.
        next_at: When the next begins, monotonic seconds; None while one is under way,
            and at a responder.
        highest: The highest epoch number that either end is known to have used.
        closed: Whether the peer took the tunnel down on purpose.
        requests: What a responder asks.
        retries: Attempts that failed.
        under_way: Whether one has begun and not ended.
    """

    __slots__ = (
        "_begun",
        "_closed_pace",
        "_held",
        "_paces",
        "_urgent",
        "_wished",
        "closed",
        "highest",
        "initiator",
        "next_at",
        "requests",
        "retries",
        "schedule",
        "under_way",
    )

    def __init__(
        self, schedule: Schedule, *, initiator: bool, last_epoch: int = 0
    ) -> None:
        """Make one that plans nothing yet.

        Args:
            schedule: Name and interval.
            initiator: Whether this end begins the handshakes.
            last_epoch: The last epoch proposed or committed before a restart.
        """
        self.initiator = initiator
        self.schedule = schedule
        self.next_at: float | None = None
        self.highest = last_epoch
        self.closed = False
        self.requests = Requests()
        self.retries = Retries()
        self.under_way = False
        self._begun = Bucket(PEER_RATE, PEER_BURST)
        self._paces = {
            reason: Pace(limits.FIRST_PAUSE, limits.LONGEST_PAUSE)
            for reason in (RotateReason.PLANE_LOST, RotateReason.ADDRESS_CHANGED)
        }
        self._closed_pace = Pace(limits.FIRST_CLOSED, limits.LONGEST_CLOSED)
        self._held = False
        self._urgent = self._wished = False

    # -- What this end wants

    def plan(self, when: float) -> None:
        """Begin the next attempt then, unless one is under way."""
        if self.initiator and not self.under_way:
            self.next_at = when

    def plan_unless_urgent(self, when: float) -> None:
        """Plan so, unless keys that were lost, or a peer that moved, cannot wait."""
        if not self._urgent:
            self.plan(when)

    def up(self, *, now: float, ask: bool) -> Iterator[AskForRotation]:
        """Begin at once; yield what a responder asks, if it can ask."""
        self._reopen()
        self.plan(now)
        if ask and not self.initiator:
            yield self.requests.insist(RotateReason.OPERATOR, now=now)

    def rotate(
        self, reason: RotateReason, *, now: float, not_before: float
    ) -> Iterator[AskForRotation]:
        """Begin early, or yield what a responder asks now.

        Args:
            reason: Why. A plane that lost its keys, and a peer that moved, are served
                at once, and then at growing pauses.
            now: Current time, monotonic seconds.
            not_before: The soonest that it may be.
        """
        pace = self._paces.get(reason)
        when = max(now if pace is None else pace.due(now), not_before)
        if self.initiator:
            taken = self._hurry(reason, when, urgent=pace is not None)
        elif when <= now:
            taken = True
            yield AskForRotation(reason)
        else:
            taken = self.requests.put_off(reason, when=when)
        if taken and pace is not None:
            pace.take(when)

    def _hurry(self, reason: RotateReason, when: float, *, urgent: bool) -> bool:
        """Begin no later than that; False for a wish that something else serves."""
        if self.under_way:
            self._wished = self._wished or reason is not RotateReason.LIFETIME
            return False
        if urgent and self._urgent:
            return False
        self._reopen()
        self.next_at = when if self.next_at is None else min(when, self.next_at)
        self._urgent = urgent
        return True

    def reschedule(self, schedule: Schedule, *, last: float | None) -> None:
        """Take over a new schedule: nothing is ever later than it was planned.

        Args:
            schedule: Name and interval.
            last: When the present epoch was committed, None if there is none.
        """
        changed = schedule != self.schedule
        self.schedule = schedule
        if not changed or last is None:
            return
        # The present epoch has only its old lifetime.
        if self.next_at is not None:
            self.next_at = min(self.next_at, schedule.next_after(last))
        if self.requests.due_by is not None:
            late = last + limits.LATE_FACTOR * schedule.interval
            self.requests.due_by = min(self.requests.due_by, late)

    def clear(self) -> None:
        """Forget what the present epoch made urgent, or held up."""
        self.requests.stop()
        self._held = self._urgent = False

    def stop(self) -> None:
        """Plan nothing any more: the tunnel is taken down."""
        self.clear()
        self.next_at = None
        self.under_way = self._wished = False
        self._reopen()

    # -- What became of an attempt

    def reached(self, number: int) -> None:
        """Note an epoch number that is used: none that is proposed is as low."""
        self.highest = max(self.highest, number)

    def committed(self, next_at: float, *, now: float) -> None:
        """Note an attempt that ended with an epoch.

        Args:
            next_at: When the next epoch is due.
            now: Current time, monotonic seconds.
        """
        self.retries.succeeded()
        self._reopen()
        self.under_way = self._wished = False
        self.plan(next_at)
        if not self.initiator:
            late = limits.LATE_FACTOR * self.schedule.interval
            self.requests.begin(now + late)

    def failed(self, *, now: float, key_spent: bool, again: bool) -> None:
        """Note an attempt that ended without one.

        Args:
            now: Current time, monotonic seconds.
            key_spent: Whether it cost a QKD key.
            again: Whether another may follow: the tunnel is not down.
        """
        self.under_way = False
        self.retries.failed(key_spent=key_spent)
        if again and self.initiator:
            self.next_at = now + self.retries.wait(self.schedule.interval)
            if self.closed:
                self._call_closed(now=now)
            if self._wished:
                # The cause may be gone: a secret that one end had changed first.
                self.next_at = min(self.next_at, now + limits.FIRST_RETRY)
        self._wished = False

    def learned(self, *, now: float) -> None:
        """Note that the failure taught us something: the next is another one."""
        if self.next_at is not None:
            self.next_at = min(self.next_at, now + limits.FIRST_RETRY)

    def follow(self, peer_epoch: int, *, now: float, again: bool) -> bool:
        """Begin anew above an epoch that the peer has committed.

        Returns:
            False, and nothing done, for an epoch that an honest peer cannot be at.
        """
        if not (self.highest <= peer_epoch and is_near(peer_epoch, self.highest)):
            return False
        self.under_way = self._wished = False
        self.highest = max(self.highest, peer_epoch)
        if again:
            self.plan(now)
        return True

    def in_force(self, *, now: float) -> None:
        """Note that the newest epoch is in force: what waited for it may begin."""
        if self._held:
            self.plan(now)
        self._held = False

    def unproven(self, next_at: float) -> None:
        """Note an epoch that is not in force in time.

        Args:
            next_at: When to try once more.
        """
        self._held = False
        self.retries.total += 1
        self.plan(next_at)

    # -- What the peer does

    def peer_silent(self, *, now: float, has_epoch: bool) -> None:
        """Note that a peer with which there is, or was, a session does not answer."""
        if self.initiator and not self.under_way and (has_epoch or self.closed):
            self._reopen()
            self.plan(now)

    def peer_closed(self, *, now: float, returning: bool) -> None:
        """Note that the peer took the tunnel down; it asks when it is up again."""
        self.closed = not returning
        if self.initiator and not self.under_way:
            self.next_at = now
            if self.closed:
                self._call_closed(now=now)

    def _call_closed(self, *, now: float) -> None:
        """Plan the next call of a peer that is down on purpose, and would ask."""
        self._closed_pace.take(now)
        self.next_at = self._closed_pace.due(now)

    def _reopen(self) -> None:
        """Forget that the peer took the tunnel down."""
        self.closed = False
        self._closed_pace.forget()

    # -- Time

    def get_timer(self) -> float | None:
        """Return when there is something to do next, or None."""
        times = [t for t in (self.next_at, self.requests.get_timer()) if t is not None]
        return min(times, default=None)

    def due(self, *, now: float, hold_until: float | None) -> int | None:
        """Return the number of the epoch to start a handshake for now, or None.

        Args:
            now: Current time, monotonic seconds.
            hold_until: When an epoch that is not yet in force may be overtaken, None
                for at once. What is urgent overtakes it.
        """
        if self.next_at is None or now < self.next_at:
            return None
        self.next_at = None
        if self.under_way:
            return None
        if hold_until is not None and not self._urgent and now < hold_until:
            self.next_at = hold_until
            self._held = True
            return None
        if not self._begun.take(now=now):
            self.next_at = now + 1 / PEER_RATE
            return None
        self._held = self._urgent = False
        self.under_way = True
        self.highest += 1
        return self.highest
