"""Intake of keys into a `SQLiteKeyStore`."""

import itertools
from collections.abc import Iterable
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.base import ImportReport, NewKey, Refusal
from gateway.keystore.sqlite_open import OpenStore
from gateway.keystore.sqlite_schema import NEVER
from gateway.keystore.sqlite_stock import BATCH

MAX_LINK_NAME = 64
"""Characters of a link's name."""


class Intake(OpenStore):
    """The part of a store that takes keys in."""

    def add(
        self,
        link: str,
        keys: Iterable[NewKey],
        *,
        lifetime: float | None = None,
        confirmed: bool = True,
    ) -> ImportReport:
        """Take keys in, `BATCH` at a time; see `KeyStore.add`.

        If a later batch fails, the earlier ones stay; adding the same keys again
        then refuses those as duplicates and takes the rest.
        """
        if not 0 < len(link) <= MAX_LINK_NAME:
            raise KeyStoreError(f"a link's name has 1 to {MAX_LINK_NAME} characters")
        if lifetime is not None and lifetime <= 0:
            raise KeyStoreError("a key's lifetime must be more than 0 seconds")
        added = 0
        refused: list[Refusal] = []
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, BATCH)):
            with self._turn() as now:
                self._place.check()
                self._place.check_room(len(batch))
                self._stock.sweep(now)
                expires = NEVER
                if lifetime is not None:
                    expires = now + max(1, int(lifetime * 1000))
                turned_away = self._add_batch(
                    link, batch, now, expires, confirmed=confirmed
                )
                refused += turned_away
                added += len(batch) - len(turned_away)
        return ImportReport(added, tuple(refused))

    def _add_batch(
        self,
        name: str,
        batch: list[NewKey],
        now: int,
        expires: int,
        *,
        confirmed: bool,
    ) -> list[Refusal]:
        taken: list[NewKey] = []
        refused: list[Refusal] = []
        with self._rows.transaction():
            link = self._links.get(name) or self._records.add_link(name, now)
            for key in batch:
                reason = self._rows.insert(
                    link, key, expires, self._sealer, confirmed=confirmed
                )
                if reason:
                    refused.append(Refusal(str(key.key_id), reason))
                else:
                    taken.append(key)
            if taken:
                self._rows.count_added(
                    link, len(taken), taken[-1].key_id, confirmed=confirmed
                )
        self._links[name] = link
        link.meter.count(now, taken_in=len(taken))
        if taken and expires != NEVER:
            self._stock.expect_expiry(expires)
        return refused

    def newest(self, link: str) -> UUID | None:
        """key_ID last taken in; see `KeyStore.newest`."""
        with self._turn():
            known = self._links.get(link)
            return self._records.newest(known) if known else None
