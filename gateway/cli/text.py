"""Numbers and names as a person reads them."""

import textwrap
from collections.abc import Sequence

import click

WIDTH = 80
"""Columns of what `qgw` prints: an ordinary terminal's, whether or not there is one."""

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
_KILO = 1024

_STATE_COLOURS = {
    "up": "green",
    "connecting": "yellow",
    "unproven": "red",
    "blocked": "red",
    "ok": "green",
    "low": "yellow",
    "empty": "red",
    "note": "cyan",
    "warning": "yellow",
    "critical": "red",
    "failed": "red",
    "holds": "green",
    "short": "red",
}


def clean(text: str) -> str:
    """Return text without anything that could steer a terminal: peers name failures."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def size(count: int) -> str:
    """Return a number of bytes as ``wg show`` does: ``148 B``, ``1.21 MiB``."""
    if count < _KILO:
        return f"{count} B"
    value, place = count / _KILO, 0
    while value >= _KILO and place < len(_UNITS) - 1:
        value, place = value / _KILO, place + 1
    return f"{value:.2f} {_UNITS[place]}"


def coloured(word: str) -> str:
    """Return a state in its colour; click removes it where there is no terminal."""
    colour = _STATE_COLOURS.get(word)
    return click.style(word, fg=colour) if colour else word


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()
) -> str:
    """Return rows in columns as wide as their widest cell, under a header.

    Args:
        header: Names of the columns.
        rows: Their cells.
        spare: Columns to leave out, the first of them first, while it is too wide.
    """
    cells = [list(header), *([clean(cell) for cell in row] for row in rows)]
    columns = list(range(len(header)))
    for name in spare:
        if _width(cells, columns) <= WIDTH:
            break
        columns.remove(header.index(name))
    widths = [max(len(row[column]) for row in cells) for column in columns]
    lines = []
    for number, row in enumerate(cells):
        chosen = [row[column] for column in columns]
        padded = [cell.ljust(width) for cell, width in zip(chosen, widths, strict=True)]
        if number:
            # Coloured after padding: escape sequences have no width.
            padded = [
                coloured(cell) + text[len(cell) :]
                for cell, text in zip(chosen, padded, strict=True)
            ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _width(cells: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    widths = [max(len(row[column]) for row in cells) for column in columns]
    return sum(widths) + 2 * (len(widths) - 1)


def wrapped(text: str, *, first: str = "", rest: str = "  ") -> list[str]:
    """Return text in lines of `WIDTH` columns; a longer word has a line of its own.

    Args:
        text: What to wrap; cleaned first.
        first: Stands before the first line, and may be coloured.
        rest: Stands before those that follow.
    """
    visible = click.unstyle(first)
    lines = textwrap.wrap(
        visible + clean(text),
        WIDTH,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [first + lines[0][len(visible) :], *lines[1:]] if lines else [first]


def listing(
    title: str, name: str, values: Sequence[tuple[str, str]], *, wrap: bool = False
) -> str:
    """Return ``title: name`` and indented ``key: value`` lines, as ``wg show``.

    Args:
        title: What it is.
        name: Which one.
        values: The lines; those without a value are left out.
        wrap: Whether values go on in further lines, indented, at `WIDTH` columns.
    """
    lines = [click.style(f"{title}: ", bold=True) + clean(name)]
    for key, value in values:
        first = f"  {click.style(key, bold=True)}: "
        if value and wrap and value not in _STATE_COLOURS:
            lines += wrapped(value, first=first, rest="    ")
        elif value:
            lines.append(first + coloured(clean(value)))
    return "\n".join(lines)
