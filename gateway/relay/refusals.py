"""Reports of a neighbour's refused messages, at a bounded rate."""

from dataclasses import dataclass, replace
from typing import Final

from gateway.errors import RelayError
from gateway.relay.events import MessageRefused

WINDOW: Final = 60.0
"""Seconds over which refusals of one neighbour are counted."""

TOLD: Final = 5
"""Refusals told in a window; an operator needs one, a log stands five a minute from
each neighbour's address, whoever has taken it."""


@dataclass(slots=True)
class _Count:
    since: float
    told: int = 0
    kept: int = 0


class Refusals:
    """Lets the first few refusals pass, and adds the number of the others later."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def tell(self, event: MessageRefused, *, now: float) -> MessageRefused | None:
        """Return what is to be told of a refusal, if anything."""
        count = self._counts.setdefault(event.peer, _Count(now))
        kept = 0
        if now - count.since >= WINDOW:
            kept = count.kept
            count = self._counts[event.peer] = _Count(now)
        if count.told >= TOLD:
            count.kept += 1
            return None
        count.told += 1
        if not kept:
            return event
        error = event.error
        more = f"{error.message}; {kept} more were refused before"
        told = RelayError(more, error.hint, fault=error.fault, node=error.node)
        return replace(event, error=told)
