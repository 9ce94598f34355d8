"""Facts of keys over trusted nodes."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class RelayReady(Event):
    """This node relays keys.

    Attributes:
        node: Its name.
    """

    node: str


@dataclass(frozen=True, slots=True)
class RelayStartFailed(Event):
    """The relay cannot start; it is tried again.

    Attributes:
        why: Why, and what cures it.
    """

    why: str


@dataclass(frozen=True, slots=True)
class RelayBroken(Event):
    """The relay broke down by a fault of ours; it is started anew.

    Attributes:
        error: What was raised.
    """

    error: BaseException


@dataclass(frozen=True, slots=True)
class NeighbourConnected(Event):
    """The connection to a neighbour stands.

    Attributes:
        neighbour: Its name.
    """

    neighbour: str


@dataclass(frozen=True, slots=True)
class NeighbourLost(Event):
    """The connection to a neighbour was lost.

    Attributes:
        neighbour: Its name.
    """

    neighbour: str


@dataclass(frozen=True, slots=True)
class KeysShared(Event):
    """A bundle of keys is at both its ends.

    Attributes:
        bundle: Its UUID.
        with_node: The other end.
        count: How many keys.
    """

    bundle: str
    with_node: str
    count: int


@dataclass(frozen=True, slots=True)
class BundleRefused(Event):
    """A bundle of keys did not arrive.

    Attributes:
        bundle: Its UUID.
        fault: `gateway.errors.RelayFault`.
        why: Why.
    """

    bundle: str
    fault: str
    why: str


@dataclass(frozen=True, slots=True)
class KeysForwarded(Event):
    """Keys of others went on to the next node.

    Attributes:
        bundle: Its UUID.
        came_from: The node before.
        went_to: The node after.
    """

    bundle: str
    came_from: str
    went_to: str


@dataclass(frozen=True, slots=True)
class RelayMessageRefused(Event):
    """A message of a neighbour was refused.

    Attributes:
        neighbour: Its name.
        fault: `gateway.errors.RelayFault`.
        why: Why.
    """

    neighbour: str
    fault: str
    why: str


@dataclass(frozen=True, slots=True)
class RelayedKeysRefused(Event):
    """Keys that arrived over trusted nodes could not be stored.

    Attributes:
        why: Why.
    """

    why: str


@dataclass(frozen=True, slots=True)
class PadsUnsuspected(Event):
    """Pads towards a neighbour cannot be compared.

    Attributes:
        neighbour: Its name.
        why: Why.
    """

    neighbour: str
    why: str


@dataclass(frozen=True, slots=True)
class RelayedKeysUnclaimed(Event):
    """Relayed keys were never announced by their origin; they are retired.

    Attributes:
        link: Their link.
        count: How many.
    """

    link: str
    count: int
