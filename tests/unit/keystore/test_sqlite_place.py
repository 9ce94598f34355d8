"""A store whose files are taken away while it is open."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import KeyStoreError, KeyUnavailableError
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret
from tests.keystore_contract import LINK, make_key, make_keys

MASTER_KEY = Secret(bytes(range(32)))
FILES = ("keys.db", "keys.db-wal")
Change = Callable[[Path], object]


def replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


@pytest.fixture
def store(tmp_path: Path) -> SQLiteKeyStore:
    (tmp_path / "store").mkdir(mode=0o700)
    made = SQLiteKeyStore(tmp_path / "store" / "keys.db", MASTER_KEY)
    made.intake.add(LINK, make_keys(0, 10))
    made.uses.reserve(LINK, 2, holder="a")
    return made


@pytest.mark.parametrize("change", [Path.unlink, replace])
@pytest.mark.parametrize("file", FILES)
def test_no_key_leaves(
    store: SQLiteKeyStore, tmp_path: Path, file: str, change: Change
) -> None:
    assert store.fault() is None
    change(tmp_path / "store" / file)
    said = "was replaced" if change is replace else "was removed"
    uses: list[Callable[[], object]] = [
        lambda: store.uses.consume(LINK, make_key(0).key_id, holder="a"),
        lambda: store.uses.reserve(LINK, 1, holder="b"),
        lambda: store.uses.reserve_first(LINK, [make_key(3).key_id], holder="b"),
        lambda: store.intake.add(LINK, make_keys(10, 11)),
        lambda: store.intake.check_room(1),
    ]
    for use in uses:
        with pytest.raises(KeyStoreError, match=f"{file} {said}") as caught:
            use()
        assert not isinstance(caught.value, KeyUnavailableError)
        assert "restart qgwd" in caught.value.hint
    fault = store.fault()
    assert fault is not None
    assert said in fault.message
    assert store.stocks.status(LINK).consumed == 0
    store.close()


def test_moved_away_and_back(store: SQLiteKeyStore, tmp_path: Path) -> None:
    path = tmp_path / "store" / "keys.db"
    path.rename(path.with_suffix(".away"))
    with pytest.raises(KeyStoreError, match="was removed"):
        store.uses.consume(LINK, make_key(0).key_id, holder="a")
    path.with_suffix(".away").rename(path)
    assert store.uses.consume(LINK, make_key(0).key_id, holder="a") == make_key(0).key
    store.close()


def test_removed_between_the_look_and_the_commit(
    store: SQLiteKeyStore, tmp_path: Path
) -> None:
    """Its use was written to a file without a name: the key stays inside."""

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            (tmp_path / "store" / "keys.db").unlink()

    store._opened.file.connection.set_trace_callback(trace)
    with pytest.raises(KeyStoreError, match="was removed"):
        store.uses.consume(LINK, make_key(0).key_id, holder="a")
    store._opened.file.connection.set_trace_callback(None)
    store.close()
