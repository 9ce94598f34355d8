"""Timers of an epoch's proof: when to ask the kernel, and when to tell the peer.

"In force" is measured: packets under the epoch's keys have arrived at both ends. Each
end polls its kernel until that is so, tells the peer of its own half, and repeats that
until the peer echoes it.

Polls and datagrams are made when they are likely to say something new. The responder
sends under the epoch before its M4, so the initiator looks as soon as it commits; and
the initiator before its notice, so the responder looks as soon as that comes. Where
nothing is lost, a rotation takes two polls, one notice and one echo.
"""

from collections.abc import Iterator

from gateway.rotation import limits
from gateway.rotation.actions import Action, PollPlane, ReadPlane, SendInForce
from gateway.rotation.epochs import Epoch, EpochPhase


class ProofTimers:
    """The timers of one tunnel's proof; the facts are in its `Epoch`.

    Attributes:
        poll_at: When to ask the kernel next, or None.
        notice_at: When to tell the peer next, or None.
    """

    __slots__ = (
        "_notices",
        "_peer_said_at",
        "_probed_at",
        "_wait",
        "notice_at",
        "poll_at",
    )

    def __init__(self) -> None:
        self.poll_at: float | None = None
        self.notice_at: float | None = None
        self._wait = limits.FIRST_POLL
        self._notices = 0
        self._peer_said_at: float | None = None
        self._probed_at = float("-inf")

    def begin(self, *, now: float) -> None:
        """Start over, for an epoch that was just committed."""
        self._wait = limits.FIRST_POLL
        self._notices = 0
        self._peer_said_at = None
        self.poll_at = now + self._wait
        self.notice_at = None

    def rest(self, interval: float, *, now: float) -> None:
        """Look at the counters now and then; there is nothing left to prove."""
        share = limits.COUNTER_SHARE * interval
        self.poll_at = now + min(limits.COUNTER_POLL, share)

    def stop(self) -> None:
        """Forget every timer: there is no epoch."""
        self.poll_at = self.notice_at = None

    def plane_polled(self, epoch: Epoch, interval: float, *, now: float) -> None:
        """Set the next poll, after one that `Epoch.local_proof` knows of."""
        if epoch.phase is not EpochPhase.COMMITTED:
            self.rest(interval, now=now)
        elif self.poll_at is None:
            # Even with our own proof: a plane may have to help the peer to its.
            self._wait = min(self._wait * limits.POLL_GROWTH, limits.MAX_POLL)
            if epoch.overdue:
                self._wait = limits.UNPROVEN_POLL
            self.poll_at = now + self._wait

    def proven(self, epoch: Epoch, *, now: float) -> SendInForce:
        """Return what to tell the peer now that we have our half."""
        said = self._peer_said_at
        if said is not None and now - said < limits.FORCE_REPEAT:
            # The echo it waits for. If that is lost, its notice comes again, and is
            # answered again: there is no need for a notice of our own.
            return SendInForce(epoch.number, echo=True)
        return self._notice(epoch, now=now)

    def peer_said(
        self, epoch: Epoch, *, echo: bool, now: float
    ) -> SendInForce | PollPlane | None:
        """Note the peer's half; return what to do about it."""
        epoch.peer_proof = True
        if echo:
            epoch.peer_knows = True
            self.notice_at = None
            return None
        self._peer_said_at = now
        return (
            SendInForce(epoch.number, echo=True) if epoch.local_proof else PollPlane()
        )

    def due(self, epoch: Epoch | None, *, now: float) -> Iterator[Action]:
        """Yield what is to be done now."""
        if self.poll_at is not None and now >= self.poll_at:
            self.poll_at = None
            proving = epoch is not None and epoch.phase is EpochPhase.COMMITTED
            if proving or now - self._probed_at >= limits.LIVE_PROBE:
                self._probed_at = now
                yield PollPlane()
            else:
                yield ReadPlane()
        if self.notice_at is not None and now >= self.notice_at:
            self.notice_at = None
            if epoch is not None and epoch.local_proof and not epoch.peer_knows:
                yield self._notice(epoch, now=now)

    def _notice(self, epoch: Epoch, *, now: float) -> SendInForce:
        self._notices += 1
        often = self._notices < limits.MAX_FORCE_NOTICES
        self.notice_at = now + (limits.FORCE_REPEAT if often else limits.SLOW_REPEAT)
        # Never as an echo: a notice is answered with one, and an echo with nothing.
        return SendInForce(epoch.number, echo=False)
