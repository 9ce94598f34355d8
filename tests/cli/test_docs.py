"""The reference pages name everything there is, and nothing that is not."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli import exit_codes
from gateway.cli.commands import LazyCommand
from gateway.cli.main import root
from gateway.cli.monitoring import Level
from gateway.control import limits
from gateway.control.schema import AlertKind, ErrorCode, Method
from gateway.host.logging import FIELDS
from gateway.rotation.phases import TunnelPhase

DOCS = Path(__file__).parents[2] / "docs"
QGW = (DOCS / "qgw.md").read_text()
CONTROL = (DOCS / "control.md").read_text()


def commands(group: click.Group, path: str) -> Iterator[str]:
    for name, listed in group.commands.items():
        command = listed.load() if isinstance(listed, LazyCommand) else listed
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def constants(holder: type) -> set[str]:
    return {value for name, value in vars(holder).items() if name.isupper()}


def first_column(page: str, pattern: str) -> set[str]:
    return set(re.findall(rf"^\| {pattern}", page, re.MULTILINE))


def test_every_command_is_described() -> None:
    described = first_column(
        QGW, r"`(qgw[a-z -]*?)(?: (?:--|\[|FILE|NAME|LINK|bash).*?)?`"
    )
    assert described == set(commands(root, "qgw"))


def test_every_exit_code_is_described() -> None:
    page = QGW[: QGW.index("## Monitoring")]
    values = [value for name, value in vars(exit_codes).items() if name.isupper()]
    numbers = {value for value in values if isinstance(value, int)}
    assert {int(code) for code in first_column(page, r"(\d+) \|")} == numbers


def test_every_method_and_code_is_described() -> None:
    methods = constants(Method)
    codes = constants(ErrorCode)
    assert first_column(CONTROL, r"`([a-z.-]+)`") == methods | codes


def test_every_alert_is_described() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    section = page[page.index("## What `qgw status` warns of") :]
    table = section[: section.index("\n## ", 1)]
    first = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    described = {kind for cell in first for kind in re.findall(r"`([a-z-]+)`", cell)}
    states = {f"tunnel-{p.value}" for p in TunnelPhase if p is not TunnelPhase.UP}
    assert described == constants(AlertKind) | states


def test_every_level_of_a_check_is_described() -> None:
    section = QGW[QGW.index("## Monitoring") :]
    table = section[: section.index("\n## ", 1)]
    found = dict(re.findall(r"^\| (\d) \| ([A-Z]+) \|", table, re.MULTILINE))
    assert found == {str(level.value): level.name for level in Level}


def test_every_journal_field_is_described() -> None:
    assert set(re.findall(r"`(QGW_[A-Z]+)`", QGW)) == set(FIELDS.values())


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("request", limits.MAX_MESSAGE / (1 << 20)),
        ("nesting", limits.MAX_DEPTH),
        ("connections at once", limits.MAX_CONNECTIONS),
        ("time for a whole request, also between two", limits.REQUEST_TIMEOUT),
        ("time for its handling", limits.HANDLER_TIMEOUT),
        ("time for taking the answer", limits.ANSWER_TIMEOUT),
        ("answer, at the client", limits.MAX_ANSWER / (1 << 20)),
    ],
)
def test_every_bound_is_as_described(bound: str, value: float) -> None:
    (number,) = first_column(CONTROL, rf"{bound} \| (\d+)")
    assert int(number) == value
