"""Two threads that wait, so that the event loop never does.

The data plane has one and the key store has one: calls of each keep their order,
and a slow disk holds up no netlink message. A call that does not wait is not worth a
change of threads, which costs more than most of them do: it is made where it is
asked for, unless the thread is at work (docs/adr/0140).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """One thread that runs blocking calls in the order they were made.

    Belongs to one event loop, which alone makes the calls. So what it finds idle
    stays idle until it makes the next one: no two calls ever run side by side.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._under_way: set[Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(
        self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return what the call returns, or raise what it raises."""
        future = self._pool.submit(call, *args, **kwargs)
        self._under_way.add(future)
        # Also called for one that is cancelled before its turn, which never runs; one
        # that runs is done only when it has returned, whoever still waits for it.
        future.add_done_callback(self._under_way.discard)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return await asyncio.wrap_future(future, loop=self._loop)

    async def run_quick(
        self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do the same for a call that does not wait: here, if the thread is idle."""
        if self._under_way:
            return await self.run(call, *args, **kwargs)
        return call(*args, **kwargs)

    def stop(self) -> None:
        """Wait for the calls under way and end the thread."""
        self._pool.shutdown(wait=True)
