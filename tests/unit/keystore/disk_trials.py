"""What the store does on real bad disks; run by test_sqlite_disk in processes of their
own, since mounts and limits hold for a whole process.

Usage: python -m tests.unit.keystore.disk_trials TRIAL DIRECTORY
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from gateway.errors import KeyStoreError, KeyUnavailableError
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.keystore.sqlite.unused import BATCH
from gateway.secret import Secret
from tests.keystore_contract import LINK, make_key, make_keys

QUOTA = 16 << 20
"""Bytes that the trial ``quota`` may use, of a disk with more."""

MASTER_KEY = Secret(bytes(range(32)))


def expect_refusal(action: str, store: SQLiteKeyStore, key_id: UUID) -> KeyStoreError:
    actions: dict[str, Callable[[], object]] = {
        "consume": lambda: store.uses.consume(LINK, key_id, holder="a"),
        "consume_many": lambda: store.uses.consume_many(LINK, [key_id], holder="a"),
        "retire": lambda: store.ledger.retire(LINK, [key_id]),
    }
    with pytest.raises(KeyStoreError) as caught:
        actions[action]()
    assert not isinstance(caught.value, KeyUnavailableError), "the reservation was lost"
    return caught.value


def check_refuses_then_recovers(
    store: SQLiteKeyStore, code: str, mend: Callable[[], None]
) -> None:
    """While nothing can be written: no key leaves, none is lost; then all is well."""
    keys = {number: make_key(number) for number in range(10)}
    for number in (0, 1, 2):
        for action in ("consume", "consume_many", "retire"):
            error = expect_refusal(action, store, keys[number].key_id)
            assert code in error.message, error.message
            assert error.retryable
            assert error.hint
    status = store.stocks.status(LINK)
    assert (status.available, status.reserved, status.consumed) == (7, 3, 0), status
    assert len(store.uses.reserve(LINK, 2, holder="b")) == 2
    store.uses.release("b")
    choice = store.uses.reserve_first(LINK, [keys[5].key_id], holder="c")
    assert choice.key == keys[5].key
    mend()
    for number in (0, 1, 2):
        taken = store.uses.consume(LINK, keys[number].key_id, holder="a")
        assert taken == keys[number].key
    store.uses.consume(LINK, keys[5].key_id, holder="c")
    assert store.stocks.status(LINK).consumed == 4


def fill(path: Path) -> None:
    """Leave not one block of the file system free."""
    size = 65536
    with path.open("wb", buffering=0) as ballast:
        while size:
            try:
                ballast.write(bytes(size))
            except OSError:
                size //= 2


def full(directory: Path) -> None:
    path = directory / "store" / "keys.db"
    store = SQLiteKeyStore(path, MASTER_KEY)
    store.intake.add(LINK, make_keys(0, 10))
    store.uses.reserve(LINK, 3, holder="a")
    store.maintain()
    ballast = directory / "ballast"
    fill(ballast)
    check_refuses_then_recovers(store, "SQLITE_FULL", ballast.unlink)
    with pytest.raises(KeyStoreError, match="are kept for recording uses"):
        store.intake.add(LINK, make_keys(10, 100_000))
    left = store.stocks.status(LINK).available
    # Whole transactions went in, or nothing of one.
    assert left % BATCH == 6, left
    store.close()
    store = SQLiteKeyStore(path, MASTER_KEY)
    assert store.stocks.status(LINK).available == left
    store.close()


def reserve(directory: Path) -> None:
    """Keys come in until the disk has no more room for them; then each can be used."""
    store = filled(directory, f"free some space: df {directory / 'store'}")
    use_up(store)


def quota(directory: Path) -> None:
    """Likewise where a quota ends before the disk does; past it no use is recorded."""
    free = os.statvfs(directory)
    hint = (
        f"raise the quota of qgwd's user, or free some space: df {directory / 'store'}"
    )
    store = filled(directory, hint)
    assert free.f_bavail * free.f_frsize > QUOTA
    store.uses.reserve(LINK, 3, holder="a")
    store.maintain()
    ballast = directory / "ballast"
    fill(ballast)
    error = expect_refusal("consume", store, make_key(0).key_id)
    assert "SQLITE_IOERR" in error.message
    assert "quota" in error.hint
    assert error.retryable
    ballast.unlink()
    store.uses.release("a")
    use_up(store)


def filled(directory: Path, hint: str) -> SQLiteKeyStore:
    """Return a store that takes no more keys, and says why."""
    store = SQLiteKeyStore(directory / "store" / "keys.db", MASTER_KEY)
    with pytest.raises(KeyStoreError, match="are kept for recording uses") as caught:
        store.intake.add(LINK, make_keys(0, 1_000_000))
    assert caught.value.retryable
    assert caught.value.hint == hint
    fault = store.fault()
    assert fault is None or "are kept" in fault.message
    with pytest.raises(KeyStoreError, match="are kept for recording uses"):
        store.intake.check_room(BATCH)
    return store


def use_up(store: SQLiteKeyStore) -> None:
    """Record the use of each key."""
    many = store.stocks.status(LINK).available
    assert many > 10 * BATCH
    for _ in range(2 * BATCH):
        (key_id,) = store.uses.reserve(LINK, 1, holder="a")
        store.uses.consume(LINK, key_id, holder="a")
    while key_ids := store.uses.reserve(LINK, BATCH, holder="a"):
        store.uses.consume_many(LINK, key_ids, holder="a")
    assert store.stocks.status(LINK).consumed == many
    store.maintain()
    store.close()


def open_on_full(directory: Path) -> None:
    path = directory / "store" / "keys.db"
    SQLiteKeyStore(path, MASTER_KEY).close()
    fill(directory / "ballast")
    with pytest.raises(KeyStoreError, match="SQLITE_FULL") as caught:
        SQLiteKeyStore(path, MASTER_KEY)
    assert caught.value.retryable
    (directory / "ballast").unlink()
    SQLiteKeyStore(path, MASTER_KEY).close()


def too_large(directory: Path) -> None:
    store = SQLiteKeyStore(directory / "store" / "keys.db", MASTER_KEY)
    store.intake.add(LINK, make_keys(0, 10))
    store.uses.reserve(LINK, 3, holder="a")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    check_refuses_then_recovers(
        store,
        "SQLITE_IOERR",
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
    )
    store.close()


def read_only(directory: Path) -> None:
    path = directory / "store" / "keys.db"
    store = SQLiteKeyStore(path, MASTER_KEY)
    store.intake.add(LINK, make_keys(0, 10))
    store.close()
    remount = ["mount", "-o", "remount,ro", str(directory)]
    subprocess.run(remount, check=True, timeout=10)  # noqa: S603 -- fixed words
    for made in (path, directory / "new" / "keys.db"):
        with pytest.raises(KeyStoreError, match="Read-only file system") as caught:
            SQLiteKeyStore(made, MASTER_KEY)
        assert caught.value.hint


if __name__ == "__main__":
    trials = {"full": full, "open_on_full": open_on_full, "read_only": read_only,
              "too_large": too_large, "reserve": reserve, "quota": quota}  # fmt: skip
    trials[sys.argv[1]](Path(sys.argv[2]))
