"""``qgw config check`` of the files with which KMEs are spoken to."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, qgw
from tests.unit.sources.certificates import Authority, Files

CONFIG = """\
[gateway]
identity = "own.key"
control_group = "root"
[links.fibre]
source = "etsi014"
kme = "https://kme.example.org"
sae_id = "site-a"
peer_sae_id = "site-b"
ca = "pki/ca.pem"
certificate = "pki/site-a.pem"
private_key = "pki/site-a.key"
"""
CA, CERTIFICATE, KEY = 9, 10, 11
"""Lines of the keys."""


class Site:
    """A gateway's folder in which everything is right, until a test spoils it."""

    def __init__(self, folder: Path) -> None:
        key, pub = str(folder / "own.key"), str(folder / "own.pub")
        assert qgw("identity", "new", "--private", key, "--public", pub).code == 0
        self.toml = folder / "gateway.toml"
        self.authority = Authority(folder / "pki")
        self.ours = self.authority.client("site-a")
        self.write(CONFIG)

    def write(self, text: str) -> None:
        self.toml.touch(mode=0o600)
        self.toml.write_text(text)

    def check(self, *extra: str) -> Outcome:
        return qgw("config", "check", "--config", str(self.toml), *extra)

    def only_problem(self) -> str:
        result = self.check()
        assert (result.code, result.out) == (1, ""), result.err
        first, *rest = result.err.splitlines()
        assert rest == [
            "qgw: 1 problem in the configuration (checked as root)",
            "hint: correct them and run: qgw config check",
        ]
        return first


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def place(site: Site, line: int, key: str) -> str:
    return f"{site.toml}:{line}: links.fibre.{key}: expected "


def test_right_files_are_said_to_be(site: Site) -> None:
    result = site.check()
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"{site.toml}: 0 tunnels in 1 file: no problems (checked as root)\n"
    )


@pytest.mark.parametrize(
    ("name", "line", "key", "expected"),
    [
        ("ca.pem", CA, "ca", "a PEM file of CAs"),
        ("site-a.pem", CERTIFICATE, "certificate", "a certificate in PEM form"),
        (
            "site-a.key",
            KEY,
            "private_key",
            "the private key of certificate, mode 0600",
        ),
    ],
)
def test_a_missing_file_is_named_with_its_line(
    site: Site, name: str, line: int, key: str, expected: str
) -> None:
    path = site.toml.parent / "pki" / name
    path.unlink()
    assert site.only_problem() == (
        f"{place(site, line, key)}{expected}, found cannot read {path}: no such file "
        "or directory (check the path and who may use it)"
    )


@pytest.mark.parametrize(
    ("name", "line", "key", "said"),
    [
        ("ca.pem", CA, "ca", "holds no certificate in PEM form"),
        ("site-a.pem", CERTIFICATE, "certificate", "holds no certificate in PEM form"),
        ("site-a.key", KEY, "private_key", "holds no private key in PEM form"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [b"", b"c2VjcmV0", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"],
)
def test_garbage_is_told_and_not_repeated(
    site: Site, name: str, line: int, key: str, said: str, content: bytes
) -> None:
    path = site.toml.parent / "pki" / name
    path.write_bytes(content)
    problem = site.only_problem()
    assert problem.startswith(place(site, line, key))
    assert f"found {path} {said}" in problem
    assert "c2VjcmV0" not in problem


def test_a_private_key_that_others_may_read(site: Site) -> None:
    site.ours.private_key.chmod(0o640)
    problem = site.only_problem()
    assert problem.startswith(place(site, KEY, "private_key"))
    assert f"found {site.ours.private_key} is open to others (mode 0640)" in problem


@pytest.mark.parametrize(
    ("name", "key"), [("ca.pem", "ca"), ("site-a.pem", "certificate")]
)
def test_what_others_may_write_decides_nothing(site: Site, name: str, key: str) -> None:
    path = site.toml.parent / "pki" / name
    path.chmod(0o666)
    problem = site.only_problem()
    assert f"links.fibre.{key}: " in problem
    assert f"{path} is writable by others (mode 0666)" in problem


def test_a_key_of_another_certificate(site: Site) -> None:
    other = site.authority.client("other")
    site.ours.private_key.write_bytes(other.private_key.read_bytes())
    assert site.only_problem() == (
        f"{place(site, KEY, 'private_key')}the private key of certificate, mode 0600, "
        f"found {site.ours.private_key} is not the private key of "
        f"{site.ours.certificate} (the key was renewed without the certificate, or the "
        "other way round)"
    )


def date(when: datetime) -> str:
    return f"{when:%Y-%m-%d}"


def test_a_certificate_that_has_ended(site: Site) -> None:
    site.authority.client("site-a", end=timedelta(days=-2))
    day = date(datetime.now(UTC) - timedelta(days=2))
    problem = site.only_problem()
    assert problem.startswith(
        f"{place(site, CERTIFICATE, 'certificate')}a certificate valid now, found one "
        f"that ended on {day} "
    )


def test_a_certificate_that_has_not_begun(site: Site) -> None:
    begins = timedelta(days=2)
    made: Files = site.authority.server("site-a", start=begins)
    assert made == site.ours
    assert site.only_problem().startswith(
        f"{place(site, CERTIFICATE, 'certificate')}a certificate valid now, found one "
        f"that begins on {date(datetime.now(UTC) + begins)} "
    )


def test_a_certificate_that_ends_soon_is_a_warning(site: Site) -> None:
    left = timedelta(days=29, hours=12)
    site.authority.client("site-a", end=left)
    result = site.check()
    assert result.code == 0
    assert result.out == (
        f"{site.toml}: 0 tunnels in 1 file: no problems (checked as root)\n"
    )
    warning = (
        "a certificate valid for 30 days more, found one that ends on "
        f"{date(datetime.now(UTC) + left)} "
    )
    assert result.err.startswith(
        f"warning: {place(site, CERTIFICATE, 'certificate')}{warning}"
    )
    report = json.loads(site.check("--json").out)
    assert (report["ok"], report["problems"]) == (True, [])
    (found,) = report["warnings"]
    assert (found["line"], found["key"]) == (CERTIFICATE, "links.fibre.certificate")
    site.authority.client("site-a", end=timedelta(days=31))
    assert site.check().err == ""


def test_every_link_is_tried(site: Site) -> None:
    second = CONFIG[CONFIG.index("[links") :].replace("links.fibre", "links.sat")
    site.write(CONFIG + second.replace("site-a.pem", "absent.pem"))
    assert f"{site.toml}:18: links.sat.certificate: " in site.only_problem()


PSK = """\
[gateway]
identity = "own.key"
control_group = "root"
[links.fibre]
source = "skip"
kme = "https://kme.example.org"
peer_sae_id = "site-b"
psk_identity = "site-a"
psk_file = "tls.psk"
"""


def test_a_psk_file(site: Site) -> None:
    site.write(PSK)
    path = site.toml.parent / "tls.psk"
    path.touch(mode=0o600)
    path.write_text("secret\n")
    problem = site.only_problem()
    assert problem.startswith(
        f"{place(site, 9, 'psk_file')}a TLS-PSK file, found {path} holds no TLS-PSK ("
    )
    assert "secret" not in problem
    path.write_text("ab" * 32)
    path.chmod(0o644)
    assert f"found {path} is open to others (mode 0644)" in site.only_problem()


def test_a_psk_needs_a_python_that_has_them(site: Site) -> None:
    site.write(PSK)
    path = site.toml.parent / "tls.psk"
    path.touch(mode=0o600)
    path.write_text("ab" * 32)
    if sys.version_info >= (3, 13):
        assert site.check().code == 0
    else:
        assert site.only_problem().startswith(
            f"{place(site, 9, 'psk_file')}what TLS can use, found this Python has no "
            "TLS-PSK ("
        )
