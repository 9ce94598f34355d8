"""Reader of one TOML table: each key asked for once, wrong ones noted."""

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

from gateway.config.problems import Problems, Source, Table, dotted, show
from gateway.config.toml_lines import KeyPath
from gateway.config.values import BadValueError

T = TypeVar("T")
D = TypeVar("D")


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
