"""What goes wrong, when and for how long: drawn from a seed, so that it replays."""

import random  # noqa: TID251  # a plan must replay from its seed; it guards nothing
from dataclasses import dataclass
from enum import Enum

from gateway.wire.header import Type

MAX_BURST = 4
"""Faults between two recoveries."""

BURST_SHARE = 0.45
"""How often the next fault joins the burst before it."""

BURST_SPREAD = 1.2
"""Seconds within which the faults of a burst begin: long enough that a daemon
killed by the first is starting when the last one comes."""

RESTART = (0.1, 0.4)
"""Seconds until a dead daemon is started again, as systemd's RestartSec does."""


class Kind(Enum):
    """What a fault does."""

    KILL = "SIGKILL"
    KILL_BOTH = "SIGKILL both"
    SHOOT = "SIGKILL at a handshake message"
    SHOOT_BOTH = "SIGKILL both at a handshake message"
    KILL_STARTING = "SIGKILL while starting"
    STOP = "SIGTERM"
    FREEZE = "SIGSTOP, SIGCONT"
    CUT = "link down"
    CUT_LONG = "link down past max_epoch_lifetime"
    CUT_AT = "link down at a handshake message"
    ONE_WAY = "one direction lost"
    RESTORE = "old state directory restored"
    PLANE = "wireguard-go killed"


SHARES: dict[Kind, int] = {
    Kind.KILL: 15,
    Kind.KILL_BOTH: 6,
    Kind.SHOOT: 24,
    Kind.SHOOT_BOTH: 4,
    Kind.KILL_STARTING: 8,
    Kind.STOP: 8,
    Kind.FREEZE: 8,
    Kind.CUT: 8,
    Kind.CUT_LONG: 3,
    Kind.CUT_AT: 4,
    Kind.ONE_WAY: 6,
    Kind.RESTORE: 3,
    Kind.PLANE: 3,
}
"""Faults of each kind in a hundred."""

AIMED = frozenset({Kind.SHOOT, Kind.SHOOT_BOTH, Kind.CUT_AT})
FOLLOWERS = 2
"""Faults that follow a `CUT_LONG`: they meet tunnels that are blocked at both ends, so
that no older epoch carries traffic over what they break."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: What it does.
        end: ``a`` or ``b``, where it concerns one.
        after: Seconds after the burst began; with an aim, after the message.
        lasts: Seconds until it is repaired.
        aim: The message it waits for, or None.
        hurry: Whether a rotation is asked for, rather than waited for; of a plane's
            processes, whether one dies, rather than both.
    """

    kind: Kind
    end: str
    after: float
    lasts: float
    aim: Type | None = None
    hurry: bool = False

    def __str__(self) -> str:
        aim = f" at {self.aim.name}" if self.aim else ""
        when = f"+{self.after:.3f} for {self.lasts:.2f} s"
        return f"{self.kind.value} {self.end}{aim} {when}"


@dataclass(frozen=True, slots=True)
class Burst:
    """Faults that come close together, then peace.

    Attributes:
        faults: At most one of them aimed, which then comes first.
        dwell: Seconds of peace after traffic flows again.
    """

    faults: tuple[Fault, ...]
    dwell: float


def draw_plan(
    seed: int, count: int, *, lifetime: float, has_process: bool
) -> list[Burst]:
    """Return `count` faults in bursts.

    Args:
        seed: The same seed gives the same plan.
        count: How many faults.
        lifetime: `max_epoch_lifetime`, seconds.
        has_process: Whether the plane has processes that can be killed.
    """
    chance = random.Random(seed)  # noqa: S311  # see the import
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    while len(kinds) < count:
        kinds += kinds
    if not has_process:
        kinds = [Kind.KILL if kind is Kind.PLANE else kind for kind in kinds]
    chance.shuffle(kinds)
    # Only one end, each time: if both go back, no memory is left of what was used.
    restored = chance.choice("ab")
    groups: list[list[Kind]] = []
    for kind in kinds[:count]:
        if groups and _may_join(groups[-1], kind, chance):
            groups[-1].append(kind)
        else:
            groups.append([kind])
    return [
        Burst(
            tuple(
                sorted(
                    (_draw(kind, chance, lifetime, restored) for kind in group),
                    key=_order,
                )
            ),
            dwell=chance.uniform(0.1, 1.2),
        )
        for group in groups
    ]


def _may_join(group: list[Kind], kind: Kind, chance: random.Random) -> bool:
    if len(group) >= MAX_BURST or kind is Kind.CUT_LONG:
        return False
    if kind in AIMED and AIMED & set(group):
        return False
    must = Kind.CUT_LONG in group and len(group) <= FOLLOWERS
    return must or chance.random() < BURST_SHARE


def _order(fault: Fault) -> tuple[bool, bool, float]:
    """Put a long cut first, then what waits for a message, then the rest by time."""
    return fault.kind is not Kind.CUT_LONG, fault.aim is None, fault.after


def _draw(kind: Kind, chance: random.Random, lifetime: float, restored: str) -> Fault:
    end = chance.choice("ab")
    after = chance.uniform(0.0, BURST_SPREAD)
    match kind:
        case Kind.SHOOT | Kind.SHOOT_BOTH | Kind.CUT_AT:
            aim = chance.choice(
                (Type.INITIATION, Type.RESPONSE, Type.COMMIT, Type.COMMITTED)
            )
            # Most of what follows a message is over after some milliseconds.
            after = chance.choice(
                (0.0, chance.uniform(0, 0.01), chance.uniform(0, 0.08))
            )
            lasts = (
                chance.uniform(0.05, 3.0) if kind is Kind.CUT_AT else _restart(chance)
            )
            return Fault(kind, end, after, lasts, aim, hurry=chance.random() < 0.7)
        case Kind.KILL_STARTING:
            lasts = chance.uniform(0.0, 1.2)
        case Kind.FREEZE:
            longest = chance.choice((1.0, 1.0, 0.5 * lifetime, 1.2 * lifetime))
            lasts = chance.uniform(0.1, longest)
        case Kind.CUT | Kind.ONE_WAY:
            lasts = chance.choice((chance.uniform(0.05, 0.5), chance.uniform(0.5, 4.0)))
        case Kind.CUT_LONG:
            lasts = lifetime + chance.uniform(0.5, 3.0)
        case Kind.RESTORE:
            end, lasts = restored, _restart(chance)
        case Kind.PLANE:
            return Fault(kind, end, after, 0.0, hurry=chance.random() < 0.5)
        case _:
            lasts = _restart(chance)
    return Fault(kind, end, after, lasts)


def _restart(chance: random.Random) -> float:
    return chance.uniform(*RESTART)
