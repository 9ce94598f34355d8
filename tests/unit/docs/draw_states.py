"""Draws the tables of states into the pages: see scripts/draw-states."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from gateway.handshake.states import INITIATOR_STEPS, RESPONDER_STEPS
from gateway.rotation import epochs, phases

DOCS: Final = Path(__file__).parents[3] / "docs"

BLOCK: Final = re.compile(
    r"(<!-- states of (?P<name>[a-z ]+), by scripts/draw-states -->\n).*?"
    r"(<!-- end of states -->)",
    re.DOTALL,
)
"""What is drawn anew; a page says where, and of what."""

Table = Mapping[Any, Mapping[Any, Any]]

TABLES: Final[dict[str, Table]] = {
    "an initiator": INITIATOR_STEPS,
    "a responder": RESPONDER_STEPS,
    "a tunnel": phases.TRANSITIONS,
    "an epoch": {
        state: {after: after for after in epochs.EpochPhase if after in steps}
        for state, steps in epochs.TRANSITIONS.items()
    },
}
"""An epoch's steps have no names of their own: they are called what they lead to."""


def draw(table: Table) -> str:
    """Return a table of states as a diagram, and as a table for who sees no pictures.

    Args:
        table: States in order, the first is where all begins; what leads on from each.
    """
    return "\n".join([*_diagram(table), "", *_rows(table), ""])


def _diagram(table: Table) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(table)).name}"
    for state, steps in table.items():
        ways: dict[Enum, list[str]] = {}
        for step, after in steps.items():
            ways.setdefault(after, []).append(_word(step))
        for after, words in ways.items():
            if after is not state:
                yield f"    {state.name} --> {after.name} : {' / '.join(words)}"
        if not steps:
            yield f"    {state.name} --> [*]"
    yield "```"


def _rows(table: Table) -> Iterator[str]:
    yield "| | " + " | ".join(state.name for state in table) + " |"
    yield "|---" * (len(table) + 1) + "|"
    steps = dict.fromkeys(step for row in table.values() for step in row)
    for step in steps:
        cells = [row[step].name if step in row else "" for row in table.values()]
        yield f"| {_word(step)} | " + " | ".join(cells) + " |"


def _word(step: Enum) -> str:
    """Return what a step is called; mermaid takes a semicolon for the end of a line."""
    return str(step.value).replace(";", ",")


def drawn(page: str) -> str:
    """Return a page with every block in it drawn anew.

    Raises:
        KeyError: A block of states that are not there.
    """
    return BLOCK.sub(lambda m: f"{m[1]}\n{draw(TABLES[m['name']])}\n{m[3]}", page)


def main() -> None:
    """Write every page anew that has a block of states."""
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text()
        after = drawn(before)
        if after != before:
            path.write_text(after)


if __name__ == "__main__":
    main()
