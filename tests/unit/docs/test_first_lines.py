"""A module's first line is a noun phrase: its responsibility."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted(ROOT.glob("gateway/**/*.py"))
NO_NOUN = re.compile(
    r"(Who|What|How|Where|When|Whether|Which|Why|That|One does|This module)\b"
)


def first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]


def test_modules_are_found() -> None:
    assert len(MODULES) > 400


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_the_first_line_names_what_the_module_is_for(module: Path) -> None:
    line = first_line(module)
    assert line.endswith(".")
    assert not NO_NOUN.match(line)
