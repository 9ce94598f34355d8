"""The diagrams of states in the pages are those of the tables."""

import re
from pathlib import Path

import pytest

from tests.unit.docs.draw_states import BLOCK, DOCS, TABLES, draw, drawn

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_the_tables_say(page: Path) -> None:
    text = page.read_text()
    assert drawn(text) == text, "run scripts/draw-states"


def test_every_table_is_drawn_somewhere() -> None:
    found = [m["name"] for page in PAGES for m in BLOCK.finditer(page.read_text())]
    assert sorted(found) == sorted(TABLES)


def test_no_block_is_left_open() -> None:
    for page in PAGES:
        text = page.read_text()
        begun = len(re.findall(r"^<!-- states of ", text, re.MULTILINE))
        assert begun == text.count("<!-- end of states -->")
        assert begun == len(BLOCK.findall(text))


@pytest.mark.parametrize("name", TABLES)
def test_a_drawing_shows_every_state_and_every_step(name: str) -> None:
    table, text = TABLES[name], draw(TABLES[name])
    for state, steps in table.items():
        for step, after in steps.items():
            assert str(step.value).replace(";", ",") in text
            if after is not state:
                assert f"    {state.name} --> {after.name} : " in text


def test_a_page_that_says_otherwise_is_noticed() -> None:
    page = (DOCS / "protocol.md").read_text()
    assert drawn(page.replace("SENT --> KEY", "SENT --> VERIFIED", 1)) == page
