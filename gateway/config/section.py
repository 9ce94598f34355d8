"""Reads the keys of one TOML table, and collects what is wrong with them."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from gateway.config.toml_lines import KeyPath
from gateway.config.values import BadValueError, show
from gateway.errors import ConfigProblem

T = TypeVar("T")
D = TypeVar("D")

Table = dict[str, object]

MAX_PROBLEMS: Final = 1000
"""Problems kept; a file with more than that is not a configuration."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read.

    Attributes:
        file: Its path, as the operator gave it or as it was found beside that.
        data: What it holds.
        lines: Where each key of it stands.
    """

    file: Path
    data: Table
    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """Line of a path, or of the nearest table above it; 0 when at none."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 0


@dataclass(slots=True)
class Problems:
    """Everything found wrong so far, in the order it was found."""

    found: list[ConfigProblem] = field(default_factory=list)

    def add(self, source: Source, path: KeyPath, expected: str, found: str) -> None:
        """Note a problem at a key of a file."""
        line = source.line_of(path)
        self.add_at(source.file, line, dotted(path), expected, found)

    def add_at(
        self, file: Path, line: int, key: str, expected: str, found: str
    ) -> None:
        """Note a problem at a line of a file, or at line 0 for the whole file."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(ConfigProblem(str(file), line, key, expected, found))


def dotted(path: Iterable[str | int]) -> str:
    """Write a path as TOML would, quoting what TOML would have quoted."""
    parts: list[str] = []
    for key in path:
        if isinstance(key, int):
            parts[-1] += f"[{key}]"
        elif (
            key and key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
        ):
            parts.append(key)
        else:
            parts.append(show(key))
    return ".".join(parts)


class Section:
    """One table of a file.

    Every key is asked for once; `close` then refuses the keys nobody asked for. A
    wrong value becomes a problem and is read as its default, so that one mistake
    hides no other.
    """

    def __init__(self, source: Source, path: KeyPath, problems: Problems) -> None:
        """Open the table at `path`; one that is absent is read as empty."""
        self.source = source
        self.path = path
        self._problems = problems
        self._asked: set[str] = set()
        self._unread: set[str] = set()
        self._is_table = True
        table: object = source.data
        for key in path:
            table = table.get(str(key), {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict):
            self.refuse("", f"a table [{dotted(path)}]", show(table))
            self._is_table = False
            table = {}
        self._table: Table = table

    def names(self) -> Iterable[str]:
        """Name the keys that are there."""
        return tuple(self._table)

    def optional(self, key: str, parse: Callable[[object], T], default: D) -> T | D:
        """Read a key that may be absent."""
        self._asked.add(key)
        if key not in self._table:
            return default
        value = self._table[key]
        try:
            return parse(value)
        except BadValueError as error:
            path: KeyPath = (*self.path, key)
            if error.index is not None:
                path = (*path, error.index)
            found = error.found or show(value)
            self._problems.add(self.source, path, error.expected, found)
            self._unread.add(key)
            return default

    def required(
        self, key: str, parse: Callable[[object], T], example: str
    ) -> T | None:
        """Read a key that must be there; None means a problem was noted."""
        if key not in self._table:
            self._asked.add(key)
            if self._is_table:
                self.refuse(key, f"a value, such as {example}", "nothing")
            return None
        return self.optional(key, parse, None)

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def refuse(self, key: str, expected: str, found: str) -> None:
        """Note a problem at a key of this table, or at the table itself.

        A key whose value could not be read stands at its default: what is wrong
        with the default is not the operator's mistake, and goes unsaid.
        """
        if key in self._unread:
            return
        path = (*self.path, key) if key else self.path
        self._problems.add(self.source, path, expected, found)

    def close(self) -> None:
        """Refuse every key that was not asked for."""
        for key in self._table:
            if key in self._asked:
                continue
            near = difflib.get_close_matches(key.lower(), self._asked, n=1)
            known = ", ".join(sorted(self._asked))
            hint = f"did you mean {near[0]}?" if near else known
            self.refuse(key, f"a known key ({hint})", "an unknown one")
