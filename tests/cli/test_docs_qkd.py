"""docs/qkd.md names every key, fault and reason there is, and what it shows works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config.kme_tables import MAX_BATCH, MAX_TIMEOUT, MAX_URLS
from gateway.config.load import load_config
from gateway.config.model import KMEConfig, LinkConfig, LinkSource
from gateway.errors import SourceFault
from gateway.keystore.base import REFUSAL_REASONS
from gateway.sources.base import Delivery
from gateway.sources.diagnosis.findings import Step
from tests.cli.conftest import qgw

PAGE = (Path(__file__).parents[2] / "docs" / "qkd.md").read_text()


def section(title: str) -> str:
    """Return what stands under a heading."""
    _, found, rest = PAGE.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def named(text: str) -> set[str]:
    """Return what the first cells of tables name."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def run(command: list[str], folder: Path) -> None:
    subprocess.run(  # noqa: S603  # our own page's commands
        command, cwd=folder, check=True, capture_output=True
    )


def toml() -> str:
    (found,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_every_fault_is_explained() -> None:
    faults, _, _ = section("What each error means").partition("| reason |")
    assert named(faults) == {fault.value for fault in SourceFault}


def test_every_step_of_the_test_is_explained_in_order() -> None:
    table = section("What `qgw qkd test` does")
    told = re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)
    assert told == [step.value for step in Step]


def test_every_reason_of_a_refusal_is_explained() -> None:
    _, _, reasons = section("What each error means").partition("| reason |")
    by_clients = set(re.findall(r"``([a-z-]+)``", f"{Delivery.__doc__}"))
    assert "unasked" in by_clients
    assert named(reasons) == REFUSAL_REASONS | by_clients | {"differs"}


def test_every_key_of_a_link_is_explained_with_its_default(tmp_path: Path) -> None:
    table = section("The keys of a link")
    fields = set(KMEConfig.__dataclass_fields__) | set(LinkConfig.__dataclass_fields__)
    fields -= {"name", "rate", "seed_file", "urls"}  # of other sources; `kme` is it
    fields -= {"route", "checked"}  # of relayed keys and pads: docs/network.md
    fields ^= {"kme_ids", "kme_id"}  # one is usual: the key is in the singular
    assert named(table) == fields
    defaults = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE))
    path = tmp_path / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text('[gateway]\nidentity = "i"\n' + toml())
    link = load_config(path).links["fibre"]
    told = {
        name: getattr(link.kme if hasattr(link.kme, name) else link, name)
        for name in defaults
    }
    assert {name: float(value) for name, value in defaults.items()} == told
    assert len(defaults) == 6
    assert f"1 to {MAX_BATCH:,}" in table
    assert f"0.5 to {MAX_TIMEOUT:g}" in table
    assert f"up to {MAX_URLS}" in table


def test_the_example_is_of_this_kind(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text('[gateway]\nidentity = "i"\n' + toml())
    config = load_config(path)
    link = config.links["fibre"]
    assert link.source is LinkSource.ETSI014
    assert link.kme is not None
    assert link.kme.private_key == tmp_path / "kme" / "site-a.key"
    assert config.tunnels["a-b"].link == "fibre"


def test_the_request_for_a_certificate_is_one(tmp_path: Path) -> None:
    """Runs the commands of step 2, signs the request, and checks the files."""
    if shutil.which("openssl") is None:
        pytest.fail("needs the program openssl (package openssl)")
    (block,) = re.findall(
        r"^    mkdir -p (\S+) && cd \S+\n    \((.*?)\)$", PAGE, re.M | re.S
    )
    folder = tmp_path / "kme"
    folder.mkdir()
    assert block[0] == "/etc/qgw/kme"
    run(["/bin/sh", "-ec", block[1]], folder)
    assert (folder / "site-a.key").stat().st_mode & 0o777 == 0o600
    new_ca = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca"
    sign = "x509 -req -in site-a.csr -CA ca.pem -CAkey ca.key -out site-a.pem"
    for arguments in (new_ca, sign):
        command = ["openssl", *arguments.split(), "-days", "60"]
        run(command, folder)
    assert (
        qgw(
            "identity",
            "new",
            "--private",
            str(tmp_path / "i"),
            "--public",
            str(tmp_path / "i.pub"),
        ).code
        == 0
    )
    path = tmp_path / "gateway.toml"
    path.touch(mode=0o600)
    link, _, _ = toml().partition("[tunnels")
    path.write_text('[gateway]\nidentity = "i"\ncontrol_group = "root"\n' + link)
    result = qgw("config", "check", "--config", str(path))
    assert (result.code, result.err) == (0, "")
