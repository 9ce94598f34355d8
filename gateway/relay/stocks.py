"""Stocks that relaying needs: pads of each hop, and relayed keys at their destination.

Each hop has two stocks of pads, one for each direction, filled from the same KME as the
link's own keys.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from gateway.config.model import GatewayConfig, LinkConfig
from gateway.errors import KeyStoreError
from gateway.events.bus import publish
from gateway.events.relay import RelayedKeysUnclaimed
from gateway.keystore.base import KeyStore
from gateway.relay.events import RelayedKeys
from gateway.relay.pads import stock_name

PADS_LOW: Final = 10
"""Of the pads aimed for one in so many left is low: fetching begins at the latest."""

PADS_OVERFLOW: Final = 2
"""Times the target that a stock of pads may hold: the peer may be quicker to announce
than this end is to use."""

UNCLAIMED: Final = 86_400.0
"""Seconds that delivered keys wait for their origin to announce them, which it does
when it can speak to us. It never will if it did not hear that they arrived."""

ON_THE_WAY: Final = 60.0
"""Seconds in which the origin hears that keys arrived, or gave them up: more than
seven hops have."""

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

    Attributes:
        clock: Monotonic seconds, in any thread.
    """

    def __init__(self, links: Mapping[str, LinkConfig], store: KeyStore) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self._store = store
        self._waiting: dict[str, dict[UUID, float]] = {}
        self._arrived: dict[UUID, float] = {}
        self._unlisted: dict[str, set[UUID]] = {}
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
        status = self._store.stocks.status(link.name)
        count = len(relayed.keys)
        if status.available + status.reserved + count > link.capacity:
            raise KeyStoreError(f"the stock of link {link.name} is full")
        report = self._store.intake.add(
            link.name, relayed.keys, lifetime=link.key_lifetime, confirmed=False
        )
        if report.refused:
            self._store.ledger.retire(link.name, [key.key_id for key in relayed.keys])
            reasons = ", ".join(sorted({one.reason for one in report.refused}))
            raise KeyStoreError(f"relayed keys were refused: {reasons}")
        self._note_arrival([key.key_id for key in relayed.keys])

    def disown(self, link: str, key_ids: Sequence[UUID]) -> None:
        """Retire keys that their origin does not list among those it holds.

        Its answer was lost, so it gave them up. Those that have just come stay for a
        while: their answer may be on its way.

        Args:
            link: The link.
            key_ids: Unused keys of it.

        Raises:
            KeyStoreError: The store failed.
        """
        # Those that are confirmed are the keeper's business.
        waiting = set(self._store.ledger.unconfirmed(link, MAX_WAITING))
        key_ids = [one for one in key_ids if one in waiting]
        latest = self.clock() - ON_THE_WAY
        young = {one for one in key_ids if self._arrived.get(one, latest) > latest}
        self._unlisted[link] = young
        self._retire(link, [one for one in key_ids if one not in young])

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
            key_ids = self._store.ledger.unconfirmed(link.name, MAX_WAITING)
            waiting = {key_id: before.get(key_id, now) for key_id in key_ids}
            unlisted = self._unlisted.get(link.name, set()) & waiting.keys()
            late = [
                key_id
                for key_id, since in waiting.items()
                if now - since >= (ON_THE_WAY if key_id in unlisted else UNCLAIMED)
            ]
            self._waiting[link.name] = waiting
            self._unlisted[link.name] = unlisted
            self._retire(link.name, late)

    def _note_arrival(self, key_ids: Iterable[UUID]) -> None:
        now = self.clock()
        self._arrived.update(dict.fromkeys(key_ids, now))
        old = itertools.takewhile(
            lambda one: now - one[1] >= ON_THE_WAY, self._arrived.items()
        )
        for key_id, _ in list(old):
            del self._arrived[key_id]

    def _retire(self, link: str, key_ids: Sequence[UUID]) -> None:
        count = self._store.ledger.retire(link, key_ids) if key_ids else 0
        if count:
            publish(RelayedKeysUnclaimed(link, count))

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
