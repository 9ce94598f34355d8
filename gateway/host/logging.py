"""Log lines' way out: to the journal with its fields, or to a console.

Anything that logs says what a line is about with ``extra``: the keys of `FIELDS`
become journal fields, so that ``journalctl QGW_TUNNEL=paris`` finds a tunnel's
lines, and stand before the text on a console.

No line holds key bytes: `RefuseSecrets` replaces any line that was given a `Secret`
or raw bytes. No line breaks out of its place: control characters are escaped.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from gateway.config.model import LogFormat
from gateway.host.bounded_log import BoundedLines
from gateway.host.journal import JournalHandler
from gateway.secret import Secret

FIELDS = {
    "event": "QGW_EVENT",
    "tunnel": "QGW_TUNNEL",
    "epoch": "QGW_EPOCH",
    "link": "QGW_LINK",
    "peer": "QGW_PEER",
    "reason": "QGW_REASON",
    "user": "QGW_USER",
}
"""Keys of ``extra`` and the journal fields they become."""

_DEPTH = 8
"""How deep containers among a line's arguments are searched for secrets."""


def configure_logging(
    log_format: LogFormat,
    level: str,
    *,
    environ: Mapping[str, str] = os.environ,
    stream: TextIO | None = None,
) -> None:
    """Send every log line to the journal or to a console; a second call replaces.

    Args:
        log_format: ``auto`` takes the journal when systemd connected stderr to it.
        level: Lowest level of our own lines; of libraries at least ``warning``.
        environ: Where ``JOURNAL_STREAM`` is looked up.
        stream: Console to write to; stderr by default.
    """
    console = stream or sys.stderr
    handler: logging.Handler
    if log_format is LogFormat.JOURNAL or (
        log_format is LogFormat.AUTO and _is_journal(console, environ)
    ):
        handler = JournalHandler(FIELDS)
    else:
        handler = logging.StreamHandler(console)
        handler.setFormatter(ConsoleFormatter())
    handler.addFilter(RefuseSecrets())
    handler.addFilter(BoundedLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())


def log_ends() -> None:
    """Write what came again and again, and comes no more; called every few seconds."""
    for handler in logging.getLogger().handlers:
        for bounded in handler.filters:
            if isinstance(bounded, BoundedLines):
                for record in bounded.over():
                    handler.handle(record)


class RefuseSecrets(logging.Filter):
    """Replaces a line that was given key material by one that says so.

    A `Secret` hides itself already; that one reaches a log call at all is a mistake
    worth an error. Bytes are refused because what they hold cannot be told.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, the withheld ones without what they held."""
        extras = [record.__dict__.get(name) for name in FIELDS]
        if _holds_secret([record.msg, record.args, extras], _DEPTH):
            record.msg = "a log line was withheld: it was given key material or bytes"
            record.args = ()
            record.levelno, record.levelname = logging.ERROR, "ERROR"
            record.exc_info = record.exc_text = None
            for name in FIELDS:
                record.__dict__.pop(name, None)
        return True


class ConsoleFormatter(logging.Formatter):
    """``2026-01-31 12:00:00,123 INFO tunnel=paris epoch=7: rotation committed``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        fields = " ".join(
            f"{name}={escape(str(value))}"
            for name in FIELDS
            if (value := record.__dict__.get(name)) is not None
        )
        head = f"{self.formatTime(record)} {record.levelname}"
        line = f"{head} {fields}: " if fields else f"{head}: "
        line += escape(record.getMessage())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def escape(text: str) -> str:
    """Return text with everything that could move a terminal's cursor made visible."""
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode()
        for character in text
    ).replace("\n", "\n  ")


def _holds_secret(value: object, depth: int) -> bool:
    if isinstance(value, Secret | bytes | bytearray | memoryview):
        return True
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        return any(_holds_secret(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds_secret(item, depth - 1) for item in value)
    return False


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd connected this stream to the journal (systemd.exec(5))."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
