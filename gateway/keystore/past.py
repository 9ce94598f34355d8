"""Signs that a store's file is an old copy, as far as one host can see them.

A copy believes used keys to be fresh. A file that was copied has another inode, or the
same number with another generation (ioctl_iflags(2), FS_IOC_GETVERSION). What was
brought back in place, with its disk or the whole machine, shows in one thing only: it
was last written earlier than the daemon last ran.
"""

import contextlib
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_GET_VERSION: Final = 0x80087601
"""FS_IOC_GETVERSION (linux/fs.h)."""

_NUMBER: Final = struct.Struct("@I4x")
"""A long by its name; file systems write 32 bits of it."""

QUIET: Final = 600.0
"""Seconds without a write that need no word: upkeep writes every few seconds, and a
host starts anew in less."""

SET_BACK: Final = 60.0
"""Seconds by which a clock may have been corrected meanwhile."""

_WRITTEN: Final = "the key store was last written {}: {}"

_HINT: Final = (
    "if it is an old copy, its keys may be used: qgw keystore purge --link NAME --all "
    "at both ends"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """What a store saves about its own file.

    Attributes:
        inode: Of the database.
        generation: Of that inode; 0 where the file system has none.
        written_at: Wall clock at the last write, seconds: for words alone.
    """

    inode: int
    generation: int
    written_at: float


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that speaks for an old copy.

    Attributes:
        text: One line.
        hint: What to do.
        is_sure: Whether it is a copy, old or not.
    """

    text: str
    is_sure: bool
    hint: str = _HINT


def trace_of(path: Path, *, now: float) -> Trace:
    """Look at a store's file, before SQLite opens it: closing one lets go of its locks.

    Raises:
        OSError: It cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        generation = 0
        with contextlib.suppress(OSError):  # tmpfs and others have none
            found = fcntl.ioctl(descriptor, _GET_VERSION, bytes(_NUMBER.size))
            (generation,) = _NUMBER.unpack(found)
        return Trace(os.fstat(descriptor).st_ino, generation, now)
    finally:
        os.close(descriptor)


def signs(saved: Trace, found: Trace) -> tuple[Sign, ...]:
    """Return what speaks for an old copy."""
    lines = []
    if (saved.inode, saved.generation) != (found.inode, found.generation):
        text = "the key store is a copy: this is not the file that was written last"
        lines.append(Sign(text, is_sure=True))
    age = found.written_at - saved.written_at
    if age > QUIET:
        when, why = f"{_spell(age)} ago", "qgwd was stopped since, or it is old"
        lines.append(Sign(_WRITTEN.format(when, why), is_sure=False))
    elif age < -SET_BACK:
        when, why = f"{_spell(-age)} after now", "a clock was wrong, or is"
        lines.append(Sign(_WRITTEN.format(when, why), is_sure=False))
    return tuple(lines)


def _spell(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
