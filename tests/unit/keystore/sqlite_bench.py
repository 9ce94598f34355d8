"""A `SQLiteKeyStore` with a clock the test moves."""

from pathlib import Path

from gateway.keystore.clock import StoreClock
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret

MASTER_KEY = Secret(bytes(range(32)))


class SQLiteBench:
    """See `tests.keystore_contract.Bench`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.path = directory / "keys.db"
        self.seconds = 1000.0
        self.boot_id = "first boot"
        self.store = self._open()

    def _open(self) -> SQLiteKeyStore:
        clock = StoreClock(lambda: self.seconds, self.boot_id)
        return SQLiteKeyStore(self.path, MASTER_KEY, clock=clock)

    def restart(self) -> None:
        self.store.close()
        self.store = self._open()

    def crash(self) -> None:
        """Go on from what a killed process would leave: files as they are now."""
        copy = self.path.with_name("crashed.db")
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            target = copy.with_name(copy.name + suffix)
            target.write_bytes(source.read_bytes())
            target.chmod(0o600)
        self.store.close()
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).replace(
                self.path.with_name(self.path.name + suffix)
            )
        self.store = self._open()

    def reboot(self) -> None:
        """A crash after which the machine's clock starts anew."""
        self.boot_id += " again"
        self.seconds = 5.0
        self.crash()

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def close(self) -> None:
        self.store.close()
