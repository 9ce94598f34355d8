"""Store seconds: how a store counts age without asking what time it is.

They advance with CLOCK_BOOTTIME, which also counts suspended time and which nobody
can set. Within one boot, time when the daemon did not run counts. After a reboot
counting resumes from the value last saved, so time spent switched off does not age
keys: a wall clock could tell, but whoever sets the wall clock could then expire, or
keep alive, every key.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def boot_seconds() -> float:
    """Seconds since boot, suspension included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_seconds() -> float:
    """Seconds of the wall clock, which may be set: for words alone."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def load_boot_id() -> str:
    """Return the kernel's name for this boot, or an empty string if it has none."""
    try:
        return _BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """A saved reading.

    Attributes:
        store_ms: Store time, milliseconds.
        boot_id: The boot it was read in; empty when unknown.
        boot_ms: Milliseconds since that boot.
    """

    store_ms: int
    boot_id: str
    boot_ms: int


class StoreClock:
    """Counts store milliseconds from 0 at the store's making; never goes back."""

    def __init__(
        self,
        boottime: Callable[[], float] = boot_seconds,
        boot_id: str | None = None,
    ) -> None:
        self._boottime = boottime
        self._boot_id = load_boot_id() if boot_id is None else boot_id
        self._offset = -self._read()
        self._last = 0

    def _read(self) -> int:
        return int(self._boottime() * 1000)

    def resume(self, mark: ClockMark) -> None:
        """Continue from a saved reading."""
        now = self._read()
        same_boot = bool(self._boot_id) and mark.boot_id == self._boot_id
        since = now - mark.boot_ms if same_boot else 0
        self._offset = mark.store_ms + max(0, since) - now
        self._last = mark.store_ms

    def now_ms(self) -> int:
        """Store time, milliseconds."""
        self._last = max(self._last, self._read() + self._offset)
        return self._last

    def mark(self) -> ClockMark:
        """Return the reading to save."""
        return ClockMark(self.now_ms(), self._boot_id, self._read())
