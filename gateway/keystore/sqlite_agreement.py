"""Agreement of a `SQLiteKeyStore` with the peer's: both ends' holdings."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from gateway.keystore.base import KeyStanding
from gateway.keystore.check import check_of
from gateway.keystore.sqlite_intake import Intake
from gateway.keystore.sqlite_records import Link
from gateway.keystore.sqlite_rows import KeyRow
from gateway.keystore.sqlite_schema import CONSUMED
from gateway.keystore.sqlite_stock import BATCH


class Agreement(Intake):
    """The part of a store that is compared with the peer's."""

    def confirm(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer holds keys; see `KeyStore.confirm`."""
        return self._for_unused(link, key_ids, self._mark_confirmed)

    def doubt(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer lacks keys; see `KeyStore.doubt`.

        Who has one reserved keeps it, and may still agree on it with the peer.
        """
        return self._for_unused(link, key_ids, self._mark_doubted)

    def retire(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Erase keys the peer has used; unknown ones are not remembered.

        Remembering them would let a peer fill the disk with invented key_IDs.
        """
        return self._for_unused(link, key_ids, self._use_up)

    def give_up(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Erase keys the peer no longer holds; see `KeyStore.give_up`."""
        return self._for_unused(link, key_ids, self._use_up_settled)

    def _mark_confirmed(self, _link: Link, rows: Sequence[KeyRow]) -> int:
        return self._stock.mark(rows, confirmed=True)

    def _mark_doubted(self, _link: Link, rows: Sequence[KeyRow]) -> int:
        return self._stock.mark(rows, confirmed=False)

    def _use_up(self, link: Link, rows: Sequence[KeyRow]) -> int:
        self._stock.erase(rows, CONSUMED)
        link.meter.count(self._clock.now_ms(), consumed=len(rows))
        return len(rows)

    def _use_up_settled(self, link: Link, rows: Sequence[KeyRow]) -> int:
        return self._use_up(link, [row for row in rows if self._stock.is_settled(row)])

    def checks(self, link: str, key_ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """Return the check values of unused keys; see `KeyStore.checks`."""
        found: dict[UUID, bytes] = {}

        def note(known: Link, rows: Sequence[KeyRow]) -> int:
            for row in rows:
                key = self._stock.open_or_retire(known, row)
                if key is not None:
                    found[row.key_id] = check_of(row.key_id, key)
            return len(rows)

        self._for_unused(link, key_ids, note)
        return found

    def _for_unused(
        self,
        link: str,
        key_ids: Sequence[UUID],
        act: Callable[[Link, Sequence[KeyRow]], int],
    ) -> int:
        """Do something to those keys that are unused, each once, `BATCH` in a turn."""
        done = 0
        for start in range(0, len(key_ids), BATCH):
            with self._turn() as now:
                known = self._links.get(link)
                if known is None:
                    return 0
                ids = dict.fromkeys(key_ids[start : start + BATCH])
                found = (self._rows.find(known, key_id) for key_id in ids)
                rows = [
                    row for row in found if row and not self._stock.is_gone(row, now)
                ]
                done += act(known, rows)
        return done

    def unconfirmed(self, link: str, count: int) -> Sequence[UUID]:
        """Name unused keys that are not confirmed; see `KeyStore.unconfirmed`."""
        with self._turn() as now:
            self._stock.try_sweep(now)
            known = self._links.get(link)
            return self._rows.unconfirmed_ids(known, count) if known else []

    def held(self, link: str, *, after: UUID | None, count: int) -> Sequence[UUID]:
        """Name unused keys in order of key_ID; see `KeyStore.held`."""
        with self._turn() as now:
            self._stock.try_sweep(now)
            known = self._links.get(link)
            start = after.bytes if after is not None else b""
            return self._rows.unused_ids(known, start, count) if known else []

    def standing(self, link: str, key_ids: Sequence[UUID]) -> Sequence[KeyStanding]:
        """Say what is known of keys; see `KeyStore.standing`."""
        with self._turn() as now:
            known = self._links.get(link)
            if known is None:
                return [KeyStanding.UNKNOWN] * len(key_ids)
            rows = (self._rows.find(known, key_id) for key_id in key_ids)
            return [self._standing(row, now) for row in rows]

    def _standing(self, row: KeyRow | None, now: int) -> KeyStanding:
        if row is None:
            return KeyStanding.UNKNOWN
        return KeyStanding.USED if self._stock.is_gone(row, now) else KeyStanding.HELD
