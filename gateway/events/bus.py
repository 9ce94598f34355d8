"""The bus: emitters publish a fact once, and whoever listens makes of it what he needs.

A process has one bus, as it has one log: a fault may be met anywhere, and a way to
tell of it handed down to every function would be in each signature and used in few.
"""

from collections.abc import Callable
from dataclasses import dataclass

Listener = Callable[["Event"], None]
"""Called with each event, from any thread; it must be quick and raise nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all facts. Its attributes hold no key bytes."""


_listeners: tuple[Listener, ...] = ()


def subscribe(listener: Listener) -> None:
    """Have a listener called with every event from now on; a second time is one."""
    global _listeners  # noqa: PLW0603  # a process has one bus
    if listener not in _listeners:
        _listeners = (*_listeners, listener)


def unsubscribe(listener: Listener) -> None:
    """Call a listener no more."""
    global _listeners  # noqa: PLW0603  # a process has one bus
    _listeners = tuple(each for each in _listeners if each != listener)


def publish(event: Event) -> None:
    """Tell everyone who listens."""
    for listener in _listeners:
        listener(event)
