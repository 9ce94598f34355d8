"""Every finding is listed, says what it shows, and uses nothing of ours."""

import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "findings"
SHARED = FOLDER / "debian.sh"
SCRIPTS = sorted(path for path in FOLDER.glob("*.sh") if path != SHARED)


def test_the_list_is_what_is_there() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(listed) == [path.name for path in SCRIPTS]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_finding_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    head = text[: text.index("set -euo pipefail")]
    for word in ("Expected: ", "Seen: ", "Needs: ", "Exits 0"):
        assert word in head
    assert re.search(r"\d+\.\d+", head), "no version"
    assert os.access(path, os.X_OK)
    body = text[len(head) :]
    assert not re.search(r"gateway|qgw|\.venv|scripts/", body)
