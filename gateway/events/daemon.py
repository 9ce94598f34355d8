"""Facts of the daemon's start, its configuration and its end."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class ConfigWarning(Event):
    """The configuration can be used, and something in it is not as it should be.

    Attributes:
        text: What.
    """

    text: str


@dataclass(frozen=True, slots=True)
class StartFailed(Event):
    """The daemon cannot start.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class IdentityLoaded(Event):
    """The gateway has its identity.

    Attributes:
        fingerprint: Of its public keys, in groups.
        suite: Number of its suite.
        provider: Library that ML-KEM comes from.
    """

    fingerprint: str
    suite: int
    provider: str


@dataclass(frozen=True, slots=True)
class LiboqsPassedOver(Event):
    """liboqs is installed, and OpenSSL is used instead.

    Attributes:
        why: What is wrong with it.
    """

    why: str


@dataclass(frozen=True, slots=True)
class DaemonReady(Event):
    """All that the configuration asks for was started.

    Attributes:
        status: Tunnels and links in one line.
    """

    status: str


@dataclass(frozen=True, slots=True)
class DaemonStopped(Event):
    """The daemon ends; the kernel goes on until its keys expire."""


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """A new configuration is in force.

    Attributes:
        added: Tunnels and links that are new.
        removed: Those that are gone.
        changed: Those that differ.
        unchanged: Those that do not.
    """

    added: int
    removed: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ReloadedInPart(Event):
    """A new configuration is in force, but for something that could not be done.

    Attributes:
        added: Tunnels and links that are new.
        removed: Those that are gone.
        changed: Those that differ.
        unchanged: Those that do not.
        undone: What could not be done, and why.
    """

    added: int
    removed: int
    changed: int
    unchanged: int
    undone: str


@dataclass(frozen=True, slots=True)
class ReloadRefused(Event):
    """A new configuration was refused; the old one stays in force.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class DatagramRefused(Event):
    """A datagram was not taken.

    Attributes:
        host: Where it came from.
        reason: Short machine-readable reason.
    """

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownPeerHeard(Event):
    """An identity that no tunnel has begins a handshake.

    Attributes:
        peer: Its fingerprint.
        host: Where it came from.
    """

    peer: str
    host: str


@dataclass(frozen=True, slots=True)
class UnknownTunnelAsked(Event):
    """A peer asks for a tunnel that it has no part in.

    Attributes:
        peer: Its fingerprint.
        asked: The name that it asked for.
    """

    peer: str
    asked: str
