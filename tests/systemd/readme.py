"""What README.md or a page of docs/ tells an operator to type, read from it itself."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Two hosts in ten minutes"
FIREWALLS = "## Firewalls"


def section(title: str = SECTION, page: Path = README) -> str:
    """Return the text of a section, that of the set-up unless told."""
    text = page.read_text()
    start = text.index(title)
    return text[start : text.index("\n## ", start + len(title))]


def blocks(title: str = SECTION, page: Path = README) -> list[str]:
    """Return a section's indented blocks, without the indentation."""
    found: list[list[str]] = []
    inside = False
    for line in section(title, page).splitlines():
        if line.startswith("    "):
            if not inside:
                found.append([])
            found[-1].append(line.removeprefix("    "))
            inside = True
        elif line:
            inside = False
        elif inside:
            found[-1].append("")
    return ["\n".join(lines).strip() + "\n" for lines in found]


def block(part: str, title: str = SECTION, page: Path = README) -> str:
    """Return the one block that has this in it."""
    (found,) = [text for text in blocks(title, page) if part in text]
    return found


def said_inline(command: str) -> str:
    """Return a command that the section's prose has between backquotes."""
    assert f"`{command}`" in re.sub(r"\s+", " ", section()), command
    return command


def swapped(text: str) -> str:
    """Swap what is swapped at the other end."""
    pairs = (
        ("peers/b.pub", "peers/a.pub"),
        ("203.0.113.2", "203.0.113.1"),
        ("10.255.1.1/30", "10.255.1.2/30"),
        ("10.1.0.0/16", "10.2.0.0/16"),
    )
    changed = text
    for one, other in pairs:
        changed = changed.replace(one, "\0").replace(other, one).replace("\0", other)
    assert changed != text
    return changed
