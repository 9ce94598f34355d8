"""An event loop that leaps over what would be waiting alone.

What is worked at takes as long as it takes, in the loop's thread and in others; only
when nothing is worked at, and every task waits for a timer, does the time until that
timer pass `speed` times faster than the world's. So a busy machine makes a test slow
and no call late, and timeouts are harder to keep than in the world, never easier.
Threads outside a `ThreadPoolExecutor`, and other processes, it knows nothing of.
"""

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest import mock

SHORTEST_WAIT = 0.001
"""Seconds that epoll can wait at least."""


class _Clock(selectors.DefaultSelector):
    """Waits for sockets, and counts the time that its waiting left out."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.left_out = 0.0
        self.working: set[Future[Any]] = set()
        self._speed = speed

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self.working:
            return super().select(timeout)
        before = time.monotonic()
        wait = timeout / self._speed
        # A shorter one would be rounded up to this, thousands of times.
        ready = super().select(wait if wait >= SHORTEST_WAIT else 0)
        waited = time.monotonic() - before
        # Never beyond the timer, however long the machine kept us from going on.
        passed = min(waited * self._speed, timeout) if ready else timeout
        self.left_out += max(passed - waited, 0.0)
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """The loop; `fast_runner` has one run."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        super().__init__(clock)

    def time(self) -> float:
        return super().time() + self._clock.left_out


@contextlib.contextmanager
def fast_runner(speed: float) -> Iterator[asyncio.Runner]:
    """Run on such a loop, which counts what thread pools work at meanwhile."""
    clock = _Clock(speed)
    submit = ThreadPoolExecutor.submit

    def counted(
        pool: ThreadPoolExecutor, work: Callable[..., Any], *values: Any, **named: Any
    ) -> Future[Any]:
        future = submit(pool, work, *values, **named)
        clock.working.add(future)
        future.add_done_callback(clock.working.discard)
        return future

    with (
        mock.patch.object(ThreadPoolExecutor, "submit", counted),
        asyncio.Runner(loop_factory=lambda: FastLoop(clock)) as runner,
    ):
        yield runner
