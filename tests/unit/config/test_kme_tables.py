"""The keys of a link whose keys come from a KME: each one, and each refusal."""

from pathlib import Path

import pytest

from gateway.config.kme_tables import MAX_BATCH, MAX_REQUESTS, MAX_TIMEOUT, MAX_URLS
from gateway.config.load import load_config
from gateway.config.model import GatewayConfig, KMEConfig, LinkConfig, LinkSource
from gateway.errors import ConfigError, ConfigProblem

ETSI = {
    "source": '"etsi014"',
    "kme": '"https://kme.example.org"',
    "sae_id": '"site-a"',
    "peer_sae_id": '"site-b"',
    "ca": '"ca.pem"',
    "certificate": '"/etc/own.pem"',
    "private_key": '"own.key"',
}
SKIP = {key: value for key, value in ETSI.items() if key != "sae_id"} | {
    "source": '"skip"'
}
SKIP_PSK = {
    "source": '"skip"',
    "kme": '"https://kme.example.org"',
    "peer_sae_id": '"site-b"',
    "psk_identity": '"site a"',
    "psk_file": '"tls.psk"',
}


def load(folder: Path, keys: dict[str, str]) -> GatewayConfig:
    path = folder / "gateway.toml"
    lines = [f"{key} = {value}" for key, value in keys.items()]
    path.write_text('[gateway]\nidentity = "i"\n[links.a]\n' + "\n".join(lines) + "\n")
    path.chmod(0o600)
    return load_config(path)


def link_of(folder: Path, keys: dict[str, str]) -> LinkConfig:
    return load(folder, keys).links["a"]


def problems_of(folder: Path, keys: dict[str, str]) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        load(folder, keys)
    return list(caught.value.problems)


def only_problem(folder: Path, keys: dict[str, str]) -> ConfigProblem:
    found = problems_of(folder, keys)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def test_the_least_for_etsi014(tmp_path: Path) -> None:
    link = link_of(tmp_path, ETSI)
    assert link.source is LinkSource.ETSI014
    assert link.kme == KMEConfig(
        urls=("https://kme.example.org",),
        sae_id="site-a",
        peer_sae_id="site-b",
        ca=tmp_path / "ca.pem",
        certificate=Path("/etc/own.pem"),
        private_key=tmp_path / "own.key",
        psk_identity=None,
        psk_file=None,
        timeout=10.0,
        batch=64,
        requests_per_minute=120.0,
    )
    assert (link.low_water, link.target, link.capacity) == (20, 1_000, 10_000)


def test_everything_for_etsi014(tmp_path: Path) -> None:
    link = link_of(
        tmp_path,
        ETSI
        | {
            "kme": '["https://a.example.org:8443/", "https://[2001:db8::1]/qkd/"]',
            "timeout": "2.5",
            "batch": "7",
            "requests_per_minute": "30",
            "target": "50",
            "low_water": "5",
            "capacity": "60",
            "key_lifetime": "3600",
        },
    )
    kme = link.kme
    assert kme is not None
    assert kme.urls == ("https://a.example.org:8443", "https://[2001:db8::1]/qkd")
    assert (kme.timeout, kme.batch, kme.requests_per_minute) == (2.5, 7, 30.0)
    assert (link.low_water, link.target, link.capacity) == (5, 50, 60)
    assert link.key_lifetime == 3600.0


def test_skip_with_certificates_or_a_psk(tmp_path: Path) -> None:
    by_certificate = link_of(tmp_path, SKIP).kme
    assert by_certificate is not None
    assert by_certificate.sae_id == ""
    assert by_certificate.psk_file is None
    by_psk = link_of(tmp_path, SKIP_PSK).kme
    assert by_psk is not None
    assert by_psk.psk_identity == "site a"
    assert by_psk.psk_file == tmp_path / "tls.psk"
    assert by_psk.certificate is None


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        (ETSI, ["kme", "sae_id", "peer_sae_id", "ca", "certificate", "private_key"]),
        (SKIP, ["kme", "peer_sae_id", "ca", "certificate", "private_key"]),
        (SKIP_PSK, ["kme", "peer_sae_id", "psk_file"]),
    ],
    ids=["etsi014", "skip", "skip-psk"],
)
def test_every_missing_key_is_said_at_once(
    tmp_path: Path, keys: dict[str, str], missing: list[str]
) -> None:
    left = {key: value for key, value in keys.items() if key not in missing}
    found = problems_of(tmp_path, left)
    assert sorted(problem.key for problem in found) == sorted(
        f"links.a.{key}" for key in missing
    )
    source = keys["source"]
    assert {problem.expected for problem in found} == {
        f"a value, since source is {source}"
    }
    assert {problem.found for problem in found} == {"nothing"}


@pytest.mark.parametrize("key", [*list(ETSI)[1:], "psk_identity", "psk_file"])
def test_other_sources_take_no_kme(tmp_path: Path, key: str) -> None:
    value = (ETSI | SKIP_PSK)[key]
    problem = only_problem(tmp_path, {"source": '"file"', key: value})
    assert (problem.key, problem.line) == (f"links.a.{key}", 5)
    assert problem.expected == 'no such key unless source is "etsi014" or "skip"'


@pytest.mark.parametrize("key", ["timeout", "batch", "requests_per_minute"])
def test_nor_how_to_ask_one(tmp_path: Path, key: str) -> None:
    simulated = {"source": '"simulated"', "rate": "1", "seed_file": '"seed"'}
    problem = only_problem(tmp_path, simulated | {key: "5"})
    assert problem.key == f"links.a.{key}"


@pytest.mark.parametrize("key", ["psk_identity", "psk_file"])
def test_etsi014_knows_no_psk(tmp_path: Path, key: str) -> None:
    problem = only_problem(tmp_path, ETSI | {key: '"x"'})
    assert problem.key == f"links.a.{key}"
    assert problem.expected == 'no such key unless source is "skip"'


@pytest.mark.parametrize("key", ["rate", "seed_file"])
def test_a_kme_is_not_simulated(tmp_path: Path, key: str) -> None:
    value = {"rate": "1.0", "seed_file": '"seed"'}[key]
    problem = only_problem(tmp_path, ETSI | {key: value})
    assert problem.key == f"links.a.{key}"
    assert problem.expected == 'no such key unless source is "simulated"'


def test_an_unknown_source_is_the_only_problem(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, ETSI | {"source": '"etsi14"'})
    assert problem.key == "links.a.source"
    assert problem.expected == "one of file, simulated, etsi014, skip, relay"


def test_a_misspelt_key_is_recognised(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, ETSI | {"certifcate": '"x"'})
    assert problem.expected == "a known key (did you mean certificate?)"


@pytest.mark.parametrize(
    "url",
    [
        "http://kme.example.org",
        "kme.example.org",
        "https://",
        "https://kme.example.org:0",
        "https://kme.example.org:65536",
        "https://kme.example.org:x",
        "https://[2001:db8::1",
        "https://kme.example.org/?key=1",
        "https://kme.example.org/#top",
        "ftp://kme.example.org",
        "https://kme.example.org/\\u001b[2J",
    ],
)
def test_what_is_no_url_of_a_kme(tmp_path: Path, url: str) -> None:
    problem = only_problem(tmp_path, ETSI | {"kme": f'"{url}"'})
    assert problem.key == "links.a.kme"
    expected = "a string" if "u001b" in url else 'a URL like "https://kme.example:443"'
    assert problem.expected == expected
    listed = only_problem(
        tmp_path, ETSI | {"kme": f'["https://a.example.org", "{url}"]'}
    )
    assert listed.key == "links.a.kme[1]"


@pytest.mark.parametrize("user", ["user:hunter2", "hunter2", ":hunter2"])
def test_a_password_in_a_url_is_not_repeated(tmp_path: Path, user: str) -> None:
    url = f'"https://{user}@kme.example.org"'
    for value in (url, f"[{url}]"):
        problem = only_problem(tmp_path, ETSI | {"kme": value})
        assert problem.found == "one with a user name or password (hidden)"
        assert "hunter2" not in str(problem)


@pytest.mark.parametrize("rest", [":99999", ":x", "/\\u001b", "/?a=1", "[", " "])
def test_nor_where_more_is_wrong(tmp_path: Path, rest: str) -> None:
    url = f'"https://user:hunter2@kme.example.org{rest}"'
    assert "hunter2" not in str(only_problem(tmp_path, ETSI | {"kme": url}))


@pytest.mark.parametrize(
    "urls",
    [
        ["https://a.example.org", "https://a.example.org"],
        ["https://a.example.org", "https://a.example.org/"],
    ],
)
def test_each_kme_once(tmp_path: Path, urls: list[str]) -> None:
    value = "[" + ", ".join(f'"{url}"' for url in urls) + "]"
    problem = only_problem(tmp_path, ETSI | {"kme": value})
    assert problem.key.startswith("links.a.kme")
    assert problem.expected == "each element once"


def test_how_many_kmes(tmp_path: Path) -> None:
    def urls(count: int) -> str:
        return "[" + ", ".join(f'"https://{n}.example.org"' for n in range(count)) + "]"

    kme = link_of(tmp_path, ETSI | {"kme": urls(MAX_URLS)}).kme
    assert kme is not None
    assert len(kme.urls) == MAX_URLS
    for count in (0, MAX_URLS + 1):
        problem = only_problem(tmp_path, ETSI | {"kme": urls(count)})
        assert (problem.expected, problem.found) == (
            f"1 to {MAX_URLS} URLs",
            str(count),
        )


@pytest.mark.parametrize("key", ["sae_id", "peer_sae_id"])
@pytest.mark.parametrize("value", ["a b", "a\\tb", "caf\\u00e9", "x" * 129, ""])
def test_what_is_no_sae_id(tmp_path: Path, key: str, value: str) -> None:
    problem = only_problem(tmp_path, ETSI | {key: f'"{value}"'})
    assert problem.key == f"links.a.{key}"


@pytest.mark.parametrize("value", ["x" * 128, "urn:uuid:1/2?3#4%5", "!~"])
def test_what_is_one(tmp_path: Path, value: str) -> None:
    kme = link_of(tmp_path, ETSI | {"peer_sae_id": f'"{value}"'}).kme
    assert kme is not None
    assert kme.peer_sae_id == value


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("timeout", ["0.5", f"{MAX_TIMEOUT}"], ["0.4", "120.1", "nan", '"1"', "true"]),
        ("batch", ["1", f"{MAX_BATCH}"], ["0", "1025", "1.0", "-1"]),
        (
            "requests_per_minute",
            ["1", f"{MAX_REQUESTS}"],
            ["0.9", "60001", "inf", "[]"],
        ),
    ],
)
def test_bounds(tmp_path: Path, key: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        kme = link_of(tmp_path, ETSI | {key: value}).kme
        assert getattr(kme, key) == float(value)
    for value in bad:
        problem = only_problem(tmp_path, ETSI | {key: value})
        assert problem.key == f"links.a.{key}"


@pytest.mark.parametrize(
    ("stock", "key"),
    [
        ({"low_water": "30", "target": "20"}, "target"),
        ({"target": "50", "capacity": "40"}, "target"),
        ({"capacity": "10"}, "capacity"),
    ],
)
def test_marks_in_order(tmp_path: Path, stock: dict[str, str], key: str) -> None:
    problem = only_problem(tmp_path, ETSI | stock)
    assert problem.key == f"links.a.{key}"
    assert problem.expected == "low_water <= target <= capacity"


@pytest.mark.parametrize("key", ["private_key", "psk_file"])
@pytest.mark.parametrize(
    "secret", ["abcdef0123456789" * 4, "-----BEGIN PRIVATE KEY-----\\nMC4CAQ=="]
)
def test_a_secret_in_the_place_of_its_file_is_not_repeated(
    tmp_path: Path, key: str, secret: str
) -> None:
    keys = ETSI if key == "private_key" else SKIP_PSK
    problem = only_problem(tmp_path, keys | {key: f'"{secret}"'})
    assert (problem.key, problem.found) == (f"links.a.{key}", "(hidden)")
    assert secret not in str(problem)


@pytest.mark.parametrize(
    "host", ["[fe80::1%25eth0]", "[fe80::1]", "[FEBF:ffff::1]", "[fe80:0::192.0.2.1]"]
)
def test_a_link_local_address_is_refused_with_the_reason(
    tmp_path: Path, host: str
) -> None:
    problem = only_problem(tmp_path, ETSI | {"kme": f'"https://{host}:8443"'})
    assert problem.key == "links.a.kme"
    assert "cannot be reached without a zone" in problem.expected
    assert "with a zone cannot stand in a certificate" in problem.expected


@pytest.mark.parametrize("host", ["[2001:db8::fe80]", "[fec0::1]", "169.254.7.7"])
def test_other_addresses_are_kmes(tmp_path: Path, host: str) -> None:
    kme = link_of(tmp_path, ETSI | {"kme": f'"https://{host}:8443"'}).kme
    assert kme is not None
    assert kme.urls == (f"https://{host}:8443",)


@pytest.mark.parametrize(
    ("value", "ids"), [('"kme-a"', ("kme-a",)), ('["a", "b"]', ("a", "b"))]
)
def test_kme_ids(tmp_path: Path, value: str, ids: tuple[str, ...]) -> None:
    kme = link_of(tmp_path, ETSI | {"kme_id": value}).kme
    assert kme is not None
    assert kme.kme_ids == ids
