"""An event loop whose time runs faster than the world's."""

import asyncio
import selectors
from collections.abc import Callable


class _FastSelector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        waiting = None if timeout is None else timeout / self._speed
        return super().select(waiting)


class FastLoop(asyncio.SelectorEventLoop):
    """Every sleep, timer and timeout takes `speed` times less than it says.

    What really takes time (threads, disks, TLS) takes `speed` times longer, so that
    timeouts are harder to keep, never easier.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_FastSelector(speed))

    def time(self) -> float:
        return super().time() * self._speed


def fast(speed: float) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what `asyncio.Runner` takes for a loop factory."""
    return lambda: FastLoop(speed)
