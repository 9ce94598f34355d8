"""Two ends of a tunnel on a stepped clock, with planes and paths that can be cut."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.rotation import limits
from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    GrantPassing,
    PollPlane,
    ReadPlane,
    RetireEpoch,
    RevokePassing,
    SendInForce,
    SendObstacle,
    StartHandshake,
)
from gateway.rotation.schedule import Schedule
from gateway.rotation.tunnel import TunnelRotation

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 0.1
"""Seconds of one step of the clock: longer than a round trip here."""

INTERVAL = 120.0
LIFETIME = 360.0
NO_ANSWER = 10.0
"""Seconds until a handshake without an answer ends."""

KEEPALIVE = 25.0
"""Seconds between WireGuard's."""


@dataclass
class Paths:
    """What passes between the two ends now."""

    out: bool = True
    back: bool = True
    control: bool = True

    def passes(self, *, initiator: bool) -> bool:
        """Whether packets pass that this end sends."""
        return self.out if initiator else self.back

    def are_open(self) -> bool:
        return self.out and self.back and self.control


@dataclass
class Plane:
    """One end's kernel: epochs held, the one that sends, those received under."""

    moves_late: bool
    held: set[int] = field(default_factory=set)
    sending: int | None = None
    pending: int | None = None
    received: set[int] = field(default_factory=set)
    heard_at: float | None = None
    kept_at: float = 0.0

    def clear(self) -> None:
        self.held.clear()
        self.received.clear()
        self.sending = self.pending = None

    def take(self, number: int, now: float) -> None:
        """Receive a packet."""
        if number in self.held:
            self.received.add(number)
            self.heard_at = now


class End:
    """One end: its decisions, its kernel, and what it was made to do."""

    def __init__(self, *, initiator: bool, late: bool, paths: Paths) -> None:
        self.initiator = initiator
        self.paths = paths
        self.rotation = TunnelRotation(
            Schedule("paris", INTERVAL),
            initiator=initiator,
            max_epoch_lifetime=LIFETIME,
            qkd_wanted=False,
            silence=limits.KEPT_SILENCE if late else limits.PROBED_SILENCE,
        )
        self.plane = Plane(late)
        self.granted_until = 0.0
        self.committed = 0
        self.commits: list[float] = []
        self.waits_until: float | None = None
        self.peer: End

    def step(self, now: float) -> None:
        """Do what is due, and all that follows from it."""
        if self.waits_until is not None and now >= self.waits_until:
            self.waits_until = None
            self.rotation.failed("timeout", "no answer", now=now)
        when = self.rotation.get_timer()
        if when is not None and when <= now:
            self.rotation.handle_timer(now=now)
        self._keep(now)
        self.act(now)

    def act(self, now: float) -> None:
        """Carry out what was decided."""
        while self.rotation.next_event() is not None:
            pass
        while (action := self.rotation.next_action()) is not None:
            self._do(action, now)

    def _do(self, action: Action, now: float) -> None:  # noqa: C901  # a table
        match action:
            case StartHandshake(epoch):
                self._shake_hands(epoch, now)
            case PollPlane():
                self._push(now)
                self._tell(now)
            case ReadPlane():
                self._tell(now)
            case SendInForce(epoch, echo):
                self._say(
                    lambda end: end.rotation.trial.peer_in_force(
                        epoch, echo=echo, now=now
                    ),
                    now,
                )
            case SendObstacle(is_there):
                self._say(
                    lambda end: end.rotation.trial.peer_obstructed(
                        is_there=is_there, now=now
                    ),
                    now,
                )
            case AskForRotation(reason):
                self._say(lambda end: end.rotation.rotate(reason, now=now), now)
            case GrantPassing(until):
                self.granted_until = until
            case RevokePassing():
                self.granted_until = 0.0
            case BlockTunnel():
                self.granted_until = 0.0
                self.plane.clear()
            case RetireEpoch(epoch):
                self.plane.held.discard(epoch)

    def _say(self, tell: "Callable[[End], None]", now: float) -> None:
        if self.paths.control:
            tell(self.peer)
            self.peer.act(now)

    def _shake_hands(self, epoch: int, now: float) -> None:
        if not self.paths.control:
            self.waits_until = now + NO_ANSWER
        elif epoch <= self.peer.committed:
            self.rotation.behind(self.peer.committed, now=now)
        else:
            self.peer.commit(epoch, now)
            self.commit(epoch, now)

    def commit(self, epoch: int, now: float) -> None:
        """Install an epoch, and send under it as the plane does."""
        if self.rotation.expires_at is None:
            self.granted_until = now + LIFETIME
        plane = self.plane
        if plane.moves_late:
            # Room for two: the one that sends, and the newest.
            plane.held = {one for one in plane.held if one == plane.sending}
            plane.pending = epoch
        else:
            plane.sending = epoch
        plane.held.add(epoch)
        self.rotation.prepared(epoch)
        self.rotation.committed(epoch, sources=(), key_id=None, qkd_age=None, now=now)
        self.committed = epoch
        self.commits.append(now)
        if not plane.moves_late:
            self.send(now)

    def send(self, now: float) -> bool:
        """Send a packet through the tunnel; say whether it arrived."""
        sending = self.plane.sending
        if sending is None or sending not in self.plane.held:
            return False
        if not self.paths.passes(initiator=self.initiator):
            return False
        arrives = sending in self.peer.plane.held
        self.peer.plane.take(sending, now)
        return arrives

    def _push(self, now: float) -> None:
        """Bring a pending epoch further: a probe, or WireGuard's handshake."""
        plane, peer = self.plane, self.peer.plane
        if not plane.moves_late:
            self.send(now)
        elif (
            plane.pending is not None
            and plane.pending in (peer.pending, peer.sending)
            and self.paths.out
            and self.paths.back
        ):
            plane.sending, plane.pending = plane.pending, None
            plane.take(plane.sending, now)

    def _keep(self, now: float) -> None:
        if self.plane.moves_late and now - self.plane.kept_at >= KEEPALIVE:
            self.plane.kept_at = now
            self.send(now)

    def _tell(self, now: float) -> None:
        plane = self.plane
        proven = plane.received & ({plane.sending} if plane.sending else set())
        self.rotation.trial.plane_polled(
            frozenset(proven), now=now, sending=plane.sending, heard_at=plane.heard_at
        )

    def may_pass(self, now: float) -> bool:
        """Whether the fence lets packets pass."""
        return now < self.granted_until


def make_ends(*, late: bool) -> tuple[End, End, Paths]:
    """Make two ends that are down."""
    paths = Paths()
    ends = [End(initiator=one, late=late, paths=paths) for one in (True, False)]
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends[0], ends[1], paths
