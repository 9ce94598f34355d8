import json
import os
import resource
import stat
from pathlib import Path

import pytest

from gateway.config.identity_files import (
    load_identity,
    load_private_identity,
    load_psk,
    load_public_identity,
)
from gateway.crypto.identity import format_fingerprint
from gateway.errors import IdentityError
from tests.cli.conftest import FINGERPRINT, Outcome, StartDaemon, qgw


def new(folder: Path, *extra: str) -> Outcome:
    private, public = str(folder / "id.key"), str(folder / "id.pub")
    return qgw("identity", "new", "--private", private, "--public", public, *extra)


@pytest.mark.parametrize("suite", ["1", "2"])
def test_a_new_identity_is_two_files_that_agree(tmp_path: Path, suite: str) -> None:
    old = os.umask(0)
    try:
        result = new(tmp_path, "--suite", suite, "--comment", "Paris, roof")
    finally:
        os.umask(old)
    private, public = tmp_path / "id.key", tmp_path / "id.pub"
    loaded = load_private_identity(private)
    fingerprint = format_fingerprint(loaded.public.fingerprint)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"private identity: {private} (stays on this gateway)\n"
        f"public identity:  {public} (hand it to the peer)\n"
        f"fingerprint:      {fingerprint}\n"
    )
    assert load_public_identity(public) == loaded.public
    assert loaded.public.suite_id == int(suite)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert "Paris, roof" in public.read_text()
    for file in (private, public):
        assert qgw("identity", "fingerprint", str(file)).out == f"{fingerprint}\n"
    derived = qgw("identity", "public", str(private), "--comment", "Paris, roof")
    assert derived.out == public.read_text()


@pytest.mark.parametrize("taken", ["id.key", "id.pub"])
def test_nothing_is_overwritten_or_left_behind(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")
    result = new(tmp_path)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"qgw: {tmp_path / taken} is there already\n"
        "hint: nothing is overwritten: choose another name, or move the old file away\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "precious"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "id.key").symlink_to(tmp_path / "elsewhere")
    assert new(tmp_path).code == 1
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "id.pub").exists()


def test_a_public_file_that_cannot_be_written_leaves_no_private_one(
    tmp_path: Path,
) -> None:
    private, public = tmp_path / "id.key", tmp_path / "absent" / "id.pub"
    result = qgw("identity", "new", "--private", str(private), "--public", str(public))
    assert result.code == 1
    assert result.err.endswith(
        f"hint: make the folder first: mkdir -p {public.parent}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [0, 400])
def test_a_write_that_fails_leaves_no_file(tmp_path: Path, room: int) -> None:
    # A limit on file sizes fails a write half-way, as a full disk does; with 400
    # bytes the private file fits and the public one does not.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        result = new(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    failed = tmp_path / ("id.pub" if room else "id.key")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"qgw: cannot write {failed}: file too large\n")
    assert list(tmp_path.iterdir()) == []


def test_show_tells_the_kind_and_never_the_secret(tmp_path: Path) -> None:
    new(tmp_path)
    private = tmp_path / "id.key"
    result = qgw("identity", "show", str(private))
    fingerprint = qgw("identity", "fingerprint", str(private)).out
    assert result.out == (
        f"identity: {private}\n"
        "  kind: private\n"
        "  suite: 1 (X25519, ML-KEM-768, AES-256-GCM, SHA-384)\n"
        f"  fingerprint: {fingerprint}"
    )
    shown = json.loads(qgw("identity", "show", str(tmp_path / "id.pub"), "--json").out)
    assert shown == {"kind": "public", "suite": 1, "fingerprint": fingerprint.strip()}


def test_show_without_a_file_asks_the_daemon(start_daemon: StartDaemon) -> None:
    answer = {"fingerprint": FINGERPRINT, "suite": 2}
    result = start_daemon({"identity.show": answer}).qgw("identity", "show")
    assert result.out == (
        "identity: of the running qgwd\n"
        "  suite: 2 (P-384, ML-KEM-1024, AES-256-GCM, SHA-384)\n"
        f"  fingerprint: {FINGERPRINT}\n"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_private_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    new(tmp_path)
    private = tmp_path / "id.key"
    private.chmod(mode)
    result = qgw("identity", "public", str(private))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(
        f"qgw: {private} is open to others (mode {mode:04o})\n"
        f"hint: run: chmod 600 {private}"
    )


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_public_file_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    new(tmp_path)
    public = tmp_path / "id.pub"
    public.chmod(mode)
    result = qgw("identity", "fingerprint", str(public))
    assert result.code == 1
    assert "is writable by others" in result.err


def test_a_credentials_group_bits_are_systemds_acl(tmp_path: Path) -> None:
    new(tmp_path)
    private = tmp_path / "id.key"
    private.chmod(0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    loaded = load_private_identity(private, environ=environ)
    assert loaded.public == load_public_identity(tmp_path / "id.pub")
    with pytest.raises(IdentityError, match="open to others"):
        load_private_identity(private, environ={})
    private.chmod(0o444)
    with pytest.raises(IdentityError, match="open to others"):
        load_private_identity(private, environ=environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_another_users_identity_is_refused_unless_root_reads_it(tmp_path: Path) -> None:
    new(tmp_path)
    public = tmp_path / "id.pub"
    os.chown(public, 65533, 65533)
    load_public_identity(public)
    descriptor = os.open(public, os.O_RDONLY)
    os.seteuid(65534)
    try:
        # By its descriptor, since the folders above are closed to this user.
        with pytest.raises(IdentityError, match="belongs to another user"):
            load_public_identity(Path(f"/dev/fd/{descriptor}"))
    finally:
        os.seteuid(0)
        os.close(descriptor)


def test_every_truncation_is_refused_and_named(tmp_path: Path) -> None:
    new(tmp_path)
    for name, least in (("id.key", 0), ("id.pub", 0)):
        whole = (tmp_path / name).read_bytes().rstrip()
        cut = tmp_path / f"cut-{name}"
        for length in range(least, len(whole), 7):
            cut.write_bytes(whole[:length])
            cut.chmod(0o600)
            with pytest.raises(IdentityError) as caught:
                load_identity(cut)
            assert str(cut) in caught.value.message


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"x" * 100_000, b"\x00", b"-----BEGIN QGW PRIVATE"]
)
def test_what_is_no_identity_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    file.chmod(0o600)
    result = qgw("identity", "show", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"qgw: {file}")
    assert "Traceback" not in result.err


def test_the_private_file_is_not_taken_for_the_public_one(tmp_path: Path) -> None:
    new(tmp_path)
    with pytest.raises(IdentityError, match="private identity"):
        load_public_identity(tmp_path / "id.key")


def test_folders_and_pipes_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        result = qgw("identity", "show", str(path))
        assert result.code == 1
        assert result.err == f"qgw: {path} is not a plain file\nhint: name a file\n"


def test_a_psk_is_32_bytes_of_base64_and_private(tmp_path: Path) -> None:
    file = tmp_path / "psk"
    file.touch(mode=0o600)
    file.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    assert load_psk(file).expose() == bytes(range(32))
    for bad in (
        "",
        "AAECAwQF",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",
        "é" * 44,
    ):
        file.write_text(bad)
        with pytest.raises(IdentityError, match="32 bytes in base64") as caught:
            load_psk(file)
        assert caught.value.__context__ is None
    file.chmod(0o644)
    with pytest.raises(IdentityError, match="open to others"):
        load_psk(file)
