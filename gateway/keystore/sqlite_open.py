"""An open store file: its beginning, its end, and whose turn it is."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.clock import StoreClock, wall_seconds
from gateway.keystore.past import signs
from gateway.keystore.sqlite_errors import translated
from gateway.keystore.sqlite_file import StoreFile
from gateway.keystore.sqlite_place import StorePlace
from gateway.keystore.sqlite_records import Records
from gateway.keystore.sqlite_rows import Rows
from gateway.keystore.sqlite_schema import migrate
from gateway.keystore.sqlite_stock import Stock
from gateway.secret import Secret


class OpenStore:
    """What every part of `gateway.keystore.sqlite.SQLiteKeyStore` works on.

    Attributes:
        signs: What speaks for this being an old copy of the store.
    """

    def __init__(
        self, path: Path, master_key: Secret, *, clock: StoreClock | None = None
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock or StoreClock()
        self._file = StoreFile(path)
        self._place = StorePlace(path)
        self._open = True
        try:
            connection = self._file.connection
            with translated():
                self._records = Records(connection, migrate(connection))
            self._rows = Rows(connection)
            self._start(master_key)
            self._file.sync_directory()
            # Now: the log is made by the first transaction.
            self._place.note()
        except BaseException:
            self._file.close()
            raise

    def _start(self, master_key: Secret) -> None:
        with self._rows.transaction():
            self._sealer = self._records.unlock(master_key)
            mark = self._records.load_clock()
            if mark is not None:
                self._clock.resume(mark)
            self._records.save_clock(self._clock.mark())
            saved, found = self._records.load_trace(), self._file.trace
            self.signs = () if saved is None else signs(saved, found)
            self._records.save_trace(found)
            self._links = {link.name: link for link in self._records.load_links()}
            self._stock = Stock(self._rows, self._sealer)

    def maintain(self) -> None:
        """Expire, save clock and rates, empty the log; see `KeyStore.maintain`."""
        with self._turn() as now:
            self._stock.sweep(now)
            self._stock.confirm_offered()
            self._save()

    def fault(self) -> KeyStoreError | None:
        """Return what keeps the store from being used; see `KeyStore.fault`."""
        try:
            # No turn: the event loop asks, and a turn may last as long as a batch.
            self._place.check()
            self._place.check_room(1)
        except KeyStoreError as error:
            return error
        return None

    def check_room(self, count: int) -> None:
        """See that keys may come in; see `KeyStore.check_room`."""
        with self._turn():
            self._place.check()
            self._place.check_room(count)

    def close(self) -> None:
        """Save clock and rates, empty the log, let go; harmless a second time."""
        with self._lock:
            if not self._open:
                return
            # What cannot be saved now (a full disk) costs some seconds of age.
            with contextlib.suppress(KeyStoreError):
                self._stock.confirm_offered()
                self._save()
            self._open = False
            self._file.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int]:
        """Wait for our turn; give the store's time."""
        with self._lock, translated():
            if not self._open:
                raise KeyStoreError("the key store is closed", "qgwd is stopping")
            yield self._clock.now_ms()

    def _save(self) -> None:
        with self._rows.transaction():
            self._records.save_clock(self._clock.mark())
            trace = replace(self._file.trace, written_at=wall_seconds())
            self._records.save_trace(trace)
            for link in self._links.values():
                self._records.save_rates(link)
        with translated():
            self._records.checkpoint()
