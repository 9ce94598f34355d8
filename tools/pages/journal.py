"""The page of the journal's words, made from the events and their wording.

``PYTHONPATH=tools python -m pages.journal`` writes it anew.
"""

import logging
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from gateway.host.logging import FIELDS
from gateway.observe.journal.listener import TABLES
from gateway.observe.journal.wording import Wording

PAGE: Final = Path(__file__).parents[2] / "docs" / "journal.md"

HEAD: Final = """\
# The journal's words

What `qgwd` writes about things that happened, by subject; only two lines of the relay's
connections, at level debug, and those of its libraries are not here.
`journalctl -u qgwd QGW_EVENT=blocked` finds all lines of a word; those without a word
are found by their text. Names in braces stand for what the line tells. A tunnel's or
link's lines carry `QGW_TUNNEL` or `QGW_LINK`. An equal line that comes again is
counted, and said at pauses that grow; the word `over` says that it comes no more.
This page is made from `gateway/events` and `gateway/observe/journal`:
`PYTHONPATH=tools python -m pages.journal`.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(make_page(), encoding="utf-8")


def make_page() -> str:
    """Return the page as it must be."""
    parts = [HEAD]
    for subject, wordings in TABLES.items():
        parts.append(f"\n## {subject}\n\n| word | level | when | line | fields |\n")
        parts.append("|---|---|---|---|---|\n")
        parts += [_row(wording) for wording in wordings]
    return "".join(parts)


def _row(wording: Wording[Any]) -> str:
    when = (wording.kind.__doc__ or "").partition("\n\n")[0]
    names = {field.name for field in fields(wording.kind)}
    shown = ", ".join(f"`{FIELDS[name]}`" for name in FIELDS if name in names)
    cells = (
        f"`{wording.word}`" if wording.word else "",
        _level(wording),
        " ".join(when.split()).replace("``", "`"),
        f"`{_line(wording)}`" if isinstance(wording.text, str) else "",
        shown,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _level(wording: Wording[Any]) -> str:
    if not isinstance(wording.level, int):
        return "by what it tells"
    return logging.getLevelName(wording.level).lower()


def _line(wording: Wording[Any]) -> str:
    assert isinstance(wording.text, str)  # noqa: S101  # the caller has looked
    return re.sub(r":[^{}]*}", "}", wording.text).replace("\n", " ")


if __name__ == "__main__":
    main()
