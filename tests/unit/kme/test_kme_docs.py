"""docs/kme.md names every command; its steps are run, and the gateway's table loads."""

import os
import re
import stat
import subprocess
import tomllib
from http import HTTPStatus
from pathlib import Path

import click

from gateway.config.load import load_config
from gateway.config.model import LinkSource
from gateway.kme import refusals
from gateway.kme.laboratory import DEFAULT_PORT
from gateway.kme.load import load_settings
from gateway.kme.main import root
from gateway.kme.settings import End
from tests.unit.kme.test_kme_program import kme

PAGE = (Path(__file__).parents[3] / "docs" / "kme.md").read_text()


def test_every_command_is_named() -> None:
    named = set(re.findall(r"(?:^    |`)qgw-kme ([a-z]+)", PAGE, re.MULTILINE))
    assert named == set(root.commands)
    assert all(isinstance(each, click.Command) for each in root.commands.values())


def test_every_message_is_explained() -> None:
    messages = {
        refusals.BAD_REQUEST,
        refusals.SIZE_NOT_OCTETS,
        refusals.MANDATORY_UNSUPPORTED,
        refusals.KEYS_NOT_FOUND,
    }
    for message in messages:
        assert f'| {HTTPStatus.BAD_REQUEST.value} "{message}" |' in PAGE


def test_the_gateways_table_loads(tmp_path: Path) -> None:
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(f'[gateway]\nidentity = "identity.key"\n{table}')
    path.chmod(0o600)
    link = load_config(path).links["lab"]
    assert link.source is LinkSource.ETSI014
    assert tomllib.loads(table)["links"]["lab"]["peer_sae_id"] == "gw-b"


def follow(text: str, folder: Path) -> None:
    """Type the page's lines, with folders and users of ours for the system's."""
    for said, ours in (
        ("/etc/qgw-kme", str(folder / "etc-kme")),
        ("/etc/qgw/kme", str(folder / "etc-qgw")),
        ("root:qgw-kme", f"{os.getuid()}:{os.getgid()}"),
        ("chown qgw-kme: ", f"chown {os.getuid()} "),
        ("chown qgw: ", f"chown {os.getuid()} "),
    ):
        text = text.replace(said, ours)
    lines = [line for line in text.splitlines() if "runuser" not in line]
    script = "\n".join(line for line in lines if "systemctl" not in line)
    subprocess.run(  # noqa: S603  # our own page
        ("/bin/bash", "-euc", script), cwd=folder, check=True, timeout=60
    )


def block_with(part: str) -> str:
    """Return the page's one block of commands that has this in it."""
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    (found,) = [each for each in blocks if part in each]
    return str(found).replace("    ", "")


def test_each_side_gets_its_own_files_and_no_others(tmp_path: Path) -> None:
    site = tmp_path / "lab" / "alice"
    assert kme("init", tmp_path / "lab").returncode == 0
    (tmp_path / "etc-kme").mkdir()
    follow(block_with("lab/alice/*"), tmp_path)
    settings = load_settings(tmp_path / "etc-kme" / "kme.toml")
    assert settings.link.end is End.ALICE
    made = {each.name for each in site.iterdir() if each.is_file()}
    assert {each.name for each in (tmp_path / "etc-kme").iterdir()} == made
    assert kme("check", "--config", tmp_path / "etc-kme" / "kme.toml").returncode == 0
    (site / "gw-a").rename(tmp_path / "gw-a")
    follow(block_with("cp gw-a/*"), tmp_path)
    found = {
        each.name: stat.S_IMODE(each.stat().st_mode)
        for each in (tmp_path / "etc-qgw").iterdir()
    }
    assert found == {"ca.pem": 0o644, "client.pem": 0o644, "client.key": 0o600}
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    named = re.findall(r'"kme/([a-z.]+)"', table)
    assert sorted(named) == sorted(found)


def test_the_ports_are_those_that_init_gives() -> None:
    ports = f"TCP port {DEFAULT_PORT}, that of `bob` on {DEFAULT_PORT + 1}"
    assert ports in PAGE
    assert f"`kme-b.example.org:{DEFAULT_PORT + 1}`" in PAGE
