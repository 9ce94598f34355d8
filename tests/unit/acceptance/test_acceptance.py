"""What keeps a configuration from being accepted, and how far each problem reaches."""

import base64
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.acceptance.accept import Candidate, accept, judge_host
from gateway.acceptance.contents import (
    changed_contents,
    content_of_secret,
    describe_content,
)
from gateway.acceptance.findings import Finding
from gateway.config.identity_files import write_private_identity, write_public_identity
from gateway.config.model import PlaneName
from gateway.crypto.identity import encode_private, encode_public, generate_identity
from gateway.dataplane.choose import PlaneOption
from gateway.errors import ConfigError
from gateway.keystore.master_key import create_master_key
from gateway.secret import Secret
from gateway.sources.simulated.seed import create_seed
from tests.ports import free_ports

TOML = """\
[gateway]
identity = "own.key"
control_group = "root"
listen = ["127.0.0.1:{port}"]
state_dir = "state"
[keystore]
path = "state/keys.db"
master_key = "master.key"
[links.alpha]
source = "simulated"
rate = 1.0
seed_file = "seed"
[tunnels.paris]
peer = "paris.pub"
endpoint = "192.0.2.1:51810"
link = "alpha"
psk = "psk"
remote_subnets = ["10.2.0.0/16"]
[tunnels.rome]
peer = "rome.pub"
qkd = "off"
role = "responder"
remote_subnets = ["10.3.0.0/16"]
"""


OLD_LIBOQS = 'const char *OQS_version(void) { return "0.12.0"; }'
"""All that is looked at of a liboqs that does not fit."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration in which everything is right."""
    own = generate_identity(1)
    write_private_identity(tmp_path / "own.key", encode_private(own))
    for name in ("paris", "rome"):
        write_public_identity(
            tmp_path / f"{name}.pub", encode_public(generate_identity(1).public)
        )
    create_master_key(tmp_path / "master.key")
    create_seed(tmp_path / "seed")
    (tmp_path / "psk").touch(mode=0o600)
    (tmp_path / "psk").write_bytes(base64.b64encode(bytes(32)))
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "gateway.toml").touch(mode=0o600)
    (tmp_path / "gateway.toml").write_text(TOML.format(port=free_ports(1)[0]))
    return tmp_path


def read(folder: Path) -> Candidate:
    return accept(folder / "gateway.toml", environ={})


def keys(candidate: Candidate) -> list[str]:
    return [finding.problem.key for finding in candidate.findings]


def test_all_is_right(folder: Path) -> None:
    candidate = read(folder)
    assert candidate.findings == ()
    assert set(candidate.tunnels) == {"paris", "rome"}
    candidate.refuse_any()
    candidate.refuse_general()


@pytest.mark.parametrize(
    ("name", "key", "reach"),
    [
        ("own.key", "gateway.identity", ("", "")),
        ("master.key", "keystore.master_key", ("", "")),
        ("seed", "links.alpha.seed_file", ("", "alpha")),
        ("paris.pub", "tunnels.paris.peer", ("paris", "")),
        ("psk", "tunnels.paris.psk", ("paris", "")),
    ],
)
def test_how_far_a_missing_file_reaches(
    folder: Path, name: str, key: str, reach: tuple[str, str]
) -> None:
    (folder / name).unlink()
    candidate = read(folder)
    (finding,) = candidate.findings
    assert (finding.problem.key, (finding.tunnel, finding.link)) == (key, reach)
    with pytest.raises(ConfigError):
        candidate.refuse_any()
    if any(reach):
        candidate.refuse_general()
        assert ("paris" in candidate.tunnels) is (reach[0] != "paris")
        assert "rome" in candidate.tunnels
    else:
        with pytest.raises(ConfigError):
            candidate.refuse_general()


def test_what_stood_before_is_no_reason_to_refuse(folder: Path) -> None:
    (folder / "paris.pub").unlink()
    before = read(folder)
    again = read(folder)
    again.refuse_any(before.findings)
    (folder / "rome.pub").unlink()
    with pytest.raises(ConfigError) as caught:
        read(folder).refuse_any(before.findings)
    assert [one.key for one in caught.value.problems] == ["tunnels.rome.peer"]


@pytest.mark.parametrize("provider", ["auto", "liboqs"])
def test_a_liboqs_that_does_not_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    """By itself it is passed over and told; asked for by name it is an error."""
    (folder / "lib").mkdir()
    code, library = folder / "old.c", folder / "lib" / "liboqs.so"
    code.write_text(OLD_LIBOQS)
    command = ("tcc", "-shared", "-o", str(library), str(code))
    subprocess.run(command, check=True)  # noqa: S603  # ours
    monkeypatch.setenv("OQS_INSTALL_PATH", str(folder))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    toml = folder / "gateway.toml"
    asked = f'[gateway]\nkem_provider = "{provider}"\n'
    toml.write_text(toml.read_text().replace("[gateway]\n", asked))
    candidate = read(folder)
    told = candidate.findings if provider == "liboqs" else candidate.warnings
    problem = told[0].problem if isinstance(told[0], Finding) else told[0]
    assert (problem.key, problem.line) == ("gateway.kem_provider", 2)
    assert f"{library} is version 0.12.0, 0.16 is needed" in problem.found
    if provider == "liboqs":
        assert 'kem_provider = "openssl"' in problem.found
    else:
        assert candidate.findings == ()
        assert problem.found.endswith("OpenSSL is used")


def _loosen(folder: Path) -> None:
    (folder / "state").chmod(0o755)


def _file_instead(folder: Path) -> None:
    (folder / "state").rmdir()
    (folder / "state").write_text("")


def _store_of_others(folder: Path) -> None:
    (folder / "state" / "keys.db").touch()
    (folder / "state" / "keys.db").chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (_loosen, "keystore.path"),
        (_file_instead, "gateway.state_dir"),
        (_store_of_others, "keystore.path"),
    ],
)
def test_places_of_which_the_daemon_could_make_no_use(
    folder: Path, spoil: Callable[[Path], None], key: str
) -> None:
    spoil(folder)
    candidate = read(folder)
    assert keys(candidate) == [key]
    assert candidate.findings[0].is_general


@pytest.mark.parametrize("mode", [0o770, 0o1777])
def test_a_socket_whose_name_others_could_take(folder: Path, mode: int) -> None:
    (folder / "run").mkdir()
    (folder / "run").chmod(mode)
    path = folder / "gateway.toml"
    socket = 'control_socket = "run/control.sock"'
    path.write_text(path.read_text().replace("[keystore]", f"{socket}\n[keystore]"))
    (finding,) = read(folder).findings
    assert finding.problem.key == "gateway.control_socket"
    assert finding.problem.expected == "a folder whose names nobody else can take"
    what = f"can write {folder}/run (owner {os.geteuid()}, mode {mode:04o})"
    assert what in finding.problem.found


def test_places_that_are_not_there_are_made(folder: Path) -> None:
    (folder / "state").rmdir()
    assert read(folder).findings == ()


def test_a_group_that_does_not_exist_is_a_warning(folder: Path) -> None:
    toml = folder / "gateway.toml"
    toml.write_text(toml.read_text().replace('"root"', '"no-such-group"'))
    candidate = read(folder)
    assert candidate.findings == ()
    (warning,) = candidate.warnings
    assert warning.key == "gateway.control_group"


ALL = {plane: PlaneOption(plane.value) for plane in PlaneName}


def test_a_plane_that_this_host_lacks_is_named_with_its_line(folder: Path) -> None:
    toml = folder / "gateway.toml"
    toml.write_text(toml.read_text() + 'plane = "esp"\n')
    lacking = PlaneOption("esp", "the kernel has no ESP", "load esp4")
    candidate = judge_host(read(folder), {**ALL, PlaneName.ESP: lacking}, None)
    (finding,) = candidate.findings
    assert finding.problem.key == "tunnels.rome.plane"
    assert finding.problem.found == "esp: the kernel has no ESP (load esp4)"
    assert finding.tunnel == "rome"


def test_planes_of_which_nothing_is_known_are_not_judged(folder: Path) -> None:
    assert judge_host(read(folder), {}, None).findings == ()


@pytest.mark.parametrize(
    ("best", "refused"), [("wireguard", ["tunnels.rome.peer"]), ("esp", [])]
)
def test_one_peer_of_two_tunnels_whose_plane_is_chosen_by_the_kernel(
    folder: Path, best: str, refused: list[str]
) -> None:
    (folder / "rome.pub").write_bytes((folder / "paris.pub").read_bytes())
    options = {PlaneName.AUTO: PlaneOption(best)}
    assert keys(judge_host(read(folder), options, None)) == refused


def test_ports_that_another_socket_has(folder: Path) -> None:
    candidate = read(folder)
    (endpoint,) = candidate.config.listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((endpoint.host, endpoint.port))
        assert keys(judge_host(candidate, ALL, None)) == ["gateway.listen"]
        # Our own sockets are nobody else's.
        assert keys(judge_host(candidate, ALL, candidate.config)) == []
    assert keys(judge_host(candidate, ALL, None)) == []


def test_devices_that_outlive_their_last_tunnel_are_ours(folder: Path) -> None:
    toml = folder / "gateway.toml"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.bind(("", 0))
        ports = f"wireguard_ports = [{device.getsockname()[1]}, {free_ports(1)[0]}]"
        toml.write_text(toml.read_text().replace("[keystore]", f"{ports}\n[keystore]"))
        candidate = read(folder)
        options = {PlaneName.AUTO: PlaneOption("wireguard-go")}
        before = replace(candidate.config, tunnels={})
        taken = ["gateway.wireguard_ports"]
        assert keys(judge_host(candidate, options, before)) == taken
        assert keys(judge_host(candidate, options, before, ("esp",))) == taken
        assert keys(judge_host(candidate, options, before, ("wireguard-go",))) == []


def test_an_address_that_is_not_here_yet_is_free(folder: Path) -> None:
    toml = folder / "gateway.toml"
    toml.write_text(toml.read_text().replace("127.0.0.1:", "203.0.113.9:"))
    assert judge_host(read(folder), ALL, None).findings == ()


def test_contents_tell_secrets_apart_and_nothing_of_them() -> None:
    secret = os.urandom(32)
    content = content_of_secret(Secret(secret))
    assert content == content_of_secret(Secret(secret))
    assert content != content_of_secret(Secret(os.urandom(32)))
    assert secret.hex() not in repr(content)
    assert content.shown == ""


def test_changed_contents(folder: Path) -> None:
    before = read(folder).contents
    assert changed_contents(before, read(folder).contents) == frozenset()
    (folder / "psk").write_bytes(base64.b64encode(os.urandom(32)))
    (folder / "paris.pub").unlink()
    write_public_identity(
        folder / "paris.pub", encode_public(generate_identity(1).public)
    )
    after = read(folder).contents
    paris = ("tunnels", "paris")
    assert changed_contents(before, after) == {(*paris, "peer"), (*paris, "psk")}
    told = describe_content(before[*paris, "peer"], after[*paris, "peer"])
    assert told == f"{before[*paris, 'peer'].shown} -> {after[*paris, 'peer'].shown}"
    assert describe_content(before[*paris, "psk"], after[*paris, "psk"]) == ""
