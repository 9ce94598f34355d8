"""Facts of this host: its sockets, its memory, its service manager."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class DatagramUnmarked(Event):
    """Datagrams cannot be marked: no peer inside a remote prefix can be reached.

    Attributes:
        host: Our address.
        port: Our UDP port.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DatagramsUnsent(Event):
    """Datagrams could not be sent.

    Attributes:
        count: How many since the start, for this reason.
        host: Where the last one was to go.
        reason: The system's words.
    """

    count: int
    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class ListenAddressAbsent(Event):
    """An address to listen on is not on this host; it is used once it comes.

    Attributes:
        host: The address.
    """

    host: str


@dataclass(frozen=True, slots=True)
class ListenAddressPresent(Event):
    """An address to listen on is on this host now.

    Attributes:
        host: The address.
    """

    host: str


@dataclass(frozen=True, slots=True)
class DescriptorRefused(Event):
    """A descriptor that systemd handed over cannot be used.

    Attributes:
        descriptor: Its number.
        why: What is wrong with it.
    """

    descriptor: int
    why: str


@dataclass(frozen=True, slots=True)
class DescriptorsRefused(Event):
    """What systemd says that it hands over is not believed.

    Attributes:
        count: How many descriptors it names.
    """

    count: int


@dataclass(frozen=True, slots=True)
class NotifyFailed(Event):
    """systemd was not told something.

    Attributes:
        state: What, as in sd_notify(3).
        why: The system's words.
    """

    state: str
    why: str


@dataclass(frozen=True, slots=True)
class NotifySocketUnknown(Event):
    """NOTIFY_SOCKET names a kind of socket that is not known.

    Attributes:
        value: Its first 50 characters.
    """

    value: str


@dataclass(frozen=True, slots=True)
class CoreDumpsAllowed(Event):
    """Core dumps could not be forbidden.

    Attributes:
        why: The system's words.
    """

    why: str


@dataclass(frozen=True, slots=True)
class MemoryUnlocked(Event):
    """Memory could not be locked: keys may come to swap.

    Attributes:
        why: Why, or the cure.
    """

    why: str


@dataclass(frozen=True, slots=True)
class MemoryLimited(Event):
    """Memory is not locked, for want of a limit that lets all of it: keys may swap.

    Attributes:
        limit: KiB that this process may lock.
    """

    limit: int
