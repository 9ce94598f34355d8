"""`RelayClient`: relayed keys as a source like any other.

The end that draws has a bundle of new keys carried to the other; that end's relay has
stored them before the bundle counts as delivered, so nothing is left to be fetched by
key_ID there. Stock, budget, announcements and comparison are those of every link.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from gateway.config.model import LinkConfig, RouteConfig
from gateway.errors import KeySourceError, RelayError, RelayFault, SourceFault
from gateway.relay.events import RelayedKeys
from gateway.relay.hop import PADS_OF_MESSAGE
from gateway.relay.messages import SHARE_SIZE
from gateway.relay.view import NetworkView
from gateway.sources.base import Delivery, KMEStatus

Routes = tuple[tuple[str, ...], ...]
Request = Callable[[Routes, int], Awaitable[RelayedKeys]]
"""Carries so many new keys over these routes."""

FAULTS: Final = {
    RelayFault.MALFORMED: SourceFault.MALFORMED,
    RelayFault.FORGED: SourceFault.MALFORMED,
    RelayFault.REPLAYED: SourceFault.MALFORMED,
    RelayFault.WRONG_HOP: SourceFault.MALFORMED,
    RelayFault.UNEXPECTED: SourceFault.MALFORMED,
    RelayFault.OUT_OF_STEP: SourceFault.MISSING,
    RelayFault.PADS_EXHAUSTED: SourceFault.EMPTY,
    RelayFault.NO_PATH: SourceFault.EMPTY,
    RelayFault.LOST: SourceFault.TIMEOUT,
    RelayFault.BUSY: SourceFault.OVERLOADED,
    RelayFault.STORE: SourceFault.SERVER,
    RelayFault.UNKNOWN_NODE: SourceFault.REJECTED,
    RelayFault.LOOP: SourceFault.REJECTED,
}
"""What each failure of the relay is for those who keep stock."""


class RelayClient:
    """A `gateway.sources.base.KeyClient` over trusted nodes.

    Args:
        link: A ``relay`` link.
        route: Its route.
        view: The network.
        request: Carries keys.
        clock: Monotonic seconds.

    Attributes:
        to: The node at the other end.
        paths: How many disjoint paths each key is combined from.
    """

    def __init__(
        self,
        link: LinkConfig,
        route: RouteConfig,
        view: NetworkView,
        request: Request,
        clock: Callable[[], float],
    ) -> None:
        self.to = route.to
        self.paths = route.paths
        self._link = link
        self._route = route
        self._view = view
        self._request = request
        self._clock = clock

    def use(self, view: NetworkView) -> None:
        """Find routes in this network from now on."""
        self._view = view

    @property
    def link(self) -> str:
        """Name of the link."""
        return self._link.name

    @property
    def description(self) -> str:
        """One line for status and logs."""
        route = self._route
        if route.via:
            ways = ", ".join(" > ".join(way) for way in self._chosen())
        else:
            ways = f"{route.paths} path{'s' if route.paths > 1 else ''} to {route.to}"
        return f"relayed by trusted nodes: {ways}"

    def find(self, count: int) -> tuple[Routes, int]:
        """Return the routes for a batch now, and for how many keys they have pads.

        Raises:
            RelayError: There are none, not even for one key.
        """
        now = self._clock()
        try:
            return self._find(count, now), count
        except RelayError as error:
            if count == 1 or error.fault is not RelayFault.NO_PATH:
                raise
        routes = self._find(1, now)
        few = min(self._least(route) for route in routes) - PADS_OF_MESSAGE
        return routes, min(count, max(few, 1))

    async def get_keys(self, count: int) -> Delivery:
        """Have new keys carried to the other end.

        Raises:
            KeySourceError: They were not.
        """
        try:
            relayed = await self._request(*self.find(min(count, self._route.batch)))
        except RelayError as error:
            self._view.note_failure(error.node, now=self._clock())
            raise self._failure(error) from None
        return Delivery(relayed.keys)

    async def get_keys_with_ids(self, key_ids: Sequence[UUID]) -> Delivery:
        """Name them missing: what was carried here is in stock already."""
        return Delivery((), missing=tuple(key_ids))

    async def get_status(self) -> KMEStatus:
        """Describe the way as a KME would describe itself.

        Raises:
            KeySourceError: There is none now.
        """
        try:
            routes, _ = self.find(1)
        except RelayError as error:
            raise self._failure(error) from None
        least = min(self._least(route) for route in routes)
        return KMEStatus(
            source=self._source,
            source_kme_id=self._view.node,
            target_kme_id=self._route.to,
            key_size=8 * SHARE_SIZE,
            stored_key_count=max(0, least - PADS_OF_MESSAGE),
            max_key_count=None,
            max_key_per_request=self._route.batch,
            notes=tuple(" > ".join(route) for route in routes),
        )

    async def close(self) -> None:
        """Hold nothing, let go of nothing."""

    @property
    def _source(self) -> str:
        return f"relay to {self._route.to}"

    def _chosen(self) -> Routes:
        """The operator's own routes."""
        return tuple((self._view.node, *way, self.to) for way in self._route.via)

    def _find(self, count: int, now: float) -> Routes:
        route = self._route
        if not route.via:
            return self._view.find(route.to, keys=count, paths=route.paths, now=now)
        chosen = self._chosen()
        self._view.check(chosen)
        for way in chosen:
            least = self._least(way)
            if least < count + PADS_OF_MESSAGE:
                raise RelayError(
                    f"{' > '.join(way)} has too few pads for {count} keys: "
                    f"{least} where there are fewest",
                    "wait for the links' KMEs to deliver, or see: qgw network",
                    fault=RelayFault.NO_PATH,
                )
        return chosen

    def _least(self, route: Sequence[str]) -> int:
        """Pads of the hop that has fewest; a hop nobody told of holds nothing up."""
        now = self._clock()
        hops = itertools.pairwise(route)
        told = [self._view.pads(a, b, now=now) for a, b in hops]
        return min((count for count in told if count is not None), default=0)

    def _failure(self, error: RelayError) -> KeySourceError:
        message = error.message
        if error.fault is RelayFault.NO_PATH:
            gaps = self._view.gaps(now=self._clock())
            message += f"; {gaps}" if gaps else ""
        return KeySourceError(
            message,
            error.hint,
            source=self._source,
            call="relay",
            fault=FAULTS[error.fault],
        )
