"""Lines of a TOML text on which its keys and array elements stand.

`tomllib` gives values without places, and an operator who is told "line 41" mends
a file faster than one who is told a key. This reads only what `tomllib` has already
accepted: it decides nothing, so a fault here misnames a line and no more.

Source: TOML 1.0.0, and the line breaks in inline tables of TOML 1.1.
"""

import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_BARE_END = frozenset(" \t.=]")
_VALUE_END = frozenset(",]}#\n")
_TRIPLES = ('"""', "'''")


def locate_lines(text: str) -> Mapping[KeyPath, int]:
    """Map every path in a valid TOML text to its line, counted from 1.

    A path is made of keys and, inside arrays, indices: ``("links", "a", "rate")``
    or ``("tunnels", "a", "addresses", 1)``. A table's line is its header's.

    Args:
        text: TOML that `tomllib.loads` accepts.

    Raises:
        RecursionError: Arrays or inline tables are nested too deeply.
    """
    return _Locator(text).locate()


class _Locator:
    """Reads a text once, from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._counted = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        # How many elements each array of tables has so far.
        self._arrays: dict[KeyPath, int] = {}

    def locate(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while True:
            self._skip_blank()
            if self._position >= len(self._text):
                return self._lines
            if self._text[self._position] == "[":
                table = self._read_header()
            else:
                self._read_pair(table)

    def _read_header(self) -> KeyPath:
        line = self._line_here()
        is_array = self._text.startswith("[[", self._position)
        self._position += 2 if is_array else 1
        keys = self._read_keys()
        self._position += 2 if is_array else 1
        path = self._enter((), keys[:-1], line)
        path = (*path, keys[-1])
        if is_array:
            index = self._arrays.get(path, 0)
            self._arrays[path] = index + 1
            self._lines.setdefault(path, line)
            path = (*path, index)
        elif path in self._arrays:
            path = (*path, self._arrays[path] - 1)
        # A header says more of where a table is than a sub-table met before it.
        self._lines[path] = line
        return path

    def _enter(self, path: KeyPath, keys: list[str], line: int) -> KeyPath:
        """Walk down from a table; arrays of tables are entered at their last one."""
        for key in keys:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        return path

    def _read_pair(self, table: KeyPath) -> None:
        line = self._line_here()
        keys = self._read_keys()
        self._position += 1  # the equals sign
        path = (*self._enter(table, keys[:-1], line), keys[-1])
        self._lines.setdefault(path, line)
        self._read_value(path)

    def _read_keys(self) -> list[str]:
        """Read a dotted key, up to the ``=`` or ``]`` behind it."""
        keys = []
        while True:
            self._skip_spaces()
            start = self._position
            if self._text[start] in "\"'":
                self._skip_string()
                quoted = self._text[start : self._position]
                keys.append(next(iter(tomllib.loads(f"{quoted} = 0"))))
            else:
                while self._text[self._position] not in _BARE_END:
                    self._position += 1
                keys.append(self._text[start : self._position])
            self._skip_spaces()
            if self._text[self._position] != ".":
                return keys
            self._position += 1

    def _read_value(self, path: KeyPath) -> None:
        self._skip_spaces()
        character = self._text[self._position]
        if character in "\"'":
            self._skip_string()
        elif character == "[":
            self._read_array(path)
        elif character == "{":
            self._read_inline_table(path)
        else:
            text, end = self._text, self._position
            while end < len(text) and text[end] not in _VALUE_END:
                end += 1
            self._position = end

    def _read_array(self, path: KeyPath) -> None:
        self._position += 1
        index = 0
        while self._another("]"):
            element = (*path, index)
            self._lines[element] = self._line_here()
            self._read_value(element)
            index += 1

    def _read_inline_table(self, path: KeyPath) -> None:
        self._position += 1
        while self._another("}"):
            self._read_pair(path)

    def _another(self, closing: str) -> bool:
        """Say whether an element follows; step over a comma or the closing bracket."""
        self._skip_blank()
        if self._text[self._position] == ",":
            self._position += 1
            self._skip_blank()
        if self._text[self._position] != closing:
            return True
        self._position += 1
        return False

    def _skip_string(self) -> None:
        text, position = self._text, self._position
        quote = text[position]
        triple = text[position : position + 3]
        closing = triple if triple in _TRIPLES else quote
        position += len(closing)
        while not text.startswith(closing, position):
            position += 2 if quote == '"' and text[position] == "\\" else 1
        position += len(closing)
        if closing == triple:
            # One or two quotes may stand right before the closing three.
            while text[position : position + 1] == quote:
                position += 1
        self._position = position

    def _skip_spaces(self) -> None:
        while self._text[self._position] in " \t":
            self._position += 1

    def _skip_blank(self) -> None:
        """Skip white space, line ends and comments."""
        text = self._text
        while self._position < len(text):
            if text[self._position] == "#":
                end = text.find("\n", self._position)
                self._position = len(text) if end < 0 else end
            elif text[self._position] in " \t\r\n":
                self._position += 1
            else:
                return

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line
