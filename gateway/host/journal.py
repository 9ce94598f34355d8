"""Log lines in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

One datagram a line, fields as ``NAME=value`` or, when the value has a newline, the
name, a 64-bit little-endian size and the value. The event loop never waits for the
journal: when it does not read, lines are counted as lost, and the next line that
gets through says how many.
"""

import logging
import re
import socket
import struct
from collections.abc import Mapping

JOURNAL_SOCKET = "/run/systemd/journal/socket"

IDENTIFIER = "qgwd"

MAX_FIELD = 16_384
"""Bytes of one field; keeps the datagram far below the kernel's default limit of
208 KiB, above which the protocol would want a sealed memory file."""

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
"""Levels and the syslog priorities (RFC 5424, 6.2.1) they become; lower is debug."""

_DEBUG_PRIORITY = 7


class JournalHandler(logging.Handler):
    """Writes records to the journal, with `extra` values as fields."""

    def __init__(
        self,
        fields: Mapping[str, str],
        path: str = JOURNAL_SOCKET,
        *,
        identifier: str = IDENTIFIER,
    ) -> None:
        """Open a socket; the journal itself may come and go.

        Args:
            fields: Keys of ``extra`` and the journal fields they become.
            path: The journal's socket.
            identifier: Who logs.
        """
        super().__init__()
        self._fields = fields
        self._path = path
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, or count it as lost."""
        try:
            datagram = encode_entry(self._entry(record))
        except Exception:  # noqa: BLE001  # a wrong format string must not stop us
            self.handleError(record)
            return
        if not self._send(datagram):
            self._lost += 1
        elif self._lost and self._send(encode_entry(self._entry(self._lost_record()))):
            self._lost = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _send(self, datagram: bytes) -> bool:
        try:
            # The address each time: a journal that was restarted has a new socket.
            self._socket.sendto(datagram, self._path)
        except OSError:
            return False
        return True

    def _lost_record(self) -> logging.LogRecord:
        return logging.LogRecord(
            __name__,
            logging.WARNING,
            __file__,
            0,
            "%d log lines were lost: the journal did not take them",
            (self._lost,),
            None,
        )

    def _entry(self, record: logging.LogRecord) -> dict[str, str]:
        message = name_subject(record, record.getMessage())
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            message = f"{message}\n{trace}"
        entry = {
            "MESSAGE": message,
            "PRIORITY": str(_priority_of(record.levelno)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        for name, field in self._fields.items():
            value = record.__dict__.get(name)
            if value is not None:
                entry[field] = str(value)
        return entry


def name_subject(record: logging.LogRecord, message: str) -> str:
    """Return a message that names its tunnel or link, once.

    `journalctl` shows the text alone: which of a hub's tunnels came up would be left
    to its fields, which nobody sees.
    """
    for kind in ("tunnel", "link"):
        name = record.__dict__.get(kind)
        if name is not None:
            subject = f"{kind} {name}"
            named = re.search(rf"\b{re.escape(subject)}(?![\w-])", message)
            return message if named else f"{subject}: {message}"
    return message


def encode_entry(entry: Mapping[str, str]) -> bytes:
    """Return the datagram for one entry; values are cut at `MAX_FIELD` bytes."""
    parts = []
    for name, value in entry.items():
        data = value.encode(errors="backslashreplace")[:MAX_FIELD]
        if b"\n" in data:
            size = struct.pack("<Q", len(data))
            parts.append(b"%s\n%s%s\n" % (name.encode(), size, data))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), data))
    return b"".join(parts)


def _priority_of(level: int) -> int:
    for lowest, priority in _PRIORITIES:
        if level >= lowest:
            return priority
    return _DEBUG_PRIORITY
