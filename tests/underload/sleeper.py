"""A process that sleeps briefly, again and again, and says how late it was woken.

It wants no priority: it waits for a processor as the tests' own daemons do. It runs as
a file by itself, so that it imports nothing and starts at once in a slow kernel. It
ends when its standard input does.
"""

import contextlib
import os
import select
import struct
import sys
import time

PERIOD = 0.02
"""Seconds of each sleep: short against every limit, and 0.2 % of a processor."""

REPORT = 0.2
"""Seconds that one report covers."""

RECORD = struct.Struct("=ddd")
"""A report: when it ends (monotonic), the worst lateness, the sum; seconds each."""


def main() -> None:
    """Report until the reader is gone."""
    output = sys.stdout.fileno()
    os.set_blocking(output, False)
    begun = woken = time.monotonic()
    worst = total = 0.0
    # From one waking to the next, so that it may be held up anywhere between.
    while not select.select([sys.stdin], [], [], PERIOD)[0]:
        before, woken = woken, time.monotonic()
        late = max(0.0, woken - before - PERIOD)
        worst, total = max(worst, late), total + late
        if woken - begun >= REPORT:
            # Nobody reads while a test runs. A pipe holds nine minutes; then it is
            # full, and to wait there would look like a stall.
            with contextlib.suppress(BlockingIOError):
                os.write(output, RECORD.pack(woken, worst, total))
            begun, worst, total = woken, 0.0, 0.0


if __name__ == "__main__":
    main()
