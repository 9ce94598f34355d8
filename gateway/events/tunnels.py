"""Facts of tunnels: their drivers, devices, keys on offer and records."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class EpochAdopted(Event):
    """An epoch of an earlier run goes on.

    Attributes:
        tunnel: Its name.
        epoch: Its number.
    """

    tunnel: str
    epoch: int


@dataclass(frozen=True, slots=True)
class PeerHeardElsewhere(Event):
    """The peer is heard from another address, authentically.

    Attributes:
        tunnel: Its name.
        remote: Its address and port.
        local: Our address that it calls; empty for that of the route.
    """

    tunnel: str
    remote: str
    local: str


@dataclass(frozen=True, slots=True)
class PeerPaced(Event):
    """The peer begins epochs faster than any honest one.

    Attributes:
        tunnel: Its name.
        remote: Its address and port.
    """

    tunnel: str
    remote: str


@dataclass(frozen=True, slots=True)
class IdentityTwice(Event):
    """An identity is used on two machines.

    Attributes:
        tunnel: Its name.
        text: Whose, and where.
    """

    tunnel: str
    text: str


@dataclass(frozen=True, slots=True)
class PlaneKeysLost(Event):
    """The data plane lost a tunnel's keys.

    Attributes:
        tunnel: Its name.
        text: What that means.
    """

    tunnel: str
    text: str


@dataclass(frozen=True, slots=True)
class KernelRefused(Event):
    """The kernel, the key store or a plane refused a step of a tunnel.

    Attributes:
        tunnel: Its name.
        text: The step, why, and what cures it.
    """

    tunnel: str
    text: str


@dataclass(frozen=True, slots=True)
class HalfInstalled(Event):
    """What was installed of an epoch cannot be removed.

    Attributes:
        tunnel: Its name.
        number: The epoch.
        why: Why.
    """

    tunnel: str
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class InitiationUnanswered(Event):
    """An initiation cannot be answered for now.

    Attributes:
        tunnel: Its name.
        why: Why.
    """

    tunnel: str
    why: str


@dataclass(frozen=True, slots=True)
class OffersUnreleased(Event):
    """Reserved keys could not be given back.

    Attributes:
        tunnel: Its name.
        why: Why.
    """

    tunnel: str
    why: str


@dataclass(frozen=True, slots=True)
class OffersUnretired(Event):
    """Keys that the peer has used could not be retired.

    Attributes:
        tunnel: Its name.
        link: Their link.
        why: Why.
    """

    tunnel: str
    link: str
    why: str


@dataclass(frozen=True, slots=True)
class OfferedKeysUsed(Event):
    """The peer had used keys that were offered; they are retired.

    Attributes:
        tunnel: Its name.
        link: Their link.
        used: How many.
        offered: Of how many.
    """

    tunnel: str
    link: str
    used: int
    offered: int


@dataclass(frozen=True, slots=True)
class PlaneOpened(Event):
    """A data plane is open.

    Attributes:
        plane: Its name.
    """

    plane: str


@dataclass(frozen=True, slots=True)
class TunnelHalfRemoved(Event):
    """Not all of a tunnel could be removed from the kernel.

    Attributes:
        tunnel: Its name.
        why: Why.
    """

    tunnel: str
    why: str


@dataclass(frozen=True, slots=True)
class TunnelStartFailed(Event):
    """A tunnel cannot start; it is tried again.

    Attributes:
        tunnel: Its name.
        why: Why, and what cures it.
    """

    tunnel: str
    why: str


@dataclass(frozen=True, slots=True)
class TunnelChangeFailed(Event):
    """A tunnel goes on as it was, though its configuration changed.

    Attributes:
        tunnel: Its name.
        why: Why, and what cures it.
    """

    tunnel: str
    why: str


@dataclass(frozen=True, slots=True)
class StateAnew(Event):
    """The peer is another one than before: epochs start anew.

    Attributes:
        tunnel: Its name.
    """

    tunnel: str


@dataclass(frozen=True, slots=True)
class StateUnwritten(Event):
    """An epoch cannot be remembered for the next start.

    Attributes:
        tunnel: Its name.
        number: The epoch.
        why: The system's words.
    """

    tunnel: str
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class StateIgnored(Event):
    """A state file is ignored.

    Attributes:
        path: The file.
        why: What is wrong with it.
    """

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class StateRefused(Event):
    """A state file is ignored: no gateway reaches its epoch.

    Attributes:
        tunnel: Its name.
        path: The file.
        number: The epoch it names.
        highest: The highest there can be.
    """

    tunnel: str
    path: str
    number: int
    highest: int


@dataclass(frozen=True, slots=True)
class KernelUnwatched(Event):
    """The kernel does not tell of changes, so they are looked for now and then.

    Attributes:
        sweep: Seconds between two looks.
        why: Why.
    """

    sweep: float
    why: str


@dataclass(frozen=True, slots=True)
class DevicesUncompared(Event):
    """The planes' devices cannot be looked at.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class KernelUncompared(Event):
    """What is in the kernel cannot be compared with what is wanted.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class KernelStateMissing(Event):
    """Something that was taken out of the kernel cannot be put back.

    Attributes:
        tunnel: Its name, None for no one in particular.
        what: What.
    """

    tunnel: str | None
    what: str


@dataclass(frozen=True, slots=True)
class KernelStateRestored(Event):
    """Something that was taken out of the kernel is there again.

    Attributes:
        tunnel: Its name, None for no one in particular.
        what: What.
    """

    tunnel: str | None
    what: str


@dataclass(frozen=True, slots=True)
class KernelStateFought(Event):
    """Somebody keeps taking something out of the kernel.

    Attributes:
        tunnel: Its name, None for no one in particular.
        what: What.
        pause: Seconds for which it is left alone if it happens again.
    """

    tunnel: str | None
    what: str
    pause: float
