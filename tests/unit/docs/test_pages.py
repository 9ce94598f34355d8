"""What pages point to is there, and what is there is pointed to."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text()
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.glob("*.md")),
    *(DOCS / "adr" / "README.md", ROOT / "findings" / "README.md"),
]

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
QUOTED = re.compile(r"`([a-z0-9_*-]+/[a-z0-9_/*.-]*|[a-z_]+\.py)`")
"""A path in a page: of a folder that ends with a slash, or of a file."""


def targets(page: Path) -> Iterator[Path]:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            yield page.parent / target


def exists(path: str) -> bool:
    places = ("", "gateway/", "gateway/*/")
    return any(list(ROOT.glob(place + path)) for place in places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in targets(page) if not target.exists()] == []


def test_the_pages_hold_links() -> None:
    # Or the test above could not fail.
    assert len(list(targets(DOCS / "README.md"))) >= 15


def test_every_page_is_in_the_entrance() -> None:
    listed = {target.resolve() for target in targets(DOCS / "README.md")}
    assert {*DOCS.glob("*.md")} - {DOCS / "README.md"} <= listed


def test_every_file_of_the_architecture_is_there() -> None:
    named = QUOTED.findall(ARCHITECTURE)
    assert len(named) >= 80
    # Folders within a room, and files that several rooms have, are named in short.
    lost = [path for path in named if not exists(path.rstrip("/"))]
    assert lost == []


def test_every_room_is_in_the_architecture() -> None:
    rooms = {f"{each.parent.name}/" for each in ROOT.glob("gateway/*/__init__.py")}
    assert {room for room in rooms if f"`{room}`" not in ARCHITECTURE} == set()


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_at_the_root_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:docs|scripts)/[a-z.-]+)", (ROOT / page).read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[<>=;\[ ]", each, maxsplit=1)[0] for each in wanted}
    page = (DOCS / "dependencies.md").read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()
