"""The one bounded way to log what goes wrong again and again.

Every warning and error passes here on its way to the journal or a console. An equal
one that comes again is counted, and said with its count at pauses that grow; when it
comes no more, that is said too. So no place that logs has to think of it, and nothing
that a stranger, a full disk or a dead KME does fills the log.

A place that knows more says so in the record: with ``extra=alike(...)`` lines are equal
whatever their words; with `lasting(...)` they are one fault, at any level, said with
its age until `ended(...)` says that it is over.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.errors import EXHAUSTED_ERRNO
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

LASTING: Final = 60.0
"""Seconds from which a fault is said with its age."""

UNBOUNDED: Final = frozenset({"blocked"})
"""Events that are said each time: changes of a state, which its own timers bound."""

_FIELDS: Final = ("tunnel", "link", "peer")
_MAX_WORD: Final = 100

_Line = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Alike:
    """What makes lines equal where their words do not.

    Attributes:
        work: What goes wrong.
        kind: How.
        lasts: Whether it is a fault whose end will be told.
        is_first: Whether it is the first of its fault: the end of others may have been
            below the level that is logged.
    """

    work: str
    kind: str
    lasts: bool = False
    is_first: bool = False


def alike(work: str, kind: str) -> dict[str, object]:
    """Return the `extra` of a line that equals others of its logger and kind."""
    return {"alike": Alike(work, kind)}


def lasting(work: str, kind: str, *, is_first: bool) -> dict[str, object]:
    """Return the `extra` of a line about a fault that lasts, also below a warning."""
    return {"alike": Alike(work, kind, lasts=True, is_first=is_first)}


def ended(work: str) -> dict[str, object]:
    """Return the `extra` of the line that all faults of some work are over.

    It is written only where one of them was: what fails and recovers every few seconds
    is one fault.
    """
    return {"ended": work}


@dataclass(slots=True)
class _Course:
    """How a line has come so far."""

    text: str
    extra: dict[str, object]
    first: float
    last: float
    lasts: bool = False
    count: int = 0
    is_said: bool = False
    has_ended: bool = False


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
        if "ended" in record.__dict__:
            with self._lock:
                return self._end(record, self._clock())
        event = record.__dict__.get("event")
        is_quiet = record.levelno < logging.WARNING and _alike_of(record) is None
        if is_quiet or event in UNBOUNDED:
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
                lasted = 0.0 if course.has_ended else course.last - course.first
                is_on = course.lasts and not course.has_ended
                if is_on or quiet < max(OVER_AFTER, 2 * lasted):
                    continue
                del self._courses[line]
                if line[0] in self._repeats:
                    self._repeats[line[0]].forget(repr(line))
                if course.count > 1 and not course.has_ended:
                    found.append(_end_of(course, quiet))
        return found

    def _end(self, record: logging.LogRecord, now: float) -> bool:
        """Say that faults are over, where their beginning was said."""
        over = self._faults_of(record, str(record.__dict__["ended"]))
        for course in over:
            course.has_ended, course.last = True, now
        lasted = now - min((course.first for course in over), default=now)
        if lasted >= LASTING:
            record.msg, record.args = (
                "%s after %s",
                (record.getMessage(), duration(lasted)),
            )
        return any(course.is_said for course in over)

    def _faults_of(self, record: logging.LogRecord, work: str) -> list[_Course]:
        """Return the faults of some work that go on."""
        start = (_subject_of(record), f"{record.name} {work}")
        return [
            course
            for line, course in self._courses.items()
            if line[:2] == start and course.lasts and not course.has_ended
        ]

    def _note(self, record: logging.LogRecord, now: float) -> bool:
        same = _alike_of(record)
        if same is not None and same.is_first:
            for other in self._faults_of(record, same.work):
                other.has_ended = True
        line = self._line_of(record, _subject_of(record))
        course = self._courses.pop(line, None)
        if course is None or course.has_ended:
            extra = {
                name: record.__dict__[name]
                for name in _FIELDS
                if record.__dict__.get(name) is not None
            }
            lasts = same is not None and same.lasts
            course = _Course(record.getMessage(), extra, now, now, lasts)
        self._courses[line] = course
        course.last, course.count = now, course.count + 1
        repeats = self._repeats.pop(line[0], None) or Repeats()
        self._repeats[line[0]] = repeats
        for remembered in (self._courses, self._repeats):
            while len(remembered) > SUBJECTS:
                del remembered[next(iter(remembered))]  # type: ignore[arg-type]
        count = repeats.note(repr(line), now=now)
        if not count:
            return False
        course.is_said, lasted = True, now - course.first
        age = f", for {duration(lasted)}" if course.lasts and lasted >= LASTING else ""
        if age or count > 1:
            record.msg, record.args = "%s%s%s", (record.getMessage(), age, times(count))
        return True

    def _line_of(self, record: logging.LogRecord, subject: str) -> _Line:
        """Return what makes lines equal: all of them but their numbers."""
        same = _alike_of(record)
        if same is not None:
            return (subject, f"{record.name} {same.work}", (same.kind,))
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


def _alike_of(record: logging.LogRecord) -> Alike | None:
    found = record.__dict__.get("alike")
    return found if isinstance(found, Alike) else None


def _subject_of(record: logging.LogRecord) -> str:
    return "/".join(str(record.__dict__.get(name, "")) for name in _FIELDS)


def _shorten(record: logging.LogRecord) -> None:
    """Make one line of a traceback that says only that the host has run out."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError) and error.errno in EXHAUSTED_ERRNO:
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
