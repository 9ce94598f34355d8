"""The switch of the KME's misbehaviour: now or not, of which kind, how often still."""

import logging
from dataclasses import dataclass, field

from aiohttp import web

from gateway.errors import KMEError
from gateway.kme.misbehaviour.answers import DEFAULT_DELAY, Answering, Mode
from gateway.kme.misbehaviour.modes import MODES

MAX_DELAY = 3600.0
"""Seconds."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Order:
    mode: Mode
    left: int | None
    delay: float
    memory: dict[str, object] = field(default_factory=dict)


class Misbehaviour:
    """What the operator has ordered; nothing at first, and nothing after a restart."""

    def __init__(self) -> None:
        self._order: _Order | None = None
        self.done = 0

    @property
    def mode(self) -> str | None:
        """Name of the mode that is on."""
        return self._order.mode.name if self._order is not None else None

    @property
    def left(self) -> int | None:
        """Calls that it is still on for; None for no end."""
        return self._order.left if self._order is not None else None

    def start(
        self, name: str, *, count: int | None = None, delay: float = DEFAULT_DELAY
    ) -> None:
        """Misbehave from the next call on, instead of what was ordered before.

        Args:
            name: One of `MODES`.
            count: Calls that are spoiled, or None for all until `stop`.
            delay: Seconds, for modes that wait.

        Raises:
            KMEError: There is no such mode.
        """
        mode = MODES.get(name)
        if mode is None:
            raise KMEError(
                f"no mode of misbehaviour is called {name[:40]!r}",
                "see: qgw-kme misbehave --list",
            )
        if count is not None and count < 1:
            raise KMEError("a count is at least 1", "leave it out for no end")
        if not 0 <= delay <= MAX_DELAY:
            raise KMEError(f"a delay has 0 to {MAX_DELAY:.0f} seconds")
        self._order = _Order(mode, count, delay)
        _log.warning("SIMULATION: this KME now misbehaves on purpose: %s", name)

    def stop(self) -> None:
        """Be honest again."""
        if self._order is not None:
            _log.warning("SIMULATION: this KME is honest again")
        self._order = None

    def concerns(self, call: str) -> bool:
        """Whether the next call of this kind may be spoiled."""
        return self._order is not None and call in self._order.mode.calls

    async def answer(self, answering: Answering) -> web.StreamResponse:
        """Answer a call wrongly, or honestly where there is nothing to spoil."""
        order = self._order
        if order is None:
            return (await answering.honest()).response()
        # Counted before anything is awaited: two calls at once are two.
        self._count(order, -1)
        answering.delay, answering.memory = order.delay, order.memory
        spoiled = await order.mode.act(answering)
        if spoiled is None:
            self._count(order, +1)
            return (await answering.honest()).response()
        self.done += 1
        return spoiled

    def _count(self, order: _Order, change: int) -> None:
        if order.left is None:
            return
        order.left += change
        if order.left == 0 and self._order is order:
            self._order = None
        elif order.left == 1 and change > 0 and self._order is None:
            self._order = order
