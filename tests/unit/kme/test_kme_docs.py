"""docs/kme.md names every command, and the gateway's table in it loads."""

import re
import tomllib
from http import HTTPStatus
from pathlib import Path

import click

from gateway.config.load import load_config
from gateway.config.model import LinkSource
from gateway.kme import refusals
from gateway.kme.main import root

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
