"""Faults of our own, wherever they are met."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class InternalFault(Event):
    """Something that cannot happen did; the part goes on without it.

    Attributes:
        where: What was being done: ``while handling ReadPlane``.
        error: What was raised.
        tunnel: Whose work it was, if a tunnel's.
        link: Whose work it was, if a link's.
    """

    where: str
    error: BaseException
    tunnel: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class ControlFault(Event):
    """A control method raised what it must not.

    Attributes:
        method: Its name.
        error: The type of what was raised; its words might hold what was asked.
        places: Where, innermost last, one a line.
    """

    method: str
    error: str
    places: str
