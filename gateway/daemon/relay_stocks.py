"""Stocks that relaying needs: pads of each hop, and relayed keys at their destination.

Each hop has two stocks of pads, one for each direction, filled from the same KME as the
link's own keys.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.config.model import GatewayConfig, LinkConfig
from gateway.errors import KeyStoreError
from gateway.keystore.base import KeyStore
from gateway.relay.events import RelayedKeys
from gateway.relay.pads import stock_name

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

PADS_LOW: Final = 10
"""Of the pads aimed for one in so many left is low: fetching begins at the latest."""

PADS_OVERFLOW: Final = 2
"""Times the target that a stock of pads may hold: the peer may be quicker to announce
than this end is to use."""

UNCLAIMED: Final = 86_400.0
"""Seconds that delivered keys wait for their origin to announce them, which it does
when it can speak to us. It never will if it did not hear that they arrived."""

MAX_WAITING: Final = 1_000
"""Keys watched for that at once; the others follow."""


def all_links(config: GatewayConfig) -> dict[str, LinkConfig]:
    """Return every link that has a stock: those configured, and the hops' pads."""
    links = dict(config.links)
    relay = config.relay
    if relay is None:
        return links
    for neighbour in relay.neighbours.values():
        base = links[neighbour.link]
        for stock in pad_stocks(relay.node, neighbour.name):
            links[stock] = replace(
                base,
                name=stock,
                low_water=neighbour.pads // PADS_LOW,
                target=neighbour.pads,
                capacity=neighbour.pads * PADS_OVERFLOW,
                checked=False,
            )
    return links


def pad_stocks(node: str, neighbour: str) -> tuple[str, str]:
    """Name the stocks of a hop: that under which `node` sends, and the other one."""
    return stock_name(node, neighbour), stock_name(neighbour, node)


class Destination:
    """Takes relayed keys into the stock of the link they are for (`KeySink`).

    Called in the store's thread.

    Args:
        links: Configured links; those whose keys are relayed count.
        store: Where keys go.
    """

    def __init__(self, links: Mapping[str, LinkConfig], store: KeyStore) -> None:
        self._store = store
        self._waiting: dict[str, dict[UUID, float]] = {}
        self.use(links)

    def use(self, links: Mapping[str, LinkConfig]) -> None:
        """Take keys for these links from now on."""
        self._links = {
            link.route.to: link for link in links.values() if link.route is not None
        }

    def take(self, relayed: RelayedKeys) -> None:
        """Store the keys durably, all or none.

        Raises:
            KeyStoreError: No link is configured for them, they came over other paths
                than configured, the stock is full, or the store failed.
        """
        link = self._links.get(relayed.peer)
        if link is None:
            raise KeyStoreError(
                f"keys came from node {relayed.peer}, to which no link is configured",
                f'add a link with source = "relay" and to = "{relayed.peer}"',
            )
        self._check_routes(link, relayed)
        status = self._store.status(link.name)
        count = len(relayed.keys)
        if status.available + status.reserved + count > link.capacity:
            raise KeyStoreError(f"the stock of link {link.name} is full")
        report = self._store.add(
            link.name, relayed.keys, lifetime=link.key_lifetime, confirmed=False
        )
        if report.refused:
            self._store.retire(link.name, [key.key_id for key in relayed.keys])
            reasons = ", ".join(sorted({one.reason for one in report.refused}))
            raise KeyStoreError(f"relayed keys were refused: {reasons}")

    def forget_unclaimed(self, draws: Callable[[str], bool], now: float) -> None:
        """Retire keys that their origin never announced: it does not hold them.

        Args:
            draws: Whether this end is the origin of a link's keys.
            now: Monotonic seconds.

        Raises:
            KeyStoreError: The store failed.
        """
        for link in self._links.values():
            if draws(link.name):
                continue
            before = self._waiting.get(link.name, {})
            key_ids = self._store.unconfirmed(link.name, MAX_WAITING)
            waiting = {key_id: before.get(key_id, now) for key_id in key_ids}
            late = [one for one, since in waiting.items() if now - since >= UNCLAIMED]
            self._waiting[link.name] = waiting
            if late:
                self._store.retire(link.name, late)
                logger.warning(
                    "%d relayed keys were never announced by their origin; they are "
                    "retired",
                    len(late),
                    extra={"link": link.name, "event": "keys-retired"},
                )

    def _check_routes(self, link: LinkConfig, relayed: RelayedKeys) -> None:
        """Insist on the paths configured here: fewer would tell one node the key."""
        assert link.route is not None  # noqa: S101  # as the constructor chose
        between = {tuple(reversed(route[1:-1])) for route in relayed.routes}
        chosen = set(link.route.via)
        if len(relayed.routes) < link.route.paths or (chosen and between != chosen):
            ways = ", ".join(" > ".join(route) for route in relayed.routes)
            raise KeyStoreError(
                f"keys for link {link.name} came over other paths than configured: "
                f"{ways}",
                "configure via and paths alike at both ends",
            )
