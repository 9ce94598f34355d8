import base64
import io
import json
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from gateway.cli.keystore import _REASONS
from gateway.control.limits import IMPORT_BATCH
from gateway.control.params import read_import
from gateway.errors import ControlError, KeyStoreError
from gateway.keystore.base import REFUSAL_REASONS
from gateway.keystore.master_key import load_master_key
from gateway.sources.simulated.seed import load_seed
from tests.cli.conftest import StartDaemon, a_link, qgw


def container(count: int, *extra: object) -> str:
    keys: list[object] = [
        {"key_ID": str(UUID(int=n)), "key": base64.b64encode(key(n)).decode()}
        for n in range(count)
    ]
    return json.dumps({"keys": [*keys, *extra]})


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Store:
    """Takes keys as the daemon will: through `read_import`."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.batches: list[int] = []

    def take(self, params: Mapping[str, object]) -> object:
        request = read_import(params)
        self.batches.append(len(request.keys))
        refused = []
        for item in request.keys:
            if item.key_id in self.keys:
                refused.append({"key_id": item.key_id, "reason": "duplicate"})
            else:
                assert item.key is not None
                self.keys[item.key_id] = item.key.expose()
        return {"added": len(request.keys) - len(refused), "refused": refused}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "keys.json"
    made.touch(mode=0o600)
    return made


def test_a_large_file_goes_in_batches(start_daemon: StartDaemon, file: Path) -> None:
    store = Store()
    count = 2 * IMPORT_BATCH + 1
    file.write_text(container(count))
    result = start_daemon({"keystore.import": store.take}).qgw(
        "keystore", "import", "--link", "alpha", str(file)
    )
    assert (result.code, result.err) == (0, "")
    assert result.out == f"imported {count} keys into link alpha\n"
    assert store.batches == [IMPORT_BATCH, IMPORT_BATCH, 1]
    assert store.keys == {str(UUID(int=n)): key(n) for n in range(count)}


@pytest.mark.parametrize("text", ["key-1", str(UUID(int=0xABC)).upper()])
def test_a_key_is_imported_under_its_kmes_name(
    start_daemon: StartDaemon, file: Path, text: str
) -> None:
    store = Store()
    named = {"key_ID": text, "key": base64.b64encode(key(7)).decode()}
    file.write_text(container(0, named))
    daemon = start_daemon({"keystore.import": store.take})
    result = daemon.qgw("keystore", "import", "--link", "alpha", str(file))
    assert (result.code, result.err) == (0, "")
    assert store.keys == {text: key(7)}


def test_bad_keys_are_refused_one_by_one(start_daemon: StartDaemon, file: Path) -> None:
    store = Store()
    store.keys[str(UUID(int=0))] = key(0)
    short = {"key_ID": str(UUID(int=9)), "key": "AAAA"}
    file.write_text(container(2, short, {"key_ID": "\x1b[2J", "key": 1}))
    daemon = start_daemon({"keystore.import": store.take})
    result = daemon.qgw("keystore", "import", "--link", "alpha", str(file))
    assert result.code == 6
    assert result.out == "imported 1 key into link alpha\n"
    assert result.err == (
        "refused 3 keys:\n"
        "  00000000-0000-0000-0000-000000000009 has less than 256 bits\n"
        "  keys[3] is not a key_ID with a base64 key\n"
        "  00000000-0000-0000-0000-000000000000 is in the stock, or earlier in the "
        "file\n"
    )
    again = daemon.qgw("keystore", "import", "--link", "alpha", str(file), "--json")
    assert again.code == 6
    report = json.loads(again.out)
    assert report["added"] == 0
    assert [item["reason"] for item in report["refused"]] == [
        "short",
        "malformed",
        "duplicate",
        "duplicate",
    ]


def test_keys_come_from_standard_input_too(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    text = io.TextIOWrapper(io.BytesIO(container(3).encode()))
    monkeypatch.setattr(sys, "stdin", text)
    result = start_daemon({"keystore.import": store.take}).qgw(
        "keystore", "import", "--link", "alpha", "-"
    )
    assert result.out == "imported 3 keys into link alpha\n"


def test_a_failure_half_way_says_what_is_in(
    start_daemon: StartDaemon, file: Path
) -> None:
    store = Store()

    def fill_up(params: Mapping[str, object]) -> object:
        if store.batches:
            return KeyStoreError("the disk is full", "make room and import again")
        return store.take(params)

    file.write_text(container(IMPORT_BATCH + 1))
    result = start_daemon({"keystore.import": fill_up}).qgw(
        "keystore", "import", "--link", "alpha", str(file)
    )
    assert result.code == 1
    assert result.out == f"imported {IMPORT_BATCH} keys before it failed\n"
    assert result.err == ("qgw: the disk is full\nhint: make room and import again\n")


def test_an_unknown_link_exits_5(start_daemon: StartDaemon, file: Path) -> None:
    error = ControlError("there is no link beta", "see qgw status", code="not-found")
    file.write_text(container(1))
    result = start_daemon({"keystore.import": error}).qgw(
        "keystore", "import", "--link", "beta", str(file)
    )
    assert (result.code, result.out) == (5, "")


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"keys": 1}', "\x00"])
def test_what_is_no_container_is_refused_whole(file: Path, text: str) -> None:
    file.write_text(text)
    result = qgw(
        "--socket", "/nonexistent", "keystore", "import", "--link", "a", str(file)
    )
    assert (result.code, result.out) == (1, "")
    assert "hint: expected the ETSI GS QKD 014 format" in result.err


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    result = qgw("keystore", "import", "--link", "alpha", str(path))
    assert result.code == 1
    assert result.err == (
        f"qgw: cannot read {path}: no such file or directory\n"
        "hint: name the key container, or - for standard input\n"
    )


def test_a_file_others_can_read_is_warned_of(
    start_daemon: StartDaemon, file: Path
) -> None:
    file.write_text(container(1))
    file.chmod(0o644)
    result = start_daemon({"keystore.import": Store().take}).qgw(
        "keystore", "import", "--link", "alpha", str(file)
    )
    assert result.code == 0
    assert result.err == (
        f"warning: {file} is readable by others: who read it has the keys\n"
    )


def test_status_is_a_table(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"keystore.status": [a_link(alarm="low", available=3)]})
    result = daemon.qgw("keystore", "status", "alpha")
    assert daemon.calls == [("keystore.status", {"link": "alpha"})]
    assert result.out == (
        "LINK   SOURCE  STOCK  KEYS  RESERVED  USED  DROPPED  IN/S  OUT/S  EMPTY IN\n"
        "alpha  file    low    3     1         41    0        0.00  0.01   1d08h\n"
    )
    shown = daemon.qgw("keystore", "status", "--json")
    assert json.loads(shown.out) == [a_link(alarm="low", available=3)]
    assert daemon.calls[-1] == ("keystore.status", {})


def test_status_shows_keys_that_the_peer_may_lack(start_daemon: StartDaemon) -> None:
    links = [a_link(unconfirmed=7), a_link("beta")]
    daemon = start_daemon({"keystore.status": links})
    assert daemon.qgw("keystore", "status").out == (
        "LINK   SOURCE  STOCK  KEYS  UNCONFIRMED  RESERVED  USED  IN/S  OUT/S  "
        "EMPTY IN\n"
        "alpha  file    ok     980   7            1         41    0.00  0.01   "
        "1d08h\n"
        "beta   file    ok     980   0            1         41    0.00  0.01   "
        "1d08h\n"
    )
    shown = daemon.qgw("keystore", "status", "--json")
    assert [link["unconfirmed"] for link in json.loads(shown.out)] == [7, 0]


def test_every_reason_has_words() -> None:
    assert set(_REASONS) == REFUSAL_REASONS


def test_purging_all_wants_a_yes(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"keystore.purge": {"erased": 7}})
    result = daemon.qgw("keystore", "purge", "--link", "alpha", "--all")
    assert (result.code, daemon.calls) == (2, [])
    assert result.err == (
        "qgw: --all needs --yes where nobody can be asked\n"
        "hint: see qgw keystore purge --help\n"
    )
    result = daemon.qgw("keystore", "purge", "--link", "alpha", "--all", "--yes")
    assert (result.code, result.out) == (0, "erased 7 keys of link alpha\n")
    daemon.qgw("keystore", "purge", "--link", "alpha")
    assert [params["all"] for _, params in daemon.calls] == [True, False]


def test_new_secrets_are_private_and_never_overwritten(tmp_path: Path) -> None:
    master, seed = tmp_path / "master.key", tmp_path / "seed"
    for command, path in (("new-master-key", master), ("new-seed", seed)):
        result = qgw("keystore", command, str(path))
        assert (result.code, result.out, result.err) == (0, "", "")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        again = qgw("keystore", command, str(path))
        assert again.code == 1
        assert again.err.startswith(f"qgw: {path} is there already\nhint: ")
        assert path.read_bytes() == before
    assert len(load_master_key(master, {})) == 32
    assert len(load_seed(seed)) == 32
