"""Stocks of a `SQLiteKeyStore` as operators see them."""

from collections.abc import Sequence

from gateway.keystore.base import StockStatus
from gateway.keystore.sqlite.opened import OpenStore
from gateway.keystore.sqlite.schema import EXPIRED
from gateway.keystore.sqlite.unused import BATCH


class Stocks:
    """A `gateway.keystore.base.KeyStocks`."""

    def __init__(self, opened: OpenStore) -> None:
        self._opened = opened

    def links(self) -> Sequence[str]:
        """Names of known links, sorted."""
        with self._opened.turn():
            return sorted(self._opened.links)

    def status(self, link: str) -> StockStatus:
        """Counts and rates of a link, in constant time."""
        with self._opened.turn() as now:
            known = self._opened.links.get(link)
            if known is None:
                return StockStatus(link, 0, 0, 0, 0, 0.0, 0.0, None)
            self._opened.unused.try_sweep(now)
            count = self._opened.records.counters(known)
            reserved = self._opened.unused.reserved(known)
            rate_in, rate_out = known.meter.rates(now)
            falling = rate_out - rate_in
            return StockStatus(
                link=link,
                available=count.unused - reserved,
                reserved=reserved,
                consumed=count.consumed,
                expired=count.expired,
                rate_in=rate_in,
                rate_out=rate_out,
                seconds_to_empty=count.unused / falling if falling > 0 else None,
                unconfirmed=count.unconfirmed
                - self._opened.unused.reserved_unconfirmed(known),
            )

    def purge(self, link: str, *, all_keys: bool = False) -> int:
        """Erase expired or all unused keys, reserved ones too."""
        with self._opened.turn() as now:
            known = self._opened.links.get(link)
            if known is None:
                return 0
            purged = self._opened.unused.sweep(now).get(known.id, 0)
            while all_keys and (rows := self._opened.rows.unused(known, BATCH)):
                self._opened.unused.erase(rows, EXPIRED)
                purged += len(rows)
            return purged
