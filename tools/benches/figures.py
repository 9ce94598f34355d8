"""One measured number, and how a run's numbers are printed."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: As in docs/performance.md.
        value: The median; None if it could not be measured.
        unit: Of value, spread and target.
        spread: Distance between the quartiles; None for what is counted once.
        target: What the value may be at most; None where there is no target.
        note: Where and how it was measured, or why it was not.
        failed: Whether its measurement broke off, which is a fault.
        more_is_better: Whether the value must be at least, not at most, the target.
    """

    name: str
    value: float | None
    unit: str
    spread: float | None = None
    target: float | None = None
    note: str = ""
    failed: bool = False
    more_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the value meets the target; None if that cannot be said."""
        if self.value is None or self.target is None:
            return None
        if self.more_is_better:
            return self.value >= self.target
        return self.value <= self.target

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes of it."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "spread": _rounded(self.spread),
            "target": _rounded(self.target),
            "met": self.met,
        }


def summarise(
    name: str,
    unit: str,
    samples: Sequence[float],
    *,
    target: float | None = None,
    note: str = "",
) -> Figure:
    """Return the figure of some samples: their median and quartile distance."""
    if not samples:
        return Figure(name, None, unit, target=target, note=note or "no sample")
    return Figure(
        name, statistics.median(samples), unit, quartile_distance(samples), target, note
    )


def quartile_distance(samples: Sequence[float]) -> float | None:
    """Return the distance between the quartiles; None for fewer than two samples."""
    if len(samples) < 2:
        return None
    lower, _, upper = statistics.quantiles(samples, n=4, method="inclusive")
    return upper - lower


def render_table(figures: Iterable[Figure]) -> str:
    """Return the figures as lines of text, with their notes below."""
    rows = [("figure", "median", "spread", "target", "unit", "")]
    rows += [
        (
            figure.name,
            "not measured" if figure.value is None else _short(figure.value),
            _short(figure.spread),
            _target(figure),
            figure.unit,
            {True: "met", False: "MISSED", None: ""}[figure.met],
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 0 < column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def render_notes(figures: Iterable[Figure]) -> str:
    """Return what is to be known of the figures, each text once."""
    notes: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            notes.setdefault(figure.note, []).append(figure.name)
    return "\n".join(
        f"{', '.join(names)}:\n    {note}" for note, names in notes.items()
    )


def render_json(figures: Sequence[Figure], machine: dict[str, Any]) -> str:
    """Return the JSON document of a run."""
    document = {
        "figures": [figure.to_json() for figure in figures],
        "notes": {figure.name: figure.note for figure in figures if figure.note},
        "machine": machine,
    }
    return json.dumps(document, indent=2) + "\n"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    relation = ">=" if figure.more_is_better else "<="
    return f"{relation} {_short(figure.target)}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
