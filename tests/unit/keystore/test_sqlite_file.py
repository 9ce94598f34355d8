"""Who may open the store's file, and what counts as one."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from gateway.errors import KeyStoreError
from gateway.keystore.base import NewKey
from gateway.keystore.sqlite.schema import MIGRATIONS
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret
from gateway.wire.key_ids import key_id_text, parse_key_id
from tests.keystore_contract import LINK, make_key
from tests.unit.keystore.sqlite_bench import MASTER_KEY, SQLiteBench


def open_store(path: Path, master_key: Secret = MASTER_KEY) -> None:
    SQLiteKeyStore(path, master_key).close()


def test_makes_directory_and_files_private(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        path = tmp_path / "new" / "keys.db"
        store = SQLiteKeyStore(path, MASTER_KEY)
        modes = {
            file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("*")
        }
        store.close()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {"keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-lock": 0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_refuses_a_file_others_may_read_or_write(bench: SQLiteBench, mode: int) -> None:
    bench.close()
    bench.path.chmod(mode)
    with pytest.raises(KeyStoreError, match="others may read") as caught:
        open_store(bench.path)
    assert "chmod 0600" in caught.value.hint


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_refuses_a_directory_others_may_enter(bench: SQLiteBench, mode: int) -> None:
    bench.close()
    bench.path.parent.chmod(mode)
    with pytest.raises(KeyStoreError, match="others can enter"):
        open_store(bench.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("directory", [False, True])
def test_refuses_what_belongs_to_another(bench: SQLiteBench, directory: bool) -> None:
    bench.close()
    os.chown(bench.path.parent if directory else bench.path, 12345, -1)
    with pytest.raises(KeyStoreError, match="12345"):
        open_store(bench.path)


def test_refuses_links(bench: SQLiteBench, tmp_path: Path) -> None:
    bench.close()
    symbolic = bench.path.with_name("symbolic.db")
    symbolic.symlink_to(bench.path)
    dangling = bench.path.with_name("dangling.db")
    dangling.symlink_to(tmp_path / "planted")
    hard = bench.path.with_name("hard.db")
    hard.hardlink_to(bench.path)
    for path in (symbolic, dangling, hard):
        with pytest.raises(KeyStoreError, match="link"):
            open_store(path)
    assert not (tmp_path / "planted").exists()


def test_refuses_a_lock_file_that_is_a_link(bench: SQLiteBench, tmp_path: Path) -> None:
    bench.close()
    lock = bench.path.with_name(bench.path.name + "-lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "planted")
    with pytest.raises(KeyStoreError, match="symbolic"):
        open_store(bench.path)


def test_refuses_a_second_opener(bench: SQLiteBench) -> None:
    with pytest.raises(KeyStoreError, match="another process") as caught:
        open_store(bench.path)
    assert caught.value.retryable
    assert "qgwd" in caught.value.hint


def test_keeps_an_sqlite_shell_out(bench: SQLiteBench) -> None:
    with (
        closing(sqlite3.connect(bench.path, timeout=0)) as stranger,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        stranger.execute("UPDATE key SET state = 0")


def test_says_so_when_an_sqlite_shell_has_it(bench: SQLiteBench) -> None:
    bench.close()
    with closing(sqlite3.connect(bench.path)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(KeyStoreError, match="another process") as caught:
            open_store(bench.path)
    assert caught.value.retryable


def test_refuses_another_master_key(bench: SQLiteBench) -> None:
    bench.close()
    with pytest.raises(KeyStoreError, match="master key is not the one"):
        open_store(bench.path, Secret(bytes(32)))
    open_store(bench.path)


def test_refuses_a_master_key_of_the_wrong_size(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="31 bytes"):
        open_store(tmp_path / "s" / "keys.db", Secret(bytes(31)))


def test_refuses_what_is_no_database(bench: SQLiteBench) -> None:
    bench.close()
    bench.path.write_bytes(b"not a database at all" * 300)
    with pytest.raises(KeyStoreError, match="not a key store"):
        open_store(bench.path)


def test_refuses_another_applications_database(bench: SQLiteBench) -> None:
    bench.close()
    other = bench.path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    other.chmod(0o600)
    with pytest.raises(KeyStoreError, match="another application"):
        open_store(other)


def test_refuses_a_newer_version(bench: SQLiteBench) -> None:
    bench.close()
    with closing(sqlite3.connect(bench.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(KeyStoreError, match="this release knows"):
        open_store(bench.path)


def test_takes_over_a_file_left_empty_by_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "store" / "keys.db"
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    open_store(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (
            len(MIGRATIONS),
        )


def test_reports_damage_in_the_pages(bench: SQLiteBench) -> None:
    bench.close()
    content = bytearray(bench.path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    bench.path.write_bytes(content)
    with pytest.raises(KeyStoreError, match="damaged") as caught:
        open_store(bench.path)
    assert not caught.value.retryable


def test_settings_that_durability_and_erasure_rest_on(bench: SQLiteBench) -> None:
    connection = bench.store._opened.file.connection

    def pragma(name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("secure_delete") == 1
    assert pragma("locking_mode") == "exclusive"


def test_a_key_keeps_its_kmes_name_over_a_restart(tmp_path: Path) -> None:
    """And loses it with its bytes: the key_ID is all that is remembered."""
    texts = ["key-1", "6F1B3A3E-7F5C-4B2E-9D0A-2F5B8C1D4E6F"]
    ids = [key_id for text in texts if (key_id := parse_key_id(text))]
    bench = SQLiteBench(tmp_path / "store")
    keys = [NewKey(i, make_key(n).key) for n, i in enumerate(ids)]
    assert bench.store.intake.add(LINK, keys, confirmed=False).added == 2
    bench.close()
    bench = SQLiteBench(tmp_path / "store")
    store = bench.store
    assert [key_id_text(i) for i in store.ledger.unconfirmed(LINK, 9)] == texts
    assert {
        key_id_text(i) for i in store.ledger.held(LINK, after=None, count=9)
    } == set(texts)
    assert [key_id_text(i) for i in store.uses.reserve(LINK, 9, holder="a")] == texts
    assert (
        store.uses.consume(LINK, UUID(bytes=ids[0].bytes), holder="a")
        == make_key(0).key
    )
    store.ledger.retire(LINK, ids[1:])
    bench.close()
    with closing(sqlite3.connect(bench.path)) as connection:
        found = connection.execute("SELECT text FROM key").fetchall()
    assert found == [(None,), (None,)]
