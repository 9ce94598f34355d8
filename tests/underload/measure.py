"""How much the machine withheld the processor over a time, and when that is too much.

Three measures, since no one of them is had everywhere or sees everything:

* **Lateness** of a process that sleeps 20 ms at a time (`sleeper.py`). It sees a
  machine that stands still, a host that withholds a virtual processor, and a queue
  before the processor; in a guest kernel it is the only one that sees the host.
* **Pressure**, /proc/pressure/cpu: the share of time in which somebody who could run
  had no processor. It sees what a sleeper, which is let in first, does not: that
  whoever computes waits. Absent before Linux 4.20, and in kernels built without it.
* **Steal**, /proc/stat: the share of the processors' time that a host kept.

Whether others or our own other lanes are the load makes no difference to a test.
"""

import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.underload.sleeper import RECORD

SLEEPER = Path(__file__).with_name("sleeper.py")

MARGIN = 0.15
"""Seconds: what is withheld less than this, at once or in all, excuses nothing. The
shortest margins of tests are longer: 0.2 s until packets fill a socket's buffer at one
each millisecond. In tests that failed at a load of 20 to 29 on two processors, the
sleeper was woken up to 0.18 to 0.31 s late."""

LATE = 0.25
"""Share of time by which the sleeper was late in all: each 20 ms took over 25."""

PRESSURE = 0.6
"""Share of time in which somebody waited for a processor: for most of it, there was
more work than processors. In tests that failed under load it was 78 to 98 %."""

STEAL = 0.05
"""Share of the processors that the host kept: then nothing in here is on time."""

STARTED = 30.0
"""Seconds that the sleeper may take to start, in a virtual machine under load."""

UNREAD = 5.0
"""Seconds until a sleeper that says nothing is late by that much."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """What the machine withheld over a time; None where it cannot be measured.

    Attributes:
        seconds: The time.
        stall: Seconds of the worst lateness of the sleeper.
        late: Share of the time by which it was late in all.
        pressure: Share of the time in which somebody waited.
        steal: Share of the processors' time that the host kept.
    """

    seconds: float
    stall: float | None
    late: float | None
    pressure: float | None
    steal: float | None

    def excesses(self) -> list[str]:
        """Return the measures that passed their limits, with both; none if none did."""
        found = []
        if self.stall is not None and self.stall > MARGIN:
            found.append(f"woken {self.stall:.2f} s late (limit {MARGIN:g} s)")
        shares = (
            ("late in all", self.late, LATE),
            ("somebody waited", self.pressure, PRESSURE),
            ("stolen by the host", self.steal, STEAL),
        )
        for what, share, limit in shares:
            if share is None or share <= limit or share * self.seconds <= MARGIN:
                continue
            limits = f"(limit {limit:.0%})"
            found.append(f"{what} {share:.0%} of {self.seconds:.1f} s {limits}")
        return found


def pressure_total(path: Path = Path("/proc/pressure/cpu")) -> float | None:
    """Return the seconds since the start in which somebody waited, if known."""
    try:
        words = path.read_text().partition("\n")[0].split()
    except OSError:  # absent, or turned off at boot
        return None
    return int(words[-1].removeprefix("total=")) / 1e6


def stolen_and_all(path: Path = Path("/proc/stat")) -> tuple[int, int] | None:
    """Return the ticks that the host kept, and all ticks of all processors."""
    ticks = [int(word) for word in path.read_text().partition("\n")[0].split()[1:9]]
    return (ticks[7], sum(ticks)) if len(ticks) == 8 else None


class Watch:
    """Measures from the last `begin` on. Has a process: close it.

    Attributes:
        sleeper: The process; public for tests.
    """

    def __init__(self) -> None:
        self.sleeper = subprocess.Popen(  # noqa: S603  # a file of ours
            (sys.executable, "-IS", str(SLEEPER)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.sleeper.stdout is not None
        self._reports = self.sleeper.stdout
        self._has_report(STARTED)  # or the time before it sleeps would count as calm
        self.begin()

    def close(self) -> None:
        """End the process."""
        self.sleeper.communicate()

    def begin(self) -> None:
        """Forget what was; measure from now on."""
        self._begun = time.monotonic()
        self._pressure = pressure_total()
        self._ticks = stolen_and_all()
        if self._has_report(0.0):
            self._read()

    def end(self) -> Withheld:
        """Return what was withheld since; takes up to a report's 0.2 s."""
        now = time.monotonic()
        seconds = max(now - self._begun, 1e-6)
        stall, late = self._lateness(now)
        pressure, ticks = pressure_total(), stolen_and_all()
        waited = stolen = None
        if pressure is not None and self._pressure is not None:
            # Read after the lateness was, so over a little more than `seconds`.
            waited = (pressure - self._pressure) / (time.monotonic() - self._begun)
        if ticks and self._ticks and ticks[1] > self._ticks[1]:
            stolen = (ticks[0] - self._ticks[0]) / (ticks[1] - self._ticks[1])
        return Withheld(seconds, stall, late, waited, stolen)

    def _lateness(self, now: float) -> tuple[float | None, float | None]:
        """Return the worst and the share, from reports until one that covers now."""
        stall = total = ended = 0.0
        while ended < now and self.sleeper.poll() is None:
            if not self._has_report(UNREAD):
                stall, total = max(stall, UNREAD), total + UNREAD
                break
            for at, worst, late in self._read():
                ended = at
                if at >= self._begun:
                    stall, total = max(stall, worst), total + late
        if ended < now and stall < UNREAD:
            return None, None  # it has died, which excuses nobody
        return stall, total / (max(ended, now) - self._begun)

    def _has_report(self, patience: float) -> bool:
        return bool(select.select([self._reports], [], [], patience)[0])

    def _read(self) -> list[tuple[float, float, float]]:
        data = self._reports.read(RECORD.size * 4096)
        # A pipe keeps short writes whole; what ends within one has died.
        whole = len(data) - len(data) % RECORD.size
        return [(a, w, t) for a, w, t in RECORD.iter_unpack(data[:whole])]
