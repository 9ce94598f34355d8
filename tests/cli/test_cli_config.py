import json
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, qgw

CONFIG = """\
[gateway]
identity = "own.key"
control_group = "root"
[keystore]
master_key = "master.key"

[links.alpha]
source = "simulated"
rate = 1.0
seed_file = "seed"

[tunnels.paris]
peer = "peer.pub"
endpoint = "192.0.2.1:51810"
link = "alpha"
psk = "psk"
addresses = ["10.9.0.1/30"]
remote_subnets = ["10.2.0.0/16"]
local_subnets = ["10.9.0.1/32"]  # nothing to forward, which this host may not do
"""


def identity(folder: Path, name: str, suite: str = "1") -> None:
    key, pub = str(folder / f"{name}.key"), str(folder / f"{name}.pub")
    result = qgw("identity", "new", "--private", key, "--public", pub, "--suite", suite)
    assert result.code == 0, result.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration in which everything is right."""
    identity(tmp_path, "own")
    identity(tmp_path, "peer")
    qgw("keystore", "new-master-key", str(tmp_path / "master.key"))
    qgw("keystore", "new-seed", str(tmp_path / "seed"))
    (tmp_path / "psk").touch(mode=0o600)
    (tmp_path / "psk").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    (tmp_path / "gateway.toml").touch(mode=0o600)
    (tmp_path / "gateway.toml").write_text(CONFIG)
    return tmp_path


def check(folder: Path, *extra: str) -> Outcome:
    return qgw("config", "check", "--config", str(folder / "gateway.toml"), *extra)


def test_a_right_configuration_is_said_to_be(folder: Path) -> None:
    result = check(folder)
    assert result.err == ""
    assert result.code == 0
    assert result.out == (
        f"{folder}/gateway.toml: 1 tunnel in 1 file: no problems (checked as root)\n"
    )
    report = {"ok": True, "user": "root"}
    report |= {name: [] for name in ("problems", "warnings", "notes")}
    assert json.loads(check(folder, "--json").out) == report


def test_the_global_option_names_the_file_too(folder: Path) -> None:
    result = qgw("--config", str(folder / "gateway.toml"), "config", "check")
    assert result.code == 0


def test_every_bad_file_is_reported_with_its_line(folder: Path) -> None:
    (folder / "own.key").chmod(0o644)
    (folder / "master.key").write_text("short\n")
    (folder / "seed").unlink()
    (folder / "psk").chmod(0o640)
    (folder / "peer.pub").write_text("truncated")
    result = check(folder)
    assert (result.code, result.out) == (1, "")
    lines = result.err.splitlines()
    toml = f"{folder}/gateway.toml"
    kinds = [
        "2: gateway.identity: expected a private identity file",
        "5: keystore.master_key: expected a master key file",
        "10: links.alpha.seed_file: expected a seed file",
        "16: tunnels.paris.psk: expected a PSK file",
        "13: tunnels.paris.peer: expected a public identity file",
    ]
    found = [f"{folder}/own.key", f"{folder}/master.key", f"cannot read {folder}/seed"]
    found += [f"{folder}/psk", f"{folder}/peer.pub"]
    starts = [
        f"{toml}:{kind}, found {what}" for kind, what in zip(kinds, found, strict=True)
    ]
    assert len(lines) == len(starts) + 2
    assert "own.key is open to others (mode 0644)" in lines[0]
    assert "psk is open to others (mode 0640)" in lines[3]
    for line, start in zip(lines, starts, strict=False):
        assert line.startswith(start)
    assert lines[-2:] == [
        "qgw: 5 problems in the configuration (checked as root)",
        "hint: correct them and run: qgw config check",
    ]
    report = json.loads(check(folder, "--json").out)
    assert report["ok"] is False
    assert [problem["line"] for problem in report["problems"]] == [2, 5, 10, 16, 13]


def test_our_own_identity_is_not_a_peers(folder: Path) -> None:
    (folder / "peer.pub").write_text((folder / "own.pub").read_text())
    result = check(folder)
    assert result.code == 1
    assert result.err.startswith(
        f"{folder}/gateway.toml:13: tunnels.paris.peer: expected the peer's identity, "
        f"of suite 1 as this gateway's, found {folder}/peer.pub: this is our own ident"
    )


def test_a_peer_of_another_suite_is_named(folder: Path) -> None:
    for name in ("peer.key", "peer.pub"):
        (folder / name).unlink()
    identity(folder, "peer", suite="2")
    result = check(folder)
    assert result.code == 1
    assert result.err.startswith(
        f"{folder}/gateway.toml:13: tunnels.paris.peer: expected the peer's identity, "
        f"of suite 1 as this gateway's, found {folder}/peer.pub: an identity of suite 2"
    )


def test_a_file_in_tunnels_d_is_named_with_its_own_lines(folder: Path) -> None:
    tunnels = folder / "tunnels.d"
    tunnels.mkdir(mode=0o700)
    extra = tunnels / "rome.toml"
    extra.touch(mode=0o600)
    extra.write_text(
        '[tunnels.rome]\nqkd = "off"\npeer = "rome.pub"\n'
        'endpoint = "203.0.113.2:51810"\nlocal_subnets = ["10.9.0.1/32"]\n'
        'remote_subnets = ["10.3.0.0/16"]\n'
    )
    result = check(folder)
    assert result.code == 1
    assert result.err.startswith(
        f"{extra}:3: tunnels.rome.peer: expected a public identity file, found cannot "
        f"read {tunnels}/rome.pub: no such file or directory"
    )


def test_wrong_keys_are_reported_before_any_file_is_opened(folder: Path) -> None:
    (folder / "gateway.toml").write_text(CONFIG.replace("endpoint", "endpiont"))
    (folder / "own.key").unlink()
    result = check(folder)
    assert result.code == 1
    assert f"{folder}/gateway.toml:14: tunnels.paris.endpiont: " in result.err
    assert "own.key" not in result.err


def test_no_secret_is_shown(folder: Path) -> None:
    secret = "c2VjcmV0c2VjcmV0"
    for name in ("own.key", "master.key", "seed", "psk"):
        (folder / name).write_text(secret)
    result = check(folder)
    assert result.code == 1
    assert secret not in result.err + result.out


def test_one_peer_under_two_names_is_still_one(folder: Path) -> None:
    (folder / "copy.pub").write_bytes((folder / "peer.pub").read_bytes())
    rome = """
[tunnels.rome]
peer = "copy.pub"
endpoint = "192.0.2.1:51810"
qkd = "off"
plane = "wireguard"
remote_subnets = ["10.3.0.0/16"]
"""
    toml = folder / "gateway.toml"
    toml.write_text(CONFIG + 'plane = "wireguard"\n' + rome)
    assert check(folder).code == 1
    (said,) = _said_of_peers(folder)
    assert said == (
        f"{toml}:23: tunnels.rome.peer: expected a peer of its own, since plane is "
        '"wireguard", or plane = "esp", found the peer of tunnel paris'
    )
    toml.write_text(CONFIG + 'plane = "wireguard"\n' + rome + "enabled = false\n")
    assert _said_of_peers(folder) == []


def _said_of_peers(folder: Path) -> list[str]:
    # A kernel without WireGuard is another problem, of another key.
    return [line for line in check(folder).err.splitlines() if ".peer: " in line]
