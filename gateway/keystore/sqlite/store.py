"""`SQLiteKeyStore`: the embedded store.

Invariants, beside those of `gateway.keystore.base`:

* One process has the file: it holds a lock for as long as the store is open.
* The bytes of a key leave the store only after the transaction that erased them has
  been synced to disk. A crash between the two loses the key; nothing can repeat it.
* Reservations are in memory, so a crash releases them.
* No key leaves once the database or its log has lost its name, or another file has it.
* What SQLite refuses (full disk, read-only, damaged) changes nothing in memory.

An erased key is overwritten with zeros in the database at the next checkpoint, and
the log that still holds its ciphertext is truncated by `maintain`. What the file
system or an SSD keeps of a freed block is out of reach: it is ciphertext, and the
master key is not on that disk if the operator follows docs/keystore.md.
"""

from pathlib import Path

from gateway.errors import KeyStoreError
from gateway.keystore.clock import StoreClock
from gateway.keystore.sqlite.intake import Intake
from gateway.keystore.sqlite.ledger import Ledger
from gateway.keystore.sqlite.opened import OpenStore
from gateway.keystore.sqlite.stocks import Stocks
from gateway.keystore.sqlite.uses import Uses
from gateway.secret import Secret


class SQLiteKeyStore:
    """A `gateway.keystore.base.KeyStore` in one file.

    Methods may be called from any thread; they take turns.

    Args:
        path: The database; made, mode 0600, in a directory of mode 0700, if missing.
        master_key: 32 bytes; the store keeps only keys derived from it.
        clock: What ages keys; the machine's by default.

    Attributes:
        intake: Takes keys in.
        ledger: Compares them with the peer's.
        uses: Gives them out, each once.
        stocks: Says how many there are, and erases them.
        signs: What speaks for this being an old copy of the store.

    Raises:
        KeyStoreError: The file is unsafe, in use, damaged, another's, or of
            another master key.
    """

    def __init__(
        self, path: Path, master_key: Secret, *, clock: StoreClock | None = None
    ) -> None:
        self._opened = OpenStore(path, master_key, clock=clock)
        self.intake = Intake(self._opened)
        self.ledger = Ledger(self._opened)
        self.uses = Uses(self._opened)
        self.stocks = Stocks(self._opened)
        self.signs = self._opened.signs

    def maintain(self) -> None:
        """Do what is due with time; see `KeyStore.maintain`."""
        self._opened.maintain()

    def fault(self) -> KeyStoreError | None:
        """Return what keeps the store from being used; see `KeyStore.fault`."""
        return self._opened.fault()

    def close(self) -> None:
        """Save clock and rates, empty the log, let go; harmless a second time."""
        self._opened.close()
