"""Bundles under way, as their origin keeps them."""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.errors import RelayError, RelayFault
from gateway.relay.combine import combine_bundle
from gateway.relay.events import RelayedKeys
from gateway.relay.messages import FAULTS, MAX_BATCH, MAX_PATHS, Outcome, RelayAnswer
from gateway.secret import Secret

MAX_UNDER_WAY: Final = 256
"""Bundles on their way from here: 8 MiB of shares at most."""


def check_bundle(routes: int, count: int) -> None:
    """Refuse a number of routes or of keys that no bundle has.

    Raises:
        ValueError: One of them is out of bounds.
    """
    if not 1 <= count <= MAX_BATCH or not 1 <= routes <= MAX_PATHS:
        raise ValueError(f"a bundle has 1 to {MAX_BATCH} keys, 1 to {MAX_PATHS} paths")


@dataclass(slots=True)
class Departure:
    """One bundle on its way.

    Attributes:
        deadline: When it counts as lost.
        routes: For each path.
        shares: For each path its shares.
        answer_keys: For each path the key of its answer.
        outcomes: What was answered so far, by path.
    """

    deadline: float
    routes: tuple[tuple[str, ...], ...]
    shares: list[list[Secret]]
    answer_keys: list[Secret] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def wipe(self) -> None:
        """Erase shares and keys."""
        for secret in (*self.answer_keys, *(s for row in self.shares for s in row)):
            secret.wipe()


class Departures:
    """Bundles at their origin, in memory only: a crash forgets them."""

    def __init__(self) -> None:
        self._under_way: dict[UUID, Departure] = {}

    def check_room(self) -> None:
        """Refuse a further bundle when there are too many.

        Raises:
            RelayError: ``busy``.
        """
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise RelayError(
                "too many relayed bundles are under way",
                "wait for their answers",
                fault=RelayFault.BUSY,
            )

    def add(self, bundle: UUID, departure: Departure) -> None:
        """Keep a bundle until it is answered or lost."""
        self._under_way[bundle] = departure

    def answer_key(self, answer: RelayAnswer, peer: str) -> Secret | None:
        """Return the key of an answer awaited from `peer`, else None."""
        departure = self._under_way.get(answer.bundle)
        if departure is None or answer.path >= len(departure.routes):
            return None
        if answer.path in departure.outcomes or departure.routes[answer.path][1] != (
            peer
        ):
            return None
        return departure.answer_keys[answer.path]

    def settle(self, answer: RelayAnswer) -> RelayedKeys | None:
        """Note a verified answer; return the keys once every path has one.

        Raises:
            RelayError: The bundle has failed: what the answer says, or ``lost`` when
                the destination holds all paths' shares but has put no key together,
                since it forgot some of them. Its shares are erased.
        """
        departure = self._under_way[answer.bundle]
        departure.outcomes[answer.path] = answer.outcome
        if answer.outcome in FAULTS:
            self._forget(answer.bundle)
            raise failure(FAULTS[answer.outcome], answer.node)
        if len(departure.outcomes) < len(departure.routes):
            return None
        if Outcome.DELIVERED not in departure.outcomes.values():
            self._forget(answer.bundle)
            raise failure(RelayFault.LOST, answer.node)
        keys = combine_bundle(answer.bundle, departure.routes, departure.shares)
        self._forget(answer.bundle)
        destination = departure.routes[0][-1]
        return RelayedKeys(
            answer.bundle, destination, departure.routes, tuple(keys), confirmed=True
        )

    def cancel(self, bundle: UUID) -> bool:
        """Erase a bundle, if it is under way; return whether it was."""
        under_way = bundle in self._under_way
        if under_way:
            self._forget(bundle)
        return under_way

    def clear(self) -> None:
        """Erase every bundle."""
        for bundle in list(self._under_way):
            self._forget(bundle)

    def get_timer(self) -> float | None:
        """When `expire` has something to do, or None."""
        return min((each.deadline for each in self._under_way.values()), default=None)

    def expire(self, now: float) -> list[tuple[UUID, str]]:
        """Erase bundles that were not answered in time.

        Returns:
            Each with the neighbour that owes an answer: had it one to give, or were it
            only the node behind it that is silent, it would have said so before.
        """
        due = [name for name, each in self._under_way.items() if each.deadline <= now]
        late = []
        for name in due:
            departure = self._under_way[name]
            silent = (
                route[1]
                for path, route in enumerate(departure.routes)
                if path not in departure.outcomes
            )
            late.append((name, next(silent)))
            self._forget(name)
        return late

    def _forget(self, bundle: UUID) -> None:
        self._under_way.pop(bundle).wipe()


def failure(fault: RelayFault, node: str) -> RelayError:
    """Return the error that a node's answer stands for."""
    return RelayError(
        f"keys could not be relayed: {fault} at {node}",
        f"look at {node}; another route may do",
        fault=fault,
        node=node,
    )
