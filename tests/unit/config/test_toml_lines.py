"""The locator agrees with tomllib on what there is, with the writer on where."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.toml_lines import KeyPath, locate_lines
from gateway.config.toml_text import TOMLFaultError, parse_toml

EXAMPLE = (Path(__file__).parent / "every_kind.toml").read_text()


def paths_of(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path of a parsed text but the root's."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def test_example_line_by_line() -> None:
    lines = locate_lines(EXAMPLE)
    numbered = EXAMPLE.split("\n")
    assert set(lines) == set(paths_of(tomllib.loads(EXAMPLE)))

    def at(*path: str | int) -> str:
        return numbered[lines[path] - 1]

    assert at("top") == "top = 1 # trailing"
    assert at("quoted é key", "literal.key").startswith('"quoted')
    assert at("after") == "after = 'it'"
    assert at("lit") == "lit = '''"
    assert at("a", "b") == "[a.b]"
    assert at("a") == "[a]"
    assert at("a", "b", "one", "two", "three", 1).startswith("one.two")
    assert at("a", "b", "list", 0) == '  "x]",'
    assert at("a", "b", "list", 1, 1) == "    4 ],"
    assert at("a", "b", "list", 2, "y").startswith("  { y = 2 }")
    assert at("t", 0, "sub", "deep") == "deep = 0.5"
    assert at("t", 1) == "[[t]] # second"
    assert lines["t", 1, "inner", 1, "z"] == lines["t", 1, "inner", 0, "z"] + 2


@pytest.mark.parametrize("text", ["", "\n\n", "# only", "a=1", "a=[]", "a={}", "[a]"])
def test_small_texts(text: str) -> None:
    assert set(locate_lines(text)) == set(paths_of(tomllib.loads(text)))


def test_line_ends_of_windows() -> None:
    assert locate_lines("a = 1\r\n\r\n[b]\r\nc = 2\r\n")["b", "c"] == 4


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.sampled_from("a.=[]#\"'\\ é\t{"), max_size=4),
)
STRINGS = st.text(st.sampled_from("ab'\"\\\n#[]{}=, \t"), max_size=8)
SPACES = st.sampled_from(["", " ", "\t", "  "])
BREAKS = st.sampled_from(["", "\n", " # ] } = \" '''\n", "\n\n"])


class Writer:
    """Writes TOML in drawn styles and remembers where it put each path."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def mark(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, key: str) -> None:
        bare = key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
        escaped = key.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        styles = [key] if bare else []
        if "'" not in key:
            styles.append(f"'{key}'")
        self.text += self.draw(st.sampled_from([*styles, f'"{escaped}"']))

    def string(self, value: str) -> None:
        basic = value.replace("\\", "\\\\").replace('"', '\\"')
        styles = [f'"{basic}"'.replace("\n", "\\n").replace("\t", "\\t")]
        styles.append(f'"""\n{basic}"""')
        # Quotes that stand alone before the closing three.
        styles.append(f'"""{basic}"""""')
        if "'" not in value:
            styles.append(f"'''{value}'''")
        self.text += self.draw(st.sampled_from(styles))

    def value(self, path: KeyPath, depth: int) -> None:
        kinds = ["scalar", "string", "array", "inline"] if depth < 3 else ["scalar"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "scalar":
            scalars = ["1", "-0.5", "true", "inf", "1979-05-27 07:32:00"]
            self.text += self.draw(st.sampled_from(scalars))
        elif kind == "string":
            self.string(self.draw(STRINGS))
        elif kind == "array":
            self.text += "["
            count = self.draw(st.integers(0, 3))
            for index in range(count):
                self.text += self.draw(BREAKS)
                self.mark((*path, index))
                self.value((*path, index), depth + 1)
                self.text += self.draw(BREAKS)
                self.text += (
                    "," if index < count - 1 else self.draw(st.sampled_from(["", ","]))
                )
            self.text += self.draw(BREAKS) + "]"
        else:
            self.text += "{"
            keys = self.draw(st.lists(KEYS, unique=True, max_size=3))
            for index, key in enumerate(keys):
                self.pair(path, key, depth + 1)
                self.text += "," if index < len(keys) - 1 else ""
            self.text += "}"

    def pair(self, table: KeyPath, key: str, depth: int) -> None:
        self.text += self.draw(SPACES)
        self.mark((*table, key))
        self.key(key)
        path = (*table, key)
        if self.draw(st.booleans()):
            inner = self.draw(KEYS)
            self.text += self.draw(SPACES) + "." + self.draw(SPACES)
            path = (*path, inner)
            self.mark(path)
            self.key(inner)
        self.text += self.draw(SPACES) + "=" + self.draw(SPACES)
        self.value(path, depth)
        self.text += self.draw(SPACES)

    def document(self) -> None:
        keys = self.draw(st.lists(KEYS, unique=True, max_size=6))
        pairs = self.draw(st.integers(0, len(keys)))
        for key in keys[:pairs]:
            self.pair((), key, 0)
            self.text += self.draw(st.sampled_from(["\n", " # c\n", "\r\n"]))
        for key in keys[pairs:]:
            is_array = self.draw(st.booleans())
            for index in range(self.draw(st.integers(1, 3)) if is_array else 1):
                self.mark((key,))
                path: KeyPath = (key, index) if is_array else (key,)
                self.mark(path)
                self.text += "[[" if is_array else "["
                self.key(key)
                self.text += ("]]" if is_array else "]") + self.draw(BREAKS) + "\n"
                for inner in self.draw(st.lists(KEYS, unique=True, max_size=3)):
                    self.pair(path, inner, 1)
                    self.text += "\n"


@given(st.data())
def test_whatever_is_written_is_found_where_it_was_put(data: st.DataObject) -> None:
    writer = Writer(data)
    writer.document()
    parsed = tomllib.loads(writer.text)
    lines = locate_lines(writer.text)
    assert set(lines) == set(paths_of(parsed))
    assert dict(lines) == writer.lines


@pytest.mark.parametrize("control", ["\x1c", "\x85", "\u2028", "\x0b"])
def test_a_text_that_ends_too_soon_has_no_more_lines_than_tomls(control: str) -> None:
    with pytest.raises(TOMLFaultError) as caught:
        parse_toml(f"a = 1\nb = '''{control * 9}x")
    assert caught.value.line in {1, 2}
