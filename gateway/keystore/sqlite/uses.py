"""Uses of the keys of a `SQLiteKeyStore`: each is given out once."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from gateway.errors import KeyUnavailableError
from gateway.keystore.base import Choice
from gateway.keystore.sqlite.opened import OpenStore
from gateway.keystore.sqlite.records import Link
from gateway.keystore.sqlite.rows import KeyRow
from gateway.keystore.sqlite.schema import CONSUMED
from gateway.secret import Secret


class Uses:
    """A `gateway.keystore.base.KeyUses`."""

    def __init__(self, opened: OpenStore) -> None:
        self._opened = opened

    def reserve(self, link: str, count: int, *, holder: str) -> Sequence[UUID]:
        """Reserve the oldest keys; see `KeyUses.reserve`."""
        with self._opened.turn() as now:
            self._opened.place.check()
            known = self._opened.links.get(link)
            if known is None:
                return []
            for confirmed in (True, False):
                reserved = self._opened.unused.reserve(
                    known, now, count, holder, confirmed=confirmed
                )
                if reserved:
                    return reserved
            return []

    def reserve_first(
        self, link: str, offered: Sequence[UUID], *, holder: str
    ) -> Choice:
        """Reserve the first usable key of those offered; see `KeyUses.reserve_first`.

        A key that `holder` has already counts as available to it, so that a repeated
        request gets the same answer. A damaged key is passed over and retired.
        """
        used: set[UUID] = set()
        chosen: tuple[UUID | None, Secret | None] = (None, None)
        with self._opened.turn() as now:
            self._opened.place.check()
            known = self._opened.links.get(link)
            if known is None:
                return Choice(None, None, frozenset())
            for key_id in offered:
                row = self._opened.rows.find(known, key_id)
                if row is None:
                    continue
                if self._opened.unused.is_gone(row, now):
                    used.add(key_id)
                    continue
                self._opened.unused.note_offered(row)
                if chosen[0] is None and self._opened.unused.is_free(row, now, holder):
                    key = self._opened.unused.open_or_retire(known, row)
                    if key is None:
                        used.add(key_id)
                    else:
                        chosen = (self._opened.unused.hold(row, holder), key)
            return Choice(*chosen, frozenset(used))

    def consume(self, link: str, key_id: UUID, *, holder: str) -> Secret:
        """Use a key up; see `KeyUses.consume`."""
        (key,) = self.consume_many(link, [key_id], holder=holder)
        return key

    def consume_many(
        self, link: str, key_ids: Sequence[UUID], *, holder: str
    ) -> list[Secret]:
        """Use keys up in one transaction; see `KeyUses.consume_many`."""
        with self._opened.turn() as now:
            self._opened.place.check()
            known = self._opened.links.get(link)
            seen: set[UUID] = set()
            rows = []
            for key_id in key_ids:
                held = (
                    self._opened.unused.held(known, key_id, holder) if known else None
                )
                if held is None or key_id in seen:
                    raise KeyUnavailableError(
                        f"key {key_id} of link {link} is not reserved for {holder}",
                        "it was used, released, or never there; the next handshake"
                        " takes another",
                    )
                seen.add(key_id)
                rows.append(self._opened.rows.read(held.seq))
            if known is None:
                return []
            return self._use_up_all(known, rows, now)

    def _use_up_all(self, link: Link, rows: Sequence[KeyRow], now: int) -> list[Secret]:
        keys: list[Secret] = []
        for row in rows:
            key = self._opened.unused.open_or_retire(link, row)
            if key is None:
                _wipe(keys)
                raise KeyUnavailableError(
                    f"key {row.key_id} of link {link.name} is damaged in the store",
                    "it is retired; check the disk",
                )
            keys.append(key)
        try:
            self._opened.unused.erase(rows, CONSUMED)
            # Before they leave: was it written to the file that the next start reads?
            self._opened.place.check()
        except BaseException:
            _wipe(keys)
            raise
        link.meter.count(now, consumed=len(rows))
        return keys

    def release(self, holder: str) -> None:
        """Give back what `holder` reserved."""
        with self._opened.turn():
            self._opened.unused.release(holder)

    def release_all(self) -> int:
        """Give back every reservation; after a start there are none."""
        with self._opened.turn():
            return sum(
                self._opened.unused.release(who)
                for who in self._opened.unused.holders()
            )


def _wipe(keys: Iterable[Secret]) -> None:
    for key in keys:
        key.wipe()
