"""Numbers and names as a person reads them."""

from collections.abc import Sequence

import click

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
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
    "warning": "yellow",
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


def duration(seconds: float | None) -> str:
    """Return a duration in two units: ``31s``, ``1m29s``, ``3h05m``, ``12d03h``."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def size(count: int) -> str:
    """Return a number of bytes as ``wg show`` does: ``148 B``, ``1.21 MiB``."""
    if count < _KILO:
        return f"{count} B"
    value, place = count / _KILO, 0
    while value >= _KILO and place < len(_UNITS) - 1:
        value, place = value / _KILO, place + 1
    return f"{value:.2f} {_UNITS[place]}"


def plural(count: int, noun: str) -> str:
    """Return ``1 key``, ``2 keys``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def coloured(word: str) -> str:
    """Return a state in its colour; click removes it where there is no terminal."""
    colour = _STATE_COLOURS.get(word)
    return click.style(word, fg=colour) if colour else word


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns as wide as their widest cell, under a header."""
    cells = [list(header), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number:
            # Coloured after padding: escape sequences have no width.
            padded = [
                coloured(cell) + text[len(cell) :]
                for cell, text in zip(row, padded, strict=True)
            ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def listing(title: str, name: str, values: Sequence[tuple[str, str]]) -> str:
    """Return ``title: name`` and indented ``key: value`` lines, as ``wg show``."""
    lines = [click.style(f"{title}: ", bold=True) + clean(name)]
    lines += [
        f"  {click.style(key, bold=True)}: {_visible(value)}"
        for key, value in values
        if value
    ]
    return "\n".join(lines)


def _visible(value: str) -> str:
    return coloured(clean(value))
