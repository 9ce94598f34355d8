"""Root's check of a configuration sees what the daemon's user would see."""

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, qgw, qgw_as
from tests.cli.test_cli_config import CONFIG, check, identity

USER = "nobody"
SECRETS = ("own.key", "master.key", "seed", "psk")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: only root can give up its rights"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A right configuration whose state folder, and all else, is the user's."""
    # Not in pytest's own folder, which others may not enter.
    place = Path(tempfile.mkdtemp(prefix="qgw-c-"))
    place.chmod(0o755)
    try:
        identity(place, "own")
        identity(place, "peer")
        qgw("keystore", "new-master-key", str(place / "master.key"))
        qgw("keystore", "new-seed", str(place / "seed"))
        (place / "psk").touch(mode=0o600)
        (place / "psk").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
        group = pwd.getpwnam(USER).pw_gid
        text = CONFIG.replace(
            'control_group = "root"', 'control_group = "nogroup"\nstate_dir = "state"'
        )
        (place / "gateway.toml").write_text(text)
        (place / "gateway.toml").chmod(0o644)
        (place / "state").mkdir(mode=0o700)
        for name in (*SECRETS, "state"):
            os.chown(place / name, pwd.getpwnam(USER).pw_uid, group)
        yield place
    finally:
        shutil.rmtree(place)


def test_the_owner_of_the_state_folder_is_the_user(folder: Path) -> None:
    result = check(folder)
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(f"no problems (checked as {USER})\n")
    assert json.loads(check(folder, "--json").out)["user"] == USER


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("own.key", "gateway.identity"),
        ("master.key", "keystore.master_key"),
        ("seed", "links.alpha.seed_file"),
        ("psk", "tunnels.paris.psk"),
    ],
)
def test_a_file_that_root_alone_may_read(folder: Path, name: str, key: str) -> None:
    os.chown(folder / name, 0, 0)
    result = check(folder)
    assert result.code == 1
    first = result.err.splitlines()[0]
    assert f": {key}: expected " in first
    assert f"found cannot read {folder / name}: permission denied" in first
    # Root itself has no trouble with it, which is why it must not be asked.
    os.chown(folder / "state", 0, 0)
    for other in set(SECRETS) - {name}:
        os.chown(folder / other, 0, 0)
    assert check(folder, "--user", "root").code == 0


def test_a_state_folder_of_somebody_else(folder: Path) -> None:
    os.chown(folder / "state", 0, 0)
    result = check(folder, "--user", USER)
    assert result.code == 1
    assert "gateway.state_dir: expected a folder that the daemon's user may write" in (
        result.err
    )


def test_the_configuration_itself_is_opened_as_the_user(folder: Path) -> None:
    (folder / "gateway.toml").chmod(0o600)
    result = check(folder)
    assert result.code == 1
    assert "gateway.toml: file: expected a file to read, found permission denied" in (
        result.err
    )


def test_nothing_of_a_secret_is_shown(folder: Path) -> None:
    secret = "c2VjcmV0c2VjcmV0"
    for name in SECRETS:
        (folder / name).write_text(secret)
    result = check(folder)
    assert result.code == 1
    assert secret not in result.err + result.out


def test_a_user_that_does_not_exist(folder: Path) -> None:
    result = check(folder, "--user", "nobody-of-that-name")
    assert result.code == 1
    assert result.err.startswith("qgw: there is no user nobody-of-that-name\n")


def check_as_member(folder: Path, name: str, *extra: str) -> Outcome:
    words = ("config", "check", "--config", str(folder / "gateway.toml"), *extra)
    return qgw_as(name, *words)


def test_who_is_not_the_daemons_user_takes_no_rights_for_faults(folder: Path) -> None:
    done = check_as_member(folder, "daemon")
    left = "files, folders and planes were not looked at"
    assert done.err == (
        f"note: checked as daemon: {left}, which takes root or the daemon's user "
        f"{USER}\n"
    )
    assert done.code == 0
    assert done.out == (
        f"{folder}/gateway.toml: 1 tunnel in 1 file: no problems (checked as daemon)\n"
    )
    told = json.loads(check_as_member(folder, "daemon", "--json").out)
    assert (told["ok"], told["user"], told["problems"]) == (True, "daemon", [])
    assert [left in note for note in told["notes"]] == [True]


def test_who_is_not_the_daemons_user_is_told_what_the_text_lacks(folder: Path) -> None:
    path = folder / "gateway.toml"
    path.write_text(path.read_text().replace("endpoint", "endpiont"))
    done = check_as_member(folder, "daemon")
    assert done.code == 1
    assert f"{path}:15: tunnels.paris.endpiont: " in done.err
    assert "in the configuration (checked as daemon)\n" in done.err


def test_rights_that_are_asked_for_by_name_are_looked_at(folder: Path) -> None:
    done = check_as_member(folder, "daemon", "--user", "daemon")
    assert done.code == 1
    assert f"found cannot read {folder / 'own.key'}: permission denied" in done.err
