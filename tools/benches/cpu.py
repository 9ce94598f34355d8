"""CPU time that other processes have used, in nanoseconds' resolution.

``/proc/PID/stat`` counts in hundredths of a second, of which a rotation takes less
than one. A process's own clock can be read by anybody (clock_getcpuclockid(3)).
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

_CPUCLOCK_SCHED = 2


def process_cpu(pid: int) -> float:
    """Return the CPU seconds a process has used, user and system, all threads.

    Raises:
        ProcessLookupError: It has ended.
    """
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError as error:
        raise ProcessLookupError(pid) from error


def processes_cpu(pids: Iterable[int]) -> float:
    """Return the CPU seconds of several processes; those that ended count nothing."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            total += process_cpu(pid)
    return total


def session_pids(session: int) -> list[int]:
    """Return the processes of a session, or those below its leader."""
    parents: dict[int, int] = {}
    found = set()
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            pid = int(path.name)
            parents[pid] = int(fields[1])
            if int(fields[3]) == session:
                found.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(found)
