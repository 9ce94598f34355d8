"""A hub's daemon that reloads: ``python -m benches.reload_hub CONFIG TUNNEL TIMES``.

The file of one tunnel is changed before each reload. Prints one JSON object: CPU
milliseconds of the event loop's thread for each reload, how long each took as a whole,
and the longest times by which the loop was late meanwhile, in reloads of their own: to
look for that costs the loop as much as the reload does. What the loop's thread waited
for a processor is not in them: that other programs had it is no fault of the reload.
"""

import asyncio
import json
import logging
import sys
import time
from pathlib import Path

from benches.memory_hub import MemoryHub
from gateway.host.garbage import Garbage

TICK = 0.001
"""Seconds between two looks at whether the loop is free."""

SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Nanoseconds run, nanoseconds waited for a processor, turns (proc_schedstat)."""

WARM_UP = 1
"""Reloads that are not counted: modules are loaded by the first."""


class ReloadHub:
    """A hub whose configuration is changed.

    Args:
        hub: The hub.
        file: The file of the tunnel that changes.
    """

    def __init__(self, hub: MemoryHub, file: Path) -> None:
        self._hub = hub
        self._file = file
        self._turn = 0

    async def reload(self) -> None:
        """Change the tunnel, and reload."""
        self._turn += 1
        text = self._file.read_text().partition("mtu =")[0]
        self._file.write_text(f"{text}mtu = {1300 + self._turn % 2}\n")
        answer = await self._hub.service.reload()
        if len(answer["changed"]) != 1 or answer["failed"]:
            raise RuntimeError(f"not what was to be measured: {answer}")

    async def cost(self) -> tuple[float, float]:
        """Return CPU seconds of this thread for a reload, and how long it took."""
        began, busy = time.monotonic(), time.thread_time()
        await self.reload()
        return time.thread_time() - busy, time.monotonic() - began

    async def wait(self) -> float:
        """Return seconds by which the loop was late at most during a reload."""
        waits = [0.0]
        ticking = asyncio.create_task(_tick(waits))
        await self.reload()
        ticking.cancel()
        return waits[0]


async def _tick(waits: list[float]) -> None:
    while True:
        before, queued = time.monotonic(), _queued()
        await asyncio.sleep(TICK)
        late = time.monotonic() - before - TICK - (_queued() - queued)
        waits[0] = max(waits[0], late)


def _queued() -> float:
    """Return for how many seconds this thread was ready and had no processor."""
    return int(SCHEDSTAT.read_text().split()[1]) / 1e9


async def main() -> None:
    """Start the hub, reload, and print what it cost."""
    path, tunnel, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    hub = MemoryHub(path)
    await hub.service.start()
    hub.service.garbage = Garbage()  # as the program does
    hub.service.garbage.collect()
    reloads = ReloadHub(hub, tunnel)
    for _ in range(WARM_UP):
        await reloads.reload()
    costs = [await reloads.cost() for _ in range(times)]
    waits = [await reloads.wait() for _ in range(times)]
    found = {
        "busy": [1e3 * busy for busy, _ in costs],
        "whole": [1e3 * whole for _, whole in costs],
        "wait": [1e3 * wait for wait in waits],
    }
    print(json.dumps(found), flush=True)
    await hub.service.stop()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(main())
