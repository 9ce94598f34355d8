"""One call that is about to be answered wrongly."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway.kme.replies import Reply

DEFAULT_DELAY: Final = 30.0
"""Seconds that slow modes wait: longer than any client should."""

ALL_CALLS: Final = frozenset({"status", "enc_keys", "dec_keys"})
KEY_CALLS: Final = frozenset({"enc_keys", "dec_keys"})

KEPT: Final = web.RequestKey("kept", int)
"""Where a request says how many keys are not given to it."""


@dataclass(slots=True)
class Answering:
    """A call, and what the honest answer would be.

    Attributes:
        request: The call.
        call: ``status``, ``enc_keys`` or ``dec_keys``.
        delay: Seconds, for modes that wait.
        memory: What a mode remembers from one call to the next.
    """

    request: web.Request
    call: str
    delay: float
    memory: dict[str, object]
    honest_answer: Callable[[], Awaitable[Reply]]
    _honest: Reply | None = field(default=None)

    async def honest(self) -> Reply:
        """Return the honest answer; keys in it have left the pool."""
        if self._honest is None:
            self._honest = await self.honest_answer()
        return self._honest


Act = Callable[[Answering], Awaitable[web.StreamResponse | None]]
"""Sends or returns a wrong answer; None when the mode has nothing to spoil here."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to misbehave.

    Attributes:
        name: What an operator types.
        calls: Calls that it concerns.
        explanation: What the client sees, one line.
        act: What it does.
    """

    name: str
    calls: frozenset[str]
    explanation: str
    act: Act
