"""Ledger of a `SQLiteKeyStore`: which keys the peer holds too."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from gateway.keystore.base import KeyStanding
from gateway.keystore.check import check_of
from gateway.keystore.sqlite.opened import OpenStore
from gateway.keystore.sqlite.records import Link
from gateway.keystore.sqlite.rows import KeyRow
from gateway.keystore.sqlite.schema import CONSUMED
from gateway.keystore.sqlite.unused import BATCH


class Ledger:
    """A `gateway.keystore.base.KeyLedger`."""

    def __init__(self, opened: OpenStore) -> None:
        self._opened = opened

    def confirm(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer holds keys; see `KeyLedger.confirm`."""
        return self._for_unused(link, key_ids, self._mark_confirmed)

    def doubt(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Note that the peer lacks keys; see `KeyLedger.doubt`.

        Who has one reserved keeps it, and may still agree on it with the peer.
        """
        return self._for_unused(link, key_ids, self._mark_doubted)

    def retire(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Erase keys the peer has used; unknown ones are not remembered.

        Remembering them would let a peer fill the disk with invented key_IDs.
        """
        return self._for_unused(link, key_ids, self._use_up)

    def give_up(self, link: str, key_ids: Sequence[UUID]) -> int:
        """Erase keys the peer no longer holds; see `KeyLedger.give_up`."""
        return self._for_unused(link, key_ids, self._use_up_settled)

    def _mark_confirmed(self, _link: Link, rows: Sequence[KeyRow]) -> int:
        return self._opened.unused.mark(rows, confirmed=True)

    def _mark_doubted(self, _link: Link, rows: Sequence[KeyRow]) -> int:
        return self._opened.unused.mark(rows, confirmed=False)

    def _use_up(self, link: Link, rows: Sequence[KeyRow]) -> int:
        self._opened.unused.erase(rows, CONSUMED)
        link.meter.count(self._opened.clock.now_ms(), consumed=len(rows))
        return len(rows)

    def _use_up_settled(self, link: Link, rows: Sequence[KeyRow]) -> int:
        return self._use_up(
            link, [row for row in rows if self._opened.unused.is_settled(row)]
        )

    def checks(self, link: str, key_ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """Return the check values of unused keys; see `KeyLedger.checks`."""
        found: dict[UUID, bytes] = {}

        def note(known: Link, rows: Sequence[KeyRow]) -> int:
            for row in rows:
                key = self._opened.unused.open_or_retire(known, row)
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
            with self._opened.turn() as now:
                known = self._opened.links.get(link)
                if known is None:
                    return 0
                ids = dict.fromkeys(key_ids[start : start + BATCH])
                found = (self._opened.rows.find(known, key_id) for key_id in ids)
                rows = [
                    row
                    for row in found
                    if row and not self._opened.unused.is_gone(row, now)
                ]
                done += act(known, rows)
        return done

    def unconfirmed(self, link: str, count: int) -> Sequence[UUID]:
        """Name unused keys that are not confirmed; see `KeyLedger.unconfirmed`."""
        with self._opened.turn() as now:
            self._opened.unused.try_sweep(now)
            known = self._opened.links.get(link)
            return self._opened.rows.unconfirmed_ids(known, count) if known else []

    def held(self, link: str, *, after: UUID | None, count: int) -> Sequence[UUID]:
        """Name unused keys in order of key_ID; see `KeyLedger.held`."""
        with self._opened.turn() as now:
            self._opened.unused.try_sweep(now)
            known = self._opened.links.get(link)
            start = after.bytes if after is not None else b""
            return self._opened.rows.unused_ids(known, start, count) if known else []

    def standing(self, link: str, key_ids: Sequence[UUID]) -> Sequence[KeyStanding]:
        """Say what is known of keys; see `KeyLedger.standing`."""
        with self._opened.turn() as now:
            known = self._opened.links.get(link)
            if known is None:
                return [KeyStanding.UNKNOWN] * len(key_ids)
            rows = (self._opened.rows.find(known, key_id) for key_id in key_ids)
            return [self._standing(row, now) for row in rows]

    def _standing(self, row: KeyRow | None, now: int) -> KeyStanding:
        if row is None:
            return KeyStanding.UNKNOWN
        return (
            KeyStanding.USED
            if self._opened.unused.is_gone(row, now)
            else KeyStanding.HELD
        )
