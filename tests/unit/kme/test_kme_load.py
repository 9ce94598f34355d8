"""A KME's configuration: defaults, and every problem at once with its line."""

import re
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.kme.load import load_settings
from gateway.kme.settings import End, KMESettings, SAESettings

CONFIGS = Path(__file__).parents[3] / "configs"
GOOD = """
[kme]
id = "kme-a"
certificate = "kme.pem"
private_key = "kme.key"
ca = "ca.pem"
[peer]
id = "kme-b"
url = "https://192.0.2.1:8443"
[link]
end = "alice"
seed_file = "link.seed"
[saes.gw-a]
slaves = ["gw-b"]
"""


def load(tmp_path: Path, text: str) -> KMESettings:
    path = tmp_path / "kme.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load_settings(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert "qgw-kme check" in caught.value.hint
    return [f"{each.line}: {each.key}: {each.found}" for each in caught.value.problems]


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert (settings.host, settings.port) == ("0.0.0.0", 8443)  # noqa: S104
    assert settings.certificate == tmp_path / "kme.pem"
    assert settings.pool == Path("/var/lib/qgw-kme/pool.db")
    assert settings.link.model == "fibre"
    assert settings.saes == {"gw-a": SAESettings(slaves=frozenset({"gw-b"}))}
    assert (settings.key_size, settings.max_key_per_request) == (256, 128)


def test_examples_fit_each_other(tmp_path: Path) -> None:
    texts = {name: (CONFIGS / f"kme-{name}.toml").read_text() for name in End}
    alice, bob = (load(tmp_path, texts[name]) for name in (End.ALICE, End.BOB))
    assert (alice.link.end, bob.link.end) == (End.ALICE, End.BOB)
    assert (alice.peer.kme_id, bob.peer.kme_id) == (bob.kme_id, alice.kme_id)
    for here, there in ((alice, bob), (bob, alice)):
        for sae_id, sae in here.saes.items():
            assert sae.slaves == sae.masters == there.saes.keys()
            assert all(sae_id in there.saes[other].masters for other in sae.slaves)
    assert alice.link.parameters == {"preset": "redu-luxembourg", "length_km": 80.0}


def test_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    text = (CONFIGS / "kme-alice.toml").read_text()
    written_out = re.sub(r"(?m)^# (\[log\]|[a-z_]+ = )", r"\1", text)
    assert written_out.count("# ") < text.count("# ")
    assert load(tmp_path, written_out) == load(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('id = "kme-a"', "", "2: kme.id: nothing"),
        ('id = "kme-a"', "id = 7", "3: kme.id: 7"),
        ('id = "kme-a"', f'id = "{"x" * 300}"', "3: kme.id: "),
        ('id = "kme-a"', 'id = "kme-b"', "3: kme.id: 'kme-b'"),
        ('id = "kme-a"', 'id = "gw-a"', "3: kme.id: 'gw-a'"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nkey_size = 60', "7: kme.key_size: 60"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nkey_size = 257', "7: kme.key_size: 257"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nmax_key_count = 0', "7: kme.max_key_count"),
        (
            'ca = "ca.pem"',
            'ca = "ca.pem"\nmax_key_per_request = 1025',
            "7: kme.max_key_per_request",
        ),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nkey_sizes = 1', "7: kme.key_sizes"),
        ("192.0.2.1:8443", "a:8443/path", "9: peer.url"),
        ("192.0.2.1:8443", "user:secret@a", "9: peer.url: (something else)"),
        ("192.0.2.1:8443", "a:99999", "9: peer.url"),
        ("192.0.2.1:8443", "[fe80::1]:8443", "9: peer.url: 'https://[fe80::1]:8443'"),
        ("192.0.2.1:8443", "[fe80::1%25eth0]:8443", "9: peer.url: "),
        ("https://192.0.2.1:8443", "http://a", "9: peer.url"),
        ('end = "alice"', 'end = "carol"', "11: link.end: 'carol'"),
        ('"link.seed"', '"link.seed"\nmodel = "magic"', "13: link.model: 'magic'"),
        ('"link.seed"', '"link.seed"\npreset = "x"', "13: link.preset: 'x'"),
        ('"link.seed"', '"link.seed"\nrate = 5', "13: link.rate"),
        ('"link.seed"', '"link.seed"\nlength_km = -1', "13: link.length_km: -1"),
        ('["gw-b"]', '["gw-b", "gw-b"]', "14: saes.gw-a.slaves[1]"),
        ('["gw-b"]', '["gw-a"]', "13: saes.gw-a: itself"),
        ('slaves = ["gw-b"]', "", "saes.gw-a.slaves: none"),
        ('slaves = ["gw-b"]', 'slave = ["gw-b"]', "14: saes.gw-a.slave: "),
        ('[saes.gw-a]\nslaves = ["gw-b"]', "", "saes: none"),
        ('["gw-b"]', '["gw-b"]\n[saes.gw-b]\nslaves = ["gw-a"]', "at this one"),
        ("[peer]", "[extra]\nx = 1\n[peer]", "extra: "),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(problem in each for each in found), found


def test_everything_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("alice", "x").replace("https", "ftp").replace('"gw-b"', "1")
    assert len(problems(tmp_path, text)) == 3


@pytest.mark.parametrize(
    "listen", ["192.0.2.1", "host:1", "1.2.3.4:0", "[::1]", "a", 1]
)
def test_listen(tmp_path: Path, listen: object) -> None:
    value = f'"{listen}"' if isinstance(listen, str) else listen
    text = GOOD.replace("[peer]", f"listen = {value}\n[peer]")
    assert any("kme.listen" in each for each in problems(tmp_path, text))
    assert load(
        tmp_path, GOOD.replace("[peer]", 'listen = "[::1]:9"\n[peer]')
    ).host == ("::1")


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    text = GOOD.replace('"link.seed"', '"' + "ab" * 32 + '"')
    assert problems(tmp_path, text) == ["12: link.seed_file: (hidden)"]


def test_a_file_that_others_can_write(tmp_path: Path) -> None:
    path = tmp_path / "kme.toml"
    path.write_text(GOOD)
    path.chmod(0o666)
    with pytest.raises(ConfigError):
        load_settings(path)
