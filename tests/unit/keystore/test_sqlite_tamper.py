"""What rests on disk, and what someone who can write the disk gains."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import KeyUnavailableError
from tests.keystore_contract import LINK, ids, make_keys
from tests.unit.keystore.sqlite_bench import MASTER_KEY, SQLiteBench


def edit(bench: SQLiteBench, *statements: str) -> None:
    """Change the closed store's file by hand and open it again."""
    bench.close()
    with closing(sqlite3.connect(bench.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    bench.store = bench._open()


def on_disk(bench: SQLiteBench) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(bench.path.parent.iterdir()))


def sealed_bytes(bench: SQLiteBench) -> list[bytes]:
    rows = bench.store._opened.file.connection.execute(
        "SELECT sealed FROM key ORDER BY seq"
    )
    return [row[0] for row in rows.fetchall()]


def test_neither_keys_nor_master_key_rest_in_clear(bench: SQLiteBench) -> None:
    keys = make_keys(0, 50)
    bench.store.intake.add(LINK, keys)
    for when in ("in the log", "in the database"):
        content = on_disk(bench)
        assert MASTER_KEY.expose() not in content, when
        assert not [key for key in keys if key.key.expose() in content], when
        assert keys[0].key_id.bytes in content, when
        bench.store.maintain()


def test_nothing_of_a_consumed_key_is_left_after_upkeep(bench: SQLiteBench) -> None:
    keys = make_keys(0, 50)
    bench.store.intake.add(LINK, keys[:30])
    bench.store.intake.add(LINK, keys[30:], lifetime=10)
    bench.store.maintain()
    sealed = sealed_bytes(bench)
    assert all(one in on_disk(bench) for one in sealed)
    for key_id in bench.store.uses.reserve(LINK, 10, holder="a"):
        bench.store.uses.consume(LINK, key_id, holder="a")
    bench.store.ledger.retire(LINK, ids(keys[10:20]))
    bench.advance(10)
    bench.store.maintain()
    content = on_disk(bench)
    left = [place for place, one in enumerate(sealed) if one[-48:] in content]
    assert left == list(range(20, 30))
    # Not even a piece: the tail of a freed cell is zeroed too.
    assert not [one for one in sealed[:20] + sealed[30:] if one[-16:] in content]


def test_the_log_is_empty_after_upkeep(bench: SQLiteBench) -> None:
    bench.store.intake.add(LINK, make_keys(0, 5))
    wal = bench.path.with_name("keys.db-wal")
    assert wal.stat().st_size > 0
    bench.store.maintain()
    assert wal.stat().st_size == 0


def test_a_consumed_row_set_back_yields_no_key(bench: SQLiteBench) -> None:
    bench.store.intake.add(LINK, make_keys(0, 2))
    (key_id,) = bench.store.uses.reserve(LINK, 1, holder="a")
    bench.store.uses.consume(LINK, key_id, holder="a")
    with pytest.raises(sqlite3.IntegrityError):
        edit(bench, "UPDATE key SET state = 0 WHERE seq = 1")
    for change in (
        "UPDATE key SET state = 0, sealed = zeroblob(60) WHERE seq = 1",
        "UPDATE key SET state = 0, sealed = x'' WHERE seq = 1",
        "UPDATE key SET state = 0, sealed = (SELECT max(sealed) FROM key)",
    ):
        edit(bench, change, "UPDATE link SET unused = unused + 1")
        assert list(bench.store.uses.reserve(LINK, 1, holder="b")) == [key_id]
        with pytest.raises(KeyUnavailableError, match="damaged"):
            bench.store.uses.consume(LINK, key_id, holder="b")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE key SET expires = 0 WHERE seq = 1",
        "UPDATE key SET expires = expires + 1 WHERE seq = 1",
        "UPDATE key SET key_id = zeroblob(16) WHERE seq = 1",
        "UPDATE key SET sealed = (SELECT sealed FROM key WHERE seq = 2) WHERE seq = 1",
        "UPDATE key SET sealed = substr(sealed, 1, 59) WHERE seq = 1",
        "UPDATE link SET name = 'oslo'",
    ],
)  # fmt: skip
def test_an_edited_row_is_retired_not_used(bench: SQLiteBench, change: str) -> None:
    bench.store.intake.add(LINK, make_keys(0, 2), lifetime=60)
    edit(bench, change)
    (link,) = bench.store.stocks.links()
    (key_id,) = bench.store.uses.reserve(link, 1, holder="a")
    with pytest.raises(KeyUnavailableError, match="damaged"):
        bench.store.uses.consume(link, key_id, holder="a")
    choice = bench.store.uses.reserve_first(link, [key_id], holder="b")
    assert (choice.key_id, choice.used) == (None, frozenset({key_id}))


def test_one_edited_row_of_many_uses_up_none_but_itself(bench: SQLiteBench) -> None:
    keys = make_keys(0, 3)
    bench.store.intake.add(LINK, keys)
    edit(bench, "UPDATE key SET sealed = zeroblob(60) WHERE seq = 2")
    key_ids = bench.store.uses.reserve(LINK, 3, holder="a")
    with pytest.raises(KeyUnavailableError, match="damaged"):
        bench.store.uses.consume_many(LINK, key_ids, holder="a")
    status = bench.store.stocks.status(LINK)
    assert (status.reserved, status.consumed) == (2, 1)
    left = [keys[0].key_id, keys[2].key_id]
    assert bench.store.uses.consume_many(LINK, left, holder="a") == [
        keys[0].key,
        keys[2].key,
    ]


def test_an_edited_row_is_passed_over_when_offered(bench: SQLiteBench) -> None:
    keys = make_keys(0, 2)
    bench.store.intake.add(LINK, keys)
    edit(bench, "UPDATE key SET sealed = zeroblob(60) WHERE seq = 1")
    choice = bench.store.uses.reserve_first(LINK, ids(keys), holder="a")
    assert (choice.key_id, choice.used) == (keys[1].key_id, frozenset({keys[0].key_id}))


def test_a_row_of_another_store_does_not_open(
    bench: SQLiteBench, tmp_path: Path
) -> None:
    other = SQLiteBench(tmp_path / "other")
    keys = make_keys(0, 1)
    other.store.intake.add(LINK, keys)
    bench.store.intake.add(LINK, keys)
    other.close()
    edit(
        bench,
        f"ATTACH '{other.path}' AS other",
        "UPDATE key SET sealed = (SELECT sealed FROM other.key)",
    )
    assert bench.store.uses.reserve_first(LINK, ids(keys), holder="a").key is None


def test_an_old_backup_heals_once_the_peer_names_what_it_used(
    bench: SQLiteBench,
) -> None:
    """A restored file cannot know it is old; `retire` is the way back."""
    keys = make_keys(0, 6)
    bench.store.intake.add(LINK, keys)
    bench.close()
    backup = bench.path.read_bytes()
    bench.store = bench._open()
    for key_id in bench.store.uses.reserve(LINK, 3, holder="a"):
        bench.store.uses.consume(LINK, key_id, holder="a")
    bench.close()
    bench.path.write_bytes(backup)
    bench.store = bench._open()
    assert bench.store.ledger.retire(LINK, ids(keys[:3])) == 3
    assert list(bench.store.uses.reserve(LINK, 9, holder="b")) == ids(keys[3:])
    assert bench.store.intake.add(LINK, keys[:3]).added == 0
