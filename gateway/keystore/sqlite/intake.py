"""Intake of keys into a `SQLiteKeyStore`."""

import itertools
from collections.abc import Iterable
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.base import ImportReport, NewKey, Refusal
from gateway.keystore.sqlite.opened import OpenStore
from gateway.keystore.sqlite.schema import NEVER
from gateway.keystore.sqlite.unused import BATCH

MAX_LINK_NAME = 64
"""Characters of a link's name."""


class Intake:
    """A `gateway.keystore.base.KeyIntake`."""

    def __init__(self, opened: OpenStore) -> None:
        self._opened = opened

    def add(
        self,
        link: str,
        keys: Iterable[NewKey],
        *,
        lifetime: float | None = None,
        confirmed: bool = True,
    ) -> ImportReport:
        """Take keys in, `BATCH` at a time; see `KeyIntake.add`.

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
            with self._opened.turn() as now:
                self._opened.place.check()
                self._opened.place.prove_room(len(batch))
                self._opened.unused.sweep(now)
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
        with self._opened.rows.transaction():
            link = self._opened.links.get(name) or self._opened.records.add_link(
                name, now
            )
            for key in batch:
                reason = self._opened.rows.insert(
                    link, key, expires, self._opened.sealer, confirmed=confirmed
                )
                if reason:
                    refused.append(Refusal(str(key.key_id), reason))
                else:
                    taken.append(key)
            if taken:
                self._opened.rows.count_added(
                    link, len(taken), taken[-1].key_id, confirmed=confirmed
                )
        self._opened.links[name] = link
        link.meter.count(now, taken_in=len(taken))
        if taken and expires != NEVER:
            self._opened.unused.expect_expiry(expires)
        return refused

    def check_room(self, count: int) -> None:
        """See that keys may come in; see `KeyIntake.check_room`."""
        with self._opened.turn():
            self._opened.place.check()
            self._opened.place.prove_room(count)

    def newest(self, link: str) -> UUID | None:
        """key_ID last taken in; see `KeyIntake.newest`."""
        with self._opened.turn():
            known = self._opened.links.get(link)
            return self._opened.records.newest(known) if known else None
