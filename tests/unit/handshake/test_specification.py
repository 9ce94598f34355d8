"""docs/protocol.md against the code: reasons, labels, sizes and limits."""

import re
from pathlib import Path
from typing import Final

import pytest

from gateway.crypto.suite import load_suite
from gateway.handshake import limits
from gateway.handshake.noise import labels
from gateway.handshake.noise.initiator import response_size
from gateway.handshake.noise.responder import initiation_size
from gateway.wire.payloads import Status
from tests.unit.handshake.test_tampering import REASONS

ROOT: Final = Path(__file__).parents[3]
TEXT: Final = (ROOT / "docs" / "protocol.md").read_text()


def section(number: int) -> str:
    """Return one section's text."""
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def test_drop_reasons_are_those_of_the_code() -> None:
    listed = set(re.findall(r"^\| `([a-z0-9 ]+)` \|", section(9), re.MULTILINE))
    assert listed == REASONS
    code = "".join(
        path.read_text()
        for room in ("wire", "handshake")
        for path in (ROOT / "gateway" / room).glob("*.py")
    )
    raised = set(re.findall(r'(?:ProtocolError|drop)\(\s*"([a-z0-9 ]+)"', code))
    assert raised == listed


def test_every_label_is_in_the_text() -> None:
    for name, value in vars(labels).items():
        if not name.isupper() or name == "PROTOCOL":
            continue
        text = value.decode()
        for prefix in ("qgw-1 mix ", "qgw-1 export "):
            if text.startswith(prefix):
                word = text.removeprefix(prefix)
                place = section(5) if "mix" in prefix else section(6)
                assert f'"{word}"' in place or f"`{word}`" in place, text
                break
        else:
            assert f'"{text}"' in TEXT, text


def test_no_label_is_a_prefix_of_another() -> None:
    values = [
        value
        for name, value in vars(labels).items()
        if name.isupper() and name != "PROTOCOL"
    ]
    assert len(values) == len(set(values)) == 24
    for one in values:
        assert not [other for other in values if other.startswith(one) and other != one]


@pytest.mark.parametrize("suite_id", [1, 2])
def test_sizes_and_names_of_suites(suite_id: int) -> None:
    suite = load_suite(suite_id)
    assert f"`{suite.name.decode()}`" in section(1)
    rows = dict(re.findall(r"^\| (M[12]) \| (.*) \|$", section(2), re.MULTILINE))
    for message, size in (("M1", initiation_size(suite)), ("M2", response_size(suite))):
        assert rows[message].split(" | ")[suite_id - 1] == f"{size:,}"


def test_every_status_is_in_the_table() -> None:
    rows = dict(re.findall(r"^\| (\d) \| ([A-Za-z ]+) \|", section(4), re.MULTILINE))
    listed = {
        int(n): text.strip().upper().replace(" ", "_") for n, text in rows.items()
    }
    assert {int(status): status.name for status in Status}.items() <= listed.items()


def test_limits_have_the_values_in_the_table() -> None:
    checked = 0
    for names, values in re.findall(
        r"^\| (`[A-Z_`, ]+`) \| ([\d., ]+) \|", section(10), re.MULTILINE
    ):
        pairs = zip(names.split(", "), values.split(", "), strict=True)
        for name, value in pairs:
            assert getattr(limits, name.strip("` ")) == float(value), name
            checked += 1
    assert checked == 31
