"""The index of decisions: each is there once, by its own title and date."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ADRS = ROOT / "docs" / "adr"
ROW = re.compile(
    r"^\| (\d{4}) \| \[(.*)\]\((\S+\.md)\) \| (\d{4}-\d\d-\d\d) \| (.+) \|$",
    re.MULTILINE,
)
ROWS = ROW.findall((ADRS / "README.md").read_text())
FILES = sorted(each.name for each in ADRS.glob("[0-9]*.md"))


def test_every_decision_is_listed_once() -> None:
    listed = sorted(file for _, _, file, _, _ in ROWS)
    assert listed == FILES, "each decision has a line in docs/adr/README.md"


def test_no_number_is_given_twice() -> None:
    numbers = [name[:4] for name in FILES]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_its_decision_says(row: tuple[str, ...]) -> None:
    number, title, file, _, status = row
    heading = (ADRS / file).read_text().partition("\n")[0]
    assert file.startswith(f"{number}-")
    assert re.fullmatch(rf"# 0*{int(number)}[.:]? {re.escape(title)}", heading)
    assert status.startswith(("in force", "replaced by"))


def test_a_status_names_decisions_that_are_there() -> None:
    for *_, status in ROWS:
        for number in re.findall(r"\d{4}", status):
            assert any(name.startswith(number) for name in FILES)


def _git(*words: str) -> str:
    result = subprocess.run(  # noqa: S603  # our own words
        ["/usr/bin/git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout


@pytest.mark.may_skip("a clone with its history")
def test_dates_are_those_of_the_first_commit() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git history here: clone the repository")
    if _git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone: git fetch --unshallow")
    log = _git(
        *("log", "--reverse", "--diff-filter=AR", "--name-status"),
        *("--format=%ad", "--date=short", "-M", "--", "docs/adr"),
    )
    first: dict[str, str] = {}
    date = ""
    for line in filter(None, log.splitlines()):
        kind, *names = line.split("\t")
        if not names:
            date = kind
        elif kind.startswith("R"):
            first[names[1]] = first[names[0]]
        else:
            first.setdefault(names[0], date)
    for _, _, file, dated, _ in ROWS:
        # What is not committed yet has no date to compare.
        assert first.get(f"docs/adr/{file}", dated) == dated
