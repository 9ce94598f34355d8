"""An open store file: its beginning, its end, and whose turn it is."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.clock import StoreClock, wall_seconds
from gateway.keystore.past import signs
from gateway.keystore.sqlite.errors import translated
from gateway.keystore.sqlite.file import StoreFile
from gateway.keystore.sqlite.place import StorePlace
from gateway.keystore.sqlite.records import Records
from gateway.keystore.sqlite.rows import Rows
from gateway.keystore.sqlite.schema import migrate
from gateway.keystore.sqlite.unused import UnusedKeys
from gateway.secret import Secret


class OpenStore:
    """What every part of a `SQLiteKeyStore` works on, whoever has the turn.

    Attributes:
        clock: What ages keys.
        file: The database and its lock.
        place: Where the file lies, and how much room is left there.
        records: Links, counters and the clock on disk.
        rows: Keys on disk.
        links: By name.
        sealer: Encrypts keys at rest.
        unused: Keys that are free, held or due to expire.
        signs: What speaks for this being an old copy of the store.
    """

    def __init__(
        self, path: Path, master_key: Secret, *, clock: StoreClock | None = None
    ) -> None:
        self._lock = threading.RLock()
        self.clock = clock or StoreClock()
        self.file = StoreFile(path)
        self.place = StorePlace(path)
        self._open = True
        try:
            connection = self.file.connection
            with translated():
                self.records = Records(connection, migrate(connection))
            self.rows = Rows(connection)
            self._start(master_key)
            self.file.sync_directory()
            # Now: the log is made by the first transaction.
            self.place.note()
        except BaseException:
            self.file.close()
            raise

    def _start(self, master_key: Secret) -> None:
        with self.rows.transaction():
            self.sealer = self.records.unlock(master_key)
            mark = self.records.load_clock()
            if mark is not None:
                self.clock.resume(mark)
            self.records.save_clock(self.clock.mark())
            saved, found = self.records.load_trace(), self.file.trace
            self.signs = () if saved is None else signs(saved, found)
            self.records.save_trace(found)
            self.links = {link.name: link for link in self.records.load_links()}
            self.unused = UnusedKeys(self.rows, self.sealer)

    def maintain(self) -> None:
        """Expire, save clock and rates, empty the log; see `KeyStore.maintain`."""
        with self.turn() as now:
            self.unused.sweep(now)
            self.unused.confirm_offered()
            self._save()

    def fault(self) -> KeyStoreError | None:
        """Return what keeps the store from being used; see `KeyStore.fault`."""
        try:
            # No turn: the event loop asks, and a turn may last as long as a batch.
            self.place.check()
            self.place.check_room(1)
        except KeyStoreError as error:
            return error
        return None

    def close(self) -> None:
        """Save clock and rates, empty the log, let go; harmless a second time."""
        with self._lock:
            if not self._open:
                return
            # What cannot be saved now (a full disk) costs some seconds of age.
            with contextlib.suppress(KeyStoreError):
                self.unused.confirm_offered()
                self._save()
            self._open = False
            self.file.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[int]:
        """Wait for our turn; give the store's time."""
        with self._lock, translated():
            if not self._open:
                raise KeyStoreError("the key store is closed", "qgwd is stopping")
            yield self.clock.now_ms()

    def _save(self) -> None:
        with self.rows.transaction():
            self.records.save_clock(self.clock.mark())
            trace = replace(self.file.trace, written_at=wall_seconds())
            self.records.save_trace(trace)
            for link in self.links.values():
                self.records.save_rates(link)
        with translated():
            self.records.checkpoint()
