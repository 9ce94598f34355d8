"""TOML text to values: the one place where TOML is read.

`tomllib` raises more than its own error: a `ValueError` for a decimal integer that is
too long for `int`, a `RecursionError` for deep nesting. And it takes integers that no
other reader of TOML holds, whose mere mention in a message fails. All of that becomes
a `TOMLFaultError` with a line.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Final

from gateway.config.toml_lines import KeyPath, locate_lines

MAX_INTEGER: Final = 2**63 - 1
"""TOML 1.0.0, "Integer": 64-bit signed integers are to be handled, others refused."""

MIN_INTEGER: Final = -(2**63)

_AT_LINE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")

_DIGITS: Final = re.compile(r"[0-9_]{2,}")

_MAX_CANDIDATES: Final = 16
"""Long runs of digits that are looked at for the one that is no string or comment."""


class TOMLFaultError(Exception):
    """Raised when a text is not TOML, or holds what TOML need not hold.

    Attributes:
        line: Where, counted from 1; 0 for the whole text.
        key: The path of the value, or ``("syntax",)``.
        expected: What should stand there.
        found: What does.
    """

    def __init__(
        self,
        line: int,
        expected: str,
        found: str,
        key: KeyPath = ("syntax",),
    ) -> None:
        super().__init__(f"line {line}: expected {expected}, found {found}")
        self.line = line
        self.key = key
        self.expected = expected
        self.found = found


def parse_toml(text: str) -> tuple[dict[str, object], dict[KeyPath, int]]:
    """Return what a text holds, and the line of each key and element.

    Raises:
        TOMLFaultError: It is not TOML, is nested too deeply, or holds an integer
            beyond 64 bits.
    """
    try:
        document = tomllib.loads(text)
        lines = dict(locate_lines(text))
        beyond = next(_beyond((), document), None)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        # Not `splitlines`: it breaks lines at controls at which TOML does not.
        ends = text.rstrip().count("\n") + 1
        line = int(at[1]) if at and at[1] else ends
        raise TOMLFaultError(line, "valid TOML", _AT_LINE.sub("", str(error))) from None
    except RecursionError:
        raise TOMLFaultError(0, "a flat file", "values nested too deeply") from None
    except ValueError:
        raise TOMLFaultError(
            _line_of_long_integer(text), _INTEGER, "thousands of digits"
        ) from None
    if beyond is not None:
        raise TOMLFaultError(lines.get(beyond, 0), _INTEGER, "a larger one", beyond)
    return document, lines


_INTEGER: Final = "an integer of 64 bits"


def _beyond(path: KeyPath, value: object) -> Iterator[KeyPath]:
    """Yield the paths of integers that have more than 64 bits."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _beyond((*path, key), member)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _beyond((*path, index), element)
    elif isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        yield path


def _line_of_long_integer(text: str) -> int:
    """Return the line of the integer that `tomllib` stumbled over.

    A long run of digits may stand in a string or a comment as well. The reader goes
    from left to right: it stumbles over a text that ends right behind the one.
    """
    limit = sys.get_int_max_str_digits()
    runs = (run for run in _DIGITS.finditer(text) if run.end() - run.start() > limit)
    line = 0
    for _, run in zip(range(_MAX_CANDIDATES), runs, strict=False):
        line = text.count("\n", 0, run.start()) + 1
        try:
            tomllib.loads(text[: run.end()])
        except tomllib.TOMLDecodeError:
            continue
        except ValueError:
            break
    return line
