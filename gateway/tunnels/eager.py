"""Coroutines that begin where they are called, and become tasks only if they wait.

Most of what a tunnel does never waits (docs/adr/0140), and a task for it would cost an
object, a turn of the event loop and with it two system calls.

Python 3.12 has eager tasks. Before it, a coroutine is in no task of its own until its
first wait; what needs to be in one (`asyncio.timeout`) must be given one there.
"""

import asyncio
import sys
from collections.abc import Coroutine, Generator
from typing import Any

Begun = Coroutine[Any, None, None]


def start_eagerly(
    coroutine: Begun, loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None] | None:
    """Run a coroutine up to its first wait, and leave the rest to a task.

    Returns:
        The task; None if the coroutine has ended. What it raised then is reported as
        for a task that nobody awaits, and not to the caller.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        return None if task.done() else task
    return _start(coroutine, loop)


def _start(
    coroutine: Begun, loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None] | None:
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    except Exception as error:  # noqa: BLE001  # reported, as a task does
        loop.call_exception_handler(
            {"message": f"exception in {coroutine!r}", "exception": error}
        )
        return None
    return loop.create_task(_Continued(coroutine, awaited))


class _Continued(Coroutine[Any, None, None]):
    """A coroutine that has begun, and what it waits for, as its task must see it."""

    def __init__(self, coroutine: Begun, awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited = [awaited]

    def send(self, value: None) -> Any:  # noqa: ANN401  # as the protocol has it
        """Hand the task what was awaited, then all that is after that."""
        if self._awaited:
            return self._awaited.pop()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401  # as the protocol has it
        """Hand on a cancellation, or what became of the thing awaited."""
        self._awaited.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it where it stands."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, None, None]:
        """Refuse: it is for a task."""
        raise NotImplementedError
