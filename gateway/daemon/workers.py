"""Two threads that wait, so that the event loop never does.

The data plane has one and the key store has one: calls of each keep their order,
and a slow disk holds up no netlink message.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """One thread that runs blocking calls in the order they were made."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the call returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    def stop(self) -> None:
        """Wait for the calls under way and end the thread."""
        self._pool.shutdown(wait=True)
