"""Events from a relay node to its driver."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from gateway.errors import RelayError
from gateway.keystore.base import NewKey


@dataclass(frozen=True, slots=True)
class RelayedKeys:
    """A whole bundle, at its origin or its destination.

    Attributes:
        bundle: The bundle.
        peer: The node at the other end.
        routes: The paths taken, from origin to destination.
        keys: The end-to-end keys.
        confirmed: Whether the other end is known to have stored them: only the origin
            learns that, so the destination's are unconfirmed until stocks are compared.
    """

    bundle: UUID
    peer: str
    routes: tuple[tuple[str, ...], ...]
    keys: tuple[NewKey, ...]
    confirmed: bool

    def wipe(self) -> None:
        """Erase the keys."""
        for key in self.keys:
            key.key.wipe()


class KeySink(Protocol):
    """Where keys go at their destination: a key store, in the end."""

    def take(self, relayed: RelayedKeys) -> None:
        """Store all the keys durably before returning, or none.

        The answer that lets the origin use them goes out right after.

        Raises:
            KeyStoreError: They could not be stored.
        """


@dataclass(frozen=True, slots=True)
class BundleArrived:
    """Destination: the sink has stored a bundle's keys."""

    bundle: UUID
    peer: str
    count: int


@dataclass(frozen=True, slots=True)
class BundleDelivered:
    """Origin: the destination has stored a bundle's keys."""

    bundle: UUID
    peer: str
    count: int


@dataclass(frozen=True, slots=True)
class BundleFailed:
    """Origin: a bundle came to nothing; its shares are erased.

    Attributes:
        bundle: The bundle.
        error: Why; `error.node` says where. A refusal that came without a tag could be
            anyone's, who could as well have cut the line.
    """

    bundle: UUID
    error: RelayError


@dataclass(frozen=True, slots=True)
class BatchForwarded:
    """Relay: a batch went on to the next node."""

    bundle: UUID
    path: int
    came_from: str
    went_to: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """Anyone: a neighbour's message changed nothing, or was answered with a failure."""

    peer: str
    error: RelayError


@dataclass(frozen=True, slots=True)
class HopOutOfStep:
    """Origin or relay: a neighbour does not hold pads that this node used.

    It may have said so without a tag, see `BundleFailed`.

    Attributes:
        peer: The neighbour.
    """

    peer: str


RelayEvent = (
    BundleArrived
    | BundleDelivered
    | BundleFailed
    | BatchForwarded
    | MessageRefused
    | HopOutOfStep
)
