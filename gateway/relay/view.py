"""This node's view of the network: links as configured, stocks as told.

Time is an argument. What others tell decides which configured route is taken, and
nothing else: a node that lies can make keys take another allowed way, or none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import RelayError
from gateway.relay.paths import Network, RelayLink
from gateway.wire.network import MAX_PADS, NodeState

STATE_INTERVAL: Final = 10.0
"""Seconds between two states of a node: a batch every few seconds changes little."""

STATE_LIFETIME: Final = 60.0
"""Seconds that a state counts: five may be lost before a node is taken for gone."""

MAX_SERIAL: Final = 2**48
"""Highest number of a state: they begin at a clock's milliseconds (8,900 years)."""

MAX_SERIAL_LEAP: Final = 2**35
"""How far a state told by others may be above the last: a node that restarts leaps by
the milliseconds since its last start, and these are a year. One who tells more counts
for nobody, lest the node itself be taken for outdated."""

AVOIDED: Final = 30.0
"""Seconds that routes keep away from a node that failed, where there are others."""

MAX_GAPS: Final = 6
"""Of what is missing, named in one error."""


@dataclass(frozen=True, slots=True)
class KnownNode:
    """One node, as this one knows it.

    Attributes:
        name: Its name.
        heard_ago: Seconds since it last said how it stands; None if it never did or
            too long ago; 0 for this node itself.
        avoided: Whether it failed a moment ago.
    """

    name: str
    heard_ago: float | None
    avoided: bool


@dataclass(slots=True)
class _Heard:
    serial: int
    at: float
    pads: dict[str, int]
    first_hand: bool


class NetworkView:
    """The network, seen from one node.

    Args:
        node: This node.
        links: Every link, as configured, as pairs of nodes.
        first_serial: Of this node's first state: greater than in earlier runs.
    """

    def __init__(
        self, node: str, links: Iterable[tuple[str, str]], first_serial: int
    ) -> None:
        self.node = node
        self.links = tuple(links)
        self._edges = {frozenset(pair) for pair in self.links}
        self._nodes = {name for pair in self.links for name in pair} | {node}
        self._serial = first_serial
        self._own: dict[str, int] = {}
        self._heard: dict[str, _Heard] = {}
        self._failed: dict[str, float] = {}

    @property
    def serial(self) -> int:
        """Number of this node's last state."""
        return self._serial

    def set_own(self, pads: Mapping[str, int]) -> None:
        """Note the pads in stock towards each neighbour; 0 where none can go."""
        self._own = {name: min(count, MAX_PADS) for name, count in pads.items()}

    def own_state(self) -> NodeState:
        """Return this node's state, to be told to every neighbour."""
        self._serial += 1
        return NodeState(self.node, self._serial, tuple(sorted(self._own.items())))

    def receive(
        self, state: NodeState, *, now: float, first_hand: bool = False
    ) -> bool:
        """Take in a state; return whether it was news, to be passed on.

        What a node says of itself counts, whatever others have said of it: a member
        could tell of a neighbour what it likes, under a number of its choice.

        Args:
            state: The state.
            now: Monotonic seconds.
            first_hand: Whether the node itself told it, over its own tunnel.
        """
        if state.node == self.node or state.node not in self._nodes:
            return False
        if state.serial > MAX_SERIAL or not self._is_news(
            state, now, first_hand=first_hand
        ):
            return False
        pads = {
            name: count
            for name, count in state.pads
            if frozenset((state.node, name)) in self._edges
        }
        self._heard[state.node] = _Heard(state.serial, now, pads, first_hand)
        return True

    def _is_news(self, state: NodeState, now: float, *, first_hand: bool) -> bool:
        known = self._heard.get(state.node)
        if known is None or now - known.at >= STATE_LIFETIME:
            return True
        if first_hand != known.first_hand:
            return first_hand
        leap = state.serial - known.serial
        return leap > 0 and (first_hand or leap <= MAX_SERIAL_LEAP)

    def note_failure(self, node: str, *, now: float) -> None:
        """Keep away from a node for a while, if it is one between."""
        if node in self._nodes and node != self.node:
            self._failed[node] = now

    def find(
        self, to: str, *, keys: int, paths: int, now: float
    ) -> tuple[tuple[str, ...], ...]:
        """Return the routes that are cheapest now, see `Network.find_paths`.

        Nodes that failed a moment ago are avoided where that leaves enough paths.

        Raises:
            RelayError: There are not as many.
        """
        network = Network(self._links_now(now))
        failed = {node for node in self._nodes if self._is_avoided(node, now)} - {to}
        try:
            return network.find_paths(
                self.node, to, keys=keys, count=paths, failed_nodes=failed
            )
        except RelayError:
            if not failed:
                raise
        return network.find_paths(self.node, to, keys=keys, count=paths)

    def check(self, routes: Iterable[Sequence[str]]) -> None:
        """Refuse routes that the configured network does not have.

        Raises:
            RelayError: See `Network.check`.
        """
        network = Network(self._links_now(0.0))
        for route in routes:
            network.check(route)

    def pads(self, sender: str, receiver: str, *, now: float) -> int | None:
        """Return the pads in stock in one direction; None if nobody told lately."""
        if sender == self.node:
            return self._own.get(receiver, 0)
        heard = self._heard.get(sender)
        if heard is None or now - heard.at >= STATE_LIFETIME:
            return None
        return heard.pads.get(receiver, 0)

    def gaps(self, *, now: float) -> str:
        """Say what is missing in the network now; empty if nothing is known to be."""
        silent = [one.name for one in self.nodes(now=now) if one.heard_ago is None]
        empty = [name for name, count in sorted(self._own.items()) if not count]
        found = [
            *(f"nothing can be sent to {name}" for name in empty),
            *(f"{name} is not heard" for name in silent),
        ]
        more = [f"{len(found) - MAX_GAPS} more"] if len(found) > MAX_GAPS else []
        return ", ".join([*found[:MAX_GAPS], *more])

    def nodes(self, *, now: float) -> list[KnownNode]:
        """Describe every node, sorted by name."""
        return [
            KnownNode(name, self._heard_ago(name, now), self._is_avoided(name, now))
            for name in sorted(self._nodes)
        ]

    def _links_now(self, now: float) -> list[RelayLink]:
        return [
            RelayLink(sender, receiver, self.pads(sender, receiver, now=now) or 0)
            for pair in self.links
            for sender, receiver in (pair, pair[::-1])
        ]

    def _heard_ago(self, name: str, now: float) -> float | None:
        if name == self.node:
            return 0.0
        heard = self._heard.get(name)
        if heard is None or now - heard.at >= STATE_LIFETIME:
            return None
        return now - heard.at

    def _is_avoided(self, name: str, now: float) -> bool:
        return name in self._failed and now - self._failed[name] < AVOIDED
