"""Blocking calls of a store, made for an event loop."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class RunBlocking(Protocol):
    """Runs a blocking call of the store where it may block."""

    def __call__(
        self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        """Return what the call returns, or raise what it raises."""
