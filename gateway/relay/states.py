"""States of other nodes, on their way from neighbour to neighbour.

Time is an argument. What one neighbour says goes out to all the others, sixteen at
most, so how much goes out must not be for one neighbour to say: each node's state is
passed on once a `PASS_INTERVAL` at most, the newest only, and all together twice as
often as honest nodes tell theirs.
"""

from typing import Final

from gateway.wire.network import NodeState

PASS_INTERVAL: Final = 1.0
"""Seconds between two states of one node that are passed on: a node tells of a change
no sooner."""

BURST: Final = 8
"""States that may go out at once, beside one of every node."""


class Passing:
    """What is to be passed on.

    Args:
        nodes: Nodes of the network: so many states wait at most.
        interval: Seconds between two states of an honest node.
    """

    def __init__(self, nodes: int, interval: float) -> None:
        self._most = float(nodes + BURST)
        self._per_second = 2 * nodes / interval
        self._left = self._most
        self._at: float | None = None
        self._waiting: dict[str, tuple[NodeState, str]] = {}
        self._passed_at: dict[str, float] = {}

    def offer(self, state: NodeState, came_from: str) -> None:
        """Take a state of a known node that was news; it replaces an older one."""
        # A node keeps its place: nobody is kept back by repeating himself.
        self._waiting[state.node] = (state, came_from)

    def due(self, *, now: float) -> list[tuple[NodeState, str]]:
        """Take what is to be passed on now, and the neighbour each came from."""
        if self._at is not None:
            gained = max(0.0, now - self._at) * self._per_second
            self._left = min(self._most, self._left + gained)
        self._at = now
        due = []
        for node in tuple(self._waiting):
            if self._left < 1.0:
                break
            if now - self._passed_at.get(node, float("-inf")) >= PASS_INTERVAL:
                self._left -= 1.0
                self._passed_at[node] = now
                due.append(self._waiting.pop(node))
        return due
