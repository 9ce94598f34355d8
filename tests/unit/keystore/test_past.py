"""What a store can tell of its own past: copies, long silence, and nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.keystore import past
from gateway.keystore.past import QUIET, SET_BACK, Sign, Trace, signs, trace_of
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret

KEY = bytes(32)
SAVED = Trace(7, 9, 1000.0)


def opened(path: Path) -> tuple[Sign, ...]:
    store = SQLiteKeyStore(path, Secret(KEY))
    store.close()
    return store.signs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    return folder / "keys.db"


def test_a_store_that_only_rested_says_nothing(path: Path) -> None:
    for _ in range(3):
        assert opened(path) == ()


def test_a_copy_is_told_once(path: Path, tmp_path: Path) -> None:
    opened(path)
    shutil.copy2(path, tmp_path / "backup")
    opened(path)
    path.unlink()
    shutil.copy2(tmp_path / "backup", path)
    (sign,) = opened(path)
    assert sign.is_sure
    assert "is a copy" in sign.text
    assert "purge" in sign.hint
    assert opened(path) == ()


def test_the_number_of_an_inode_that_was_given_again_deceives_nobody() -> None:
    assert signs(SAVED, replace(SAVED, generation=10))[0].is_sure
    assert signs(SAVED, replace(SAVED, inode=8))[0].is_sure
    assert signs(SAVED, SAVED) == ()


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (QUIET, ""),
        (QUIET + 1, "last written 10 min ago"),
        (7200, "last written 2 h ago"),
        (3 * 86_400, "last written 3 days ago"),
        (-SET_BACK, ""),
        (-SET_BACK - 40, "last written 100 s after now"),
    ],
)
def test_what_a_clock_can_tell(age: float, text: str) -> None:
    found = signs(SAVED, replace(SAVED, written_at=SAVED.written_at + age))
    assert len(found) == bool(text)
    for sign in found:
        assert text in sign.text
        assert not sign.is_sure


def test_a_store_brought_back_in_place_shows_its_age(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "QUIET", -1.0)
    opened(path)
    (sign,) = opened(path)
    assert "last written 0 s ago: qgwd was stopped since, or it is old" in sign.text


def test_a_file_system_without_generations(tmp_path: Path) -> None:
    shared = Path("/dev/shm")  # noqa: S108  # a tmpfs, if any is
    file = (shared if shared.is_dir() else tmp_path) / f"{tmp_path.name}-trace"
    file.touch()
    try:
        assert trace_of(file, now=5.0).inode == file.stat().st_ino
    finally:
        file.unlink()
