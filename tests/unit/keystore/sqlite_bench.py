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
        self.restore(self.copy())

    def copy(self) -> dict[str, bytes]:
        """Return the files as they are now, by what their names end with."""
        return {
            suffix: self.path.with_name(self.path.name + suffix).read_bytes()
            for suffix in ("", "-wal")
        }

    def restore(self, copy: dict[str, bytes]) -> None:
        """Go on from a copy of the files."""
        self.store.close()
        for suffix, content in copy.items():
            target = self.path.with_name(self.path.name + suffix)
            target.write_bytes(content)
            target.chmod(0o600)
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
