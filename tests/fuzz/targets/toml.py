"""Every TOML file that an operator writes: gateway, KME and plan."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from gateway.config.diff import compare_configs
from gateway.config.load import load_config
from gateway.config.toml_text import TOMLFaultError, parse_toml
from gateway.errors import ConfigError
from gateway.kme.load import load_settings
from gateway.planner.load import load_plan
from gateway.planner.space.orbit import SYNTHETIC_EPOCH
from tests.fuzz.target import Target, scratch
from tests.unit.config.test_toml_lines import paths_of

ROOT = Path(__file__).parents[3]


def read_values(data: bytes) -> None:
    """Insist that values have lines, and that faults have some of the text's."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        document, lines = parse_toml(text)
    except TOMLFaultError as fault:
        assert 0 <= fault.line <= text.count("\n") + 1
        return
    assert document == tomllib.loads(text) or "nan" in text
    assert set(lines) == set(paths_of(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def read_gateway(path: Path) -> None:
    config = load_config(path)
    # One that is read is equal to itself, so that a reload changes nothing.
    difference = compare_configs(config, load_config(path))
    assert not difference.changed
    assert not difference.restart
    assert not difference.links_changed


def read_kme(path: Path) -> None:
    assert load_settings(path) == load_settings(path)


def read_plan(path: Path) -> None:
    load_plan(path, SYNTHETIC_EPOCH)


READERS = {b"G": read_gateway, b"K": read_kme, b"P": read_plan}


def run(data: bytes) -> None:
    """Insist on a configuration, or on problems that name the file and one line."""
    read_values(data[1:])
    path = scratch() / "gateway.toml"
    path.write_bytes(data[1:])
    path.chmod(0o600)
    last = data.count(b"\n") + data.count(b"\r") + 1
    try:
        READERS.get(data[:1], read_gateway)(path)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.file.startswith(str(path.parent))
            assert 0 <= problem.line <= last
            assert problem.expected
            assert problem.found
            assert len(str(problem)) < 4096 + len(data)


def seeds() -> Iterator[bytes]:
    configs = ROOT / "configs"
    plans = sorted(configs.glob("plan*.toml"))
    kmes = sorted(configs.glob("kme*.toml"))
    for path in sorted(configs.rglob("*.toml")):
        kind = b"P" if path in plans else b"K" if path in kmes else b"G"
        yield kind + path.read_bytes()[:MAX_SIZE]
    yield b"G" + (ROOT / "tests/unit/config/every_kind.toml").read_bytes()[:MAX_SIZE]
    yield b"Ga = 99999999999999999999\nb = [1, [2, {c = 3}]]\n"
    yield b'G[tunnels.a-b]\nrotation_interval = 1e3\naddresses = ["10.0.0.1/30"]\n'


MAX_SIZE = 4096

TARGET = Target(
    "every TOML file: problems with file and line, or a configuration equal to itself",
    run,
    seeds,
    MAX_SIZE,
    (
        *(b"[gateway]\n", b"[tunnels.a]\n", b"[links.a]\n", b"[relay]\n", b"[[a]]\n"),
        *(b'identity = "x"\n', b'peer = "x"\n', b'endpoint = "192.0.2.1:5"\n'),
        *(b'source = "etsi014"\n', b'qkd = "required"\n', b'plane = "esp"\n'),
        *(b'kme = "https://[::1]:1"\n', b"9" * 20, b"1e400", b"nan", b"-inf"),
        *(b'remote_subnets = ["::/0"]\n', b"1979-05-27T07:32:00Z", b'"""', b"'''"),
        *(b"\\\\u0000", b"\\\\UFFFFFFFF", b"{", b"}", b"[", b"]", b"\r\n", b"= 0x"),
    ),
)
