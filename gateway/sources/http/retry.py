"""Repetition of calls to a KME: whether, when and how often (docs/adr/0111)."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.errors import SourceFault
from gateway.sources.http.trouble import Trouble

RETRIES: Final = MappingProxyType(
    {
        SourceFault.UNREACHABLE: 2,  # a restart, or a connection closed for idleness
        SourceFault.TIMEOUT: 1,  # it took a whole timeout already
        SourceFault.OVERLOADED: 2,  # it asks for no more than patience
        SourceFault.SERVER: 1,  # one bad moment; a second one is a fault
    }
)
"""Repetitions by class of error. Those not named are not repeated: what is wrong with
certificates, rights, requests and answers stays wrong; an empty pool needs minutes."""

MAX_TRIES: Final = 3
"""Of one call, all told; a whole operation takes at most as many timeouts."""

FIRST_CEILING: Final = 0.25
"""Seconds: ceiling of the first wait; a KME's reload takes about that."""

MAX_CEILING: Final = 2.0
"""Seconds: waiting longer is the stock keeper's, which has other links as well."""

MAX_INLINE_WAIT: Final = 3.0
"""Seconds of ``Retry-After`` that are waited here; longer ones are handed on."""

_T = TypeVar("_T")


def _jitter(ceiling: float) -> float:
    return secrets.SystemRandom().uniform(0.0, ceiling)


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait; tests bring their own.

    Attributes:
        sleep: Waits so many seconds.
        jitter: Returns a random number between zero and its argument.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[float], float] = _jitter


class Caller:
    """Makes calls to one KME, repeats them, and turns trouble into errors.

    Args:
        source: The KME, as errors name it.
        timeout: Seconds one exchange may take.
        patience: How to wait.
    """

    def __init__(self, source: str, timeout: float, patience: Patience) -> None:
        self._source = source
        self._timeout = timeout
        self._patience = patience

    @property
    def deadline(self) -> float:
        """Seconds that a whole operation may take."""
        return self._timeout * MAX_TRIES

    async def run(
        self, call: str, attempt: Callable[[], Awaitable[_T]], *, draws: bool = False
    ) -> _T:
        """Make a call, at most `MAX_TRIES` times.

        Args:
            call: Its name, for errors.
            attempt: Makes it once; raises `Trouble`.
            draws: Whether it takes new keys, so that it is not repeated when it may
                have been carried out.

        Raises:
            KeySourceError: The last trouble, without anything of an answer.
        """
        trouble: Trouble | None = None
        try:
            async with asyncio.timeout(self.deadline):
                return await self._run(attempt, draws=draws)
        except Trouble as last:
            trouble = last
        except TimeoutError:
            trouble = Trouble(SourceFault.TIMEOUT, "no whole answer in time")
        error = trouble.to_error(self._source, call)
        # Its frames hold parts of the answer; the error's shall not lead there.
        del trouble
        raise error

    async def _run(self, attempt: Callable[[], Awaitable[_T]], *, draws: bool) -> _T:
        tries = 0
        while True:
            tries += 1
            try:
                return await attempt()
            except Trouble as trouble:
                wait = self._wait_after(trouble, tries, draws=draws)
                if wait is None:
                    raise
            await self._patience.sleep(wait)

    def _wait_after(self, trouble: Trouble, tries: int, *, draws: bool) -> float | None:
        """Return seconds to wait before the next try, or None for no other."""
        if tries > RETRIES.get(trouble.fault, 0) or tries >= MAX_TRIES:
            return None
        if draws and trouble.is_carried_out:
            # A kept connection that was closed for idleness: once, at once.
            return 0.0 if trouble.is_stale and tries == 1 else None
        asked = trouble.retry_after or 0.0
        if asked > MAX_INLINE_WAIT:
            return None
        ceiling = min(FIRST_CEILING * 2 ** (tries - 1), MAX_CEILING)
        return asked + self._patience.jitter(ceiling)
