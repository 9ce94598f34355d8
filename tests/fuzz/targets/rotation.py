"""Two ends that decide when to rotate: cuts, lost keys, and a peer that lies."""

from collections.abc import Iterator

from gateway.handshake.limits import MAX_EPOCH
from gateway.rotation.phases import TunnelPhase
from gateway.wire.control import RotateReason
from tests.fuzz.target import Choices, Target
from tests.property.tunnel_ends import INTERVAL, LIFETIME, STEP, End, make_ends

ALL_PASS = 0b111
MAX_STEPS = 24
MAX_ROUNDS = 400
"""Of the clock in one step: timers that are always due would have no end."""

MAX_STRIDE = 5.0
"""Seconds that the clock goes on at most, so that packets keep flowing."""

HEALED = LIFETIME + 2 * INTERVAL
"""Seconds after which both ends are up, whatever they were told before."""

EPOCHS_KEPT = 6
"""Epochs that an end knows at once: few, or the kernel fills."""

HANDSHAKES = 4.0
"""For each second: lies may cost handshakes, and not without bound."""


class World:
    """Both ends and their clock."""

    def __init__(self, *, late: bool) -> None:
        first, second, self.paths = make_ends(late=late)
        self.bits = ALL_PASS
        self.ends = (first, second)
        self.now = 1000.0
        for end in self.ends:
            end.rotation.up(now=self.now)

    def live(self, seconds: float) -> None:
        """Let time pass, from one timer to the next."""
        until = self.now + seconds
        for _ in range(MAX_ROUNDS):
            if self.now >= until:
                return
            dues = [end.rotation.get_timer() for end in self.ends]
            due = min((one for one in dues if one is not None), default=until)
            self.now = max(self.now + STEP, min(due, self.now + MAX_STRIDE, until))
            for end in self.ends:
                end.step(self.now)
                self.look(end)
        raise AssertionError("the clock does not get on")

    def look(self, end: End) -> None:
        rotation = end.rotation
        expires_at = rotation.expires_at
        assert expires_at is not None or not end.may_pass(self.now)
        assert expires_at is None or end.granted_until <= expires_at + STEP
        assert end.granted_until <= self.now + LIFETIME + STEP
        assert len(rotation.epochs) <= EPOCHS_KEPT
        assert all(epoch <= MAX_EPOCH + 1 for epoch in rotation.epochs)
        assert rotation.phase is not TunnelPhase.DOWN or not end.may_pass(self.now)

    def lie(self, end: End, kind: int, choices: Choices) -> None:
        """Tell an end what its peer did not say, or what its plane did not do."""
        rotation, now = end.rotation, self.now
        near = end.committed + choices.number() % 5
        epoch = choices.number(8) if choices.number() & 1 else max(0, near - 2)
        match kind:
            case 0:
                rotation.trial.peer_in_force(epoch, echo=bool(epoch & 1), now=now)
            case 1:
                rotation.behind(epoch, now=now)
            case 2:
                rotation.rotate(RotateReason(epoch % len(RotateReason)), now=now)
            case 3:
                rotation.peer_closed(now=now, returning=bool(epoch & 1))
            case 4:
                rotation.peer_silent(now=now)
            case 5:
                end.plane.clear()
            case 6:
                rotation.trial.peer_obstructed(is_there=bool(epoch & 1), now=now)
            case 7:
                rotation.down()
            case _:
                rotation.up(now=now)
        end.act(now)
        self.route(self.bits)

    def route(self, bits: int) -> None:
        """Let packets pass out, back, and handshakes: none with an end that is down."""
        paths = self.paths
        self.bits = bits
        paths.out, paths.back, paths.control = (bool(bits >> n & 1) for n in range(3))
        if any(end.rotation.phase is TunnelPhase.DOWN for end in self.ends):
            paths.control = False


def run(data: bytes) -> None:
    choices = Choices(data)
    world = World(late=bool(choices.number() & 1))
    told = 0
    for _ in range(MAX_STEPS):
        if not choices:
            break
        kind = choices.number()
        if kind < 128:
            world.live(STEP * (1 + kind) if kind < 100 else 3.0 * (kind - 99))
        elif kind < 160:
            world.route(kind)
        else:
            told += 1
            world.lie(world.ends[kind & 1], kind // 2 % 9, choices)
    for end in world.ends:
        end.rotation.trial.peer_obstructed(is_there=False, now=world.now)
        end.rotation.up(now=world.now)
        end.act(world.now)
    world.route(ALL_PASS)
    world.live(HEALED)
    for end in world.ends:
        assert end.rotation.phase is TunnelPhase.UP, end.rotation.reason
        assert end.may_pass(world.now)
        assert end.send(world.now)
    lived = world.now - 1000.0
    assert len(world.ends[0].commits) <= 10 + 2 * told + lived * HANDSHAKES


def seeds() -> Iterator[bytes]:
    for late in (0, 1):
        yield bytes([late, 99, 127, 127])
        yield bytes([late, 50, 128, 127, 127, 135, 120])
        for kind in range(9):
            first, second = 162 + 2 * kind, 163 + 2 * kind
            yield bytes([late, 50, first, 1, 0, 60, second, 1, 0, 110])
            yield bytes([late, 50, first, 0, *[255] * 8, 1, 60, second, 3, 0, 110])


TARGET = Target(
    "rotation at two ends: nothing passes too long, few handshakes, and they heal",
    run,
    seeds,
    120,
)
