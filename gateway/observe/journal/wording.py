"""Wording of one kind of event: word, level and text of its line."""

import logging
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Generic, TypeVar

from gateway.events.bus import Event
from gateway.host.logging import FIELDS

E = TypeVar("E", bound=Event)

_FORMATTER: Final = string.Formatter()


@dataclass(frozen=True, slots=True)
class Wording(Generic[E]):
    """How the journal says one kind of event.

    Attributes:
        kind: The event's class.
        word: The line's QGW_EVENT, empty for none; names of attributes stand in braces.
        level: One of `logging`, or what tells it of an event.
        text: The line, or what tells it of an event; names of attributes stand in
            braces, a format after a colon.
        values: What stands for names that are no attributes, or are said otherwise.
        bound: How `gateway.host.bounded_log` is to tell its lines from others.
    """

    kind: type[E]
    word: str
    level: int | Callable[[E], int]
    text: str | Callable[[E], str]
    values: Callable[[E], Mapping[str, object]] = lambda _event: {}
    bound: Callable[[E], Mapping[str, object]] = lambda _event: {}

    def level_of(self, event: E) -> int:
        """Return how loud an event is said."""
        return self.level if isinstance(self.level, int) else self.level(event)

    def record(self, event: E) -> logging.LogRecord:
        """Return the line of an event.

        Its text and what it was given stay apart: lines that differ in numbers alone
        are told to be equal by that (`gateway.host.bounded_log`).
        """
        given = self.values(event)

        def value_of(name: str) -> object:
            return given[name] if name in given else getattr(event, name)

        said = self.text if isinstance(self.text, str) else self.text(event)
        text, names = _printf(said)
        error = getattr(event, "error", None)
        trace = None
        if isinstance(error, BaseException):
            trace = (type(error), error, error.__traceback__)
        record = logging.LogRecord(
            self.kind.__module__,
            self.level_of(event),
            __file__,
            0,
            text,
            tuple(value_of(name) for name in names),
            trace,
        )
        record.__dict__.update(self.bound(event))
        for name in FIELDS:
            if (value := getattr(event, name, None)) is not None:
                record.__dict__[name] = value
        if self.word:
            word, names = _printf(self.word)
            record.__dict__["event"] = word % tuple(map(value_of, names))
        return record


@cache
def _printf(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text with braces as one with percent signs, and the names in order."""
    parts, names = [], []
    for literal, name, form, _ in _FORMATTER.parse(text):
        parts.append(literal.replace("%", "%%"))
        if name:
            parts.append(f"%{form or 's'}")
            names.append(name)
    return "".join(parts), tuple(names)
