import base64
import errno
import os
import stat
import traceback
from pathlib import Path

import pytest

from gateway.errors import KeyStoreError
from gateway.keystore.master_key import create_master_key, load_master_key

LINE = base64.b64encode(bytes(range(32))) + b"\n"


def put(path: Path, content: bytes = LINE, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_new_one_is_private_random_and_loads(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        create_master_key(tmp_path / "a")
    finally:
        os.umask(umask)
    create_master_key(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    a, b = (load_master_key(tmp_path / name, {}) for name in "ab")
    assert len(a) == len(b) == 32
    assert a != b


def test_does_not_overwrite(tmp_path: Path) -> None:
    path = put(tmp_path / "key")
    with pytest.raises(KeyStoreError, match="there already"):
        create_master_key(path)
    assert path.read_bytes() == LINE


def test_says_when_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="no such file"):
        create_master_key(tmp_path / "no" / "key")


def test_a_path_wins_over_the_credential(tmp_path: Path) -> None:
    path = put(tmp_path / "key")
    put(tmp_path / "master-key", b"rubbish")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_master_key(path, environ).expose() == bytes(range(32))


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_reads_the_systemd_credential(tmp_path: Path, mode: int) -> None:
    put(tmp_path / "master-key", mode=mode)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_master_key(None, environ).expose() == bytes(range(32))


def test_refuses_a_credential_for_all(tmp_path: Path) -> None:
    put(tmp_path / "master-key", mode=0o444)
    with pytest.raises(KeyStoreError, match="open to others"):
        load_master_key(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("environ", [{}, {"CREDENTIALS_DIRECTORY": ""}])
def test_says_what_to_do_without_one(environ: dict[str, str]) -> None:
    with pytest.raises(KeyStoreError, match="no master key") as caught:
        load_master_key(None, environ)
    assert "LoadCredential=master-key" in caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_refuses_a_loose_mode(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyStoreError, match=f"mode {mode:04o}"):
        load_master_key(put(tmp_path / "key", mode=mode), {})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_root_looks_after_the_daemons_own(tmp_path: Path) -> None:
    path = put(tmp_path / "key")
    os.chown(path, 12345, -1)
    assert load_master_key(path, {}).expose() == bytes(range(32))


def test_refuses_what_is_no_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("fifo", "folder", "missing"):
        with pytest.raises(KeyStoreError, match=name):
            load_master_key(tmp_path / name, {})


def test_leaves_no_part_of_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(KeyStoreError, match="no space left"):
        create_master_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(32)),
        base64.b64encode(bytes(31)),
        base64.b64encode(bytes(33)),
        LINE[:-2],
        LINE + LINE,
        b"\xff" * 44,
        LINE * 100,
    ],
)
def test_refuses_other_content_without_showing_it(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(KeyStoreError) as caught:
        load_master_key(put(tmp_path / "key", content), {})
    shown = "".join(traceback.format_exception(caught.value))
    assert LINE.decode().strip()[:8] not in shown
    assert caught.value.__context__ is None
