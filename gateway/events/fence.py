"""Facts of the fence."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class FenceRecordLost(Event):
    """Another program took or changed the record for a boot; it is written anew.

    Attributes:
        path: The record.
        is_removed: Whether it is gone, not changed.
    """

    path: str
    is_removed: bool


@dataclass(frozen=True, slots=True)
class FenceRecordUnwritten(Event):
    """The record for the next boot could not be written.

    Attributes:
        message: Why.
        hint: What cures it.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class FenceRecordUnread(Event):
    """The record of an earlier run cannot be read.

    Attributes:
        message: Why.
        hint: What cures it.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class FenceUnavailable(Event):
    """There is no fence of nftables.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class LeaseRefused(Event):
    """A network on lease here lies in a remote prefix: it is not exempt.

    Attributes:
        network: In CIDR notation.
    """

    network: str


@dataclass(frozen=True, slots=True)
class ConnectedPassed(Event):
    """A connected network lies in a remote prefix: packets for it pass in clear.

    Attributes:
        network: In CIDR notation.
    """

    network: str


@dataclass(frozen=True, slots=True)
class FullTunnelPassed(Event):
    """A connected network lies in a full tunnel's prefix: packets for it pass in clear.

    Attributes:
        network: In CIDR notation.
    """

    network: str


@dataclass(frozen=True, slots=True)
class NetworkUnasked(Event):
    """A network connected since the configuration was accepted lies in a remote prefix.

    Attributes:
        network: In CIDR notation.
    """

    network: str


@dataclass(frozen=True, slots=True)
class FenceRestored(Event):
    """Another program removed or changed the fence; it stands again.

    Attributes:
        times: How often until now.
    """

    times: int


@dataclass(frozen=True, slots=True)
class FenceFailed(Event):
    """The fence cannot be kept as it must be.

    Attributes:
        message: Why.
        hint: What cures it.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class FenceUnsettled(Event):
    """The fence still refuses what only the old configuration names.

    Attributes:
        why: Why.
    """

    why: str
