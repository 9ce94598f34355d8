"""The one bounded way to log what goes wrong again and again.

Every warning and error passes here on its way to the journal or a console. An equal
one that comes again is counted, and said with its count at pauses that grow; when it
comes no more, that is said too. So no place that logs has to think of it, and nothing
that a stranger, a full disk or a dead KME does fills the log.
"""

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.host.repeats import Repeats, times
from gateway.units import duration

SUBJECTS: Final = 1024
"""Tunnels, links and peers whose lines are told apart; of more the oldest counts as
new."""

VARIANTS: Final = 16
"""Forms of one line, by the words in it, that are told apart at once: whoever chooses
the words, an address for one, would else fill the log with new ones."""

OVER_AFTER: Final = 60.0
"""Seconds without a line, and twice as long as it came, after which it is said that it
comes no more."""

UNBOUNDED: Final = frozenset({"blocked"})
"""Events that are said each time: changes of a state, which its own timers bound."""

_FIELDS: Final = ("tunnel", "link", "peer")
_MAX_WORD: Final = 100
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_Line = tuple[str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Course:
    """How a line has come so far."""

    text: str
    extra: dict[str, object]
    first: float
    last: float
    count: int = 0


class BoundedLines(logging.Filter):
    """Lets a line through, or counts it.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # Handlers ask their filters before they take their own lock.
        self._lock = threading.Lock()
        self._repeats: dict[str, Repeats] = {}
        self._courses: dict[_Line, _Course] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be written now; add its count to it."""
        event = record.__dict__.get("event")
        if record.levelno < logging.WARNING or event in UNBOUNDED:
            return True
        _shorten(record)
        with self._lock:
            return self._note(record, self._clock())

    def over(self) -> list[logging.LogRecord]:
        """Return a record for each line that came more than once, and comes no more."""
        now, found = self._clock(), []
        with self._lock:
            for line, course in tuple(self._courses.items()):
                quiet = now - course.last
                if quiet < max(OVER_AFTER, 2 * (course.last - course.first)):
                    continue
                del self._courses[line]
                if line[0] in self._repeats:
                    self._repeats[line[0]].forget(repr(line))
                if course.count > 1:
                    found.append(_end_of(course, quiet))
        return found

    def _note(self, record: logging.LogRecord, now: float) -> bool:
        subject = "/".join(str(record.__dict__.get(name, "")) for name in _FIELDS)
        line = self._line_of(record, subject)
        course = self._courses.pop(line, None)
        if course is None:
            extra = {
                name: record.__dict__[name]
                for name in _FIELDS
                if record.__dict__.get(name) is not None
            }
            course = _Course(record.getMessage(), extra, now, now)
        self._courses[line] = course
        course.last, course.count = now, course.count + 1
        repeats = self._repeats.pop(line[0], None) or Repeats()
        self._repeats[line[0]] = repeats
        for remembered in (self._courses, self._repeats):
            while len(remembered) > SUBJECTS:
                del remembered[next(iter(remembered))]  # type: ignore[arg-type]
        count = repeats.note(repr(line), now=now)
        if count > 1:
            record.msg, record.args = "%s%s", (record.getMessage(), times(count))
        return count > 0

    def _line_of(self, record: logging.LogRecord, subject: str) -> _Line:
        """Return what makes lines equal: all of them but their numbers."""
        given = record.args if isinstance(record.args, tuple) else (record.args,)
        words = tuple(
            str(word)[:_MAX_WORD]
            for word in given
            if word is not None and not isinstance(word, int | float)
        )
        form = f"{record.name} {record.msg}"
        line = (subject, form, words)
        if line not in self._courses:
            alike = sum(other[:2] == line[:2] for other in self._courses)
            if alike >= VARIANTS:
                return (subject, form, ())
        return line


def _shorten(record: logging.LogRecord) -> None:
    """Make one line of a traceback that says only that the host has run out."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        message = record.getMessage().partition("\n")[0]
        record.msg, record.args = "%s: %s", (message, error.strerror)
        record.exc_info = record.exc_text = None


def _end_of(course: _Course, quiet: float) -> logging.LogRecord:
    lasted = duration(course.last - course.first)
    record = logging.LogRecord(
        __name__,
        logging.INFO,
        __file__,
        0,
        "no more for %s: %s (%d times in %s)",
        (duration(quiet), course.text, course.count, lasted),
        None,
    )
    record.__dict__.update(course.extra, event="over")
    return record
