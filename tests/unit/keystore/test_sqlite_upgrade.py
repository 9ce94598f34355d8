"""Stores that earlier releases left open with this one, and lose nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.keystore.base import KeyStanding
from gateway.keystore.sqlite.schema import MIGRATIONS
from tests.keystore_contract import LINK, ids, make_keys
from tests.unit.keystore.sqlite_bench import SQLiteBench

VERSION_1 = Path(__file__).with_name("version_1.sql")
KEYS = make_keys(0, 5)


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        return rows.fetchall()


@pytest.fixture
def upgraded(tmp_path: Path) -> SQLiteBench:
    directory = tmp_path / "old"
    directory.mkdir(mode=0o700)
    with closing(sqlite3.connect(directory / "keys.db")) as connection:
        connection.executescript(VERSION_1.read_text())
    (directory / "keys.db").chmod(0o600)
    return SQLiteBench(directory)


def test_stock_and_memory_of_used_keys_are_kept(upgraded: SQLiteBench) -> None:
    store = upgraded.store
    status = store.stocks.status(LINK)
    assert (status.available, status.consumed, status.unconfirmed) == (4, 1, 0)
    assert list(store.ledger.standing(LINK, ids(KEYS))) == [
        KeyStanding.USED,
        *[KeyStanding.HELD] * 4,
    ]
    assert store.intake.add(LINK, KEYS).added == 0
    assert list(store.ledger.held(LINK, after=None, count=9)) == sorted(ids(KEYS[1:]))
    assert list(store.uses.reserve(LINK, 9, holder="a")) == ids(KEYS[1:])
    for key in KEYS[1:]:
        assert store.uses.consume(LINK, key.key_id, holder="a") == key.key
    assert store.stocks.status("oslo").available == 1
    upgraded.advance(60)
    assert store.stocks.status("oslo").expired == 1
    upgraded.close()


def test_it_is_no_different_from_a_new_one(
    upgraded: SQLiteBench, bench: SQLiteBench
) -> None:
    upgraded.close()
    bench.close()
    assert schema(upgraded.path) == schema(bench.path)
    with closing(sqlite3.connect(upgraded.path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert version == len(MIGRATIONS)


def test_an_upgraded_store_survives_a_crash_and_a_restart(
    upgraded: SQLiteBench,
) -> None:
    upgraded.store.ledger.doubt(LINK, ids(KEYS[:3]))
    upgraded.crash()
    assert list(upgraded.store.ledger.unconfirmed(LINK, 9)) == ids(KEYS[1:3])
    upgraded.restart()
    assert upgraded.store.stocks.status(LINK).unconfirmed == 2
    upgraded.close()
