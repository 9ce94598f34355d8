"""Problems of configuration files: each with its file, line, key and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.toml_lines import KeyPath
from gateway.errors import ConfigProblem

Table = dict[str, object]

MAX_SHOWN: Final = 60
"""Characters of a wrong value that a message repeats."""

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


def show(value: object) -> str:
    """Render a wrong value on one line, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
