"""Acts that need a second person: asked for by one user, confirmed by another.

An act is held until another user confirms it, or until its time is over. What is
confirmed is what was asked for: its words are compared once more when it is done.

Root, the daemon's own user and a signal count as one person: ``systemctl reload`` runs
``qgw reload`` as the daemon's user, whoever asked systemd for it.
"""

import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from gateway.control.schema import Approval, ErrorCode
from gateway.errors import ControlError
from gateway.units import duration

MAX_PENDING: Final = 16
"""Acts held at once; of more the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks.

    Attributes:
        uid: The user.
        name: As a log names it.
    """

    uid: int
    name: str


SYSTEM: Final = Actor(0, "a signal")
"""Who asks where no connection does: SIGHUP."""

CALLER: Final[ContextVar[Actor]] = ContextVar("caller", default=SYSTEM)
"""Who asks for what is being done; set by the server for each request."""

_CONFIRMED: Final[ContextVar["Pending | None"]] = ContextVar("confirmed", default=None)


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that waits.

    Attributes:
        number: By which it is confirmed.
        act: One of the acts that the configuration names.
        words: What would be done, whole.
        method: The request to repeat once it is confirmed.
        params: Its parameters; nothing secret.
        asked_by: Who asked.
        until: When its time is over, monotonic seconds.
    """

    number: int
    act: str
    words: str
    method: str
    params: Mapping[str, object]
    asked_by: Actor
    until: float = field(compare=False)


class Approvals:
    """What waits for a second person.

    Args:
        clock: Monotonic seconds.
        own: The daemon's own user; None for whoever runs this.

    Attributes:
        changed: Called when an act begins to wait, or is confirmed.
    """

    def __init__(self, clock: Callable[[], float], own: int | None = None) -> None:
        self._clock = clock
        self.changed: Callable[[], None] = lambda: None
        self._privileged = {SYSTEM.uid, os.geteuid() if own is None else own}
        self._acts: frozenset[str] = frozenset()
        self._within = 0.0
        self._numbers = itertools.count(1)
        self._pending: dict[int, Pending] = {}

    def configure(self, acts: Collection[str], within: float) -> None:
        """Say which acts need a second person, and how long they wait, seconds."""
        self._acts, self._within = frozenset(acts), within

    def require(
        self, act: str, words: str, method: str, params: Mapping[str, object]
    ) -> None:
        """Go on if an act needs no second person, or was confirmed by one.

        Raises:
            ControlError: It waits to be confirmed.
        """
        if act not in self._acts:
            return
        confirmed = _CONFIRMED.get()
        if confirmed and (confirmed.act, confirmed.words) == (act, words):
            return
        pending = self._hold(act, words, method, params, CALLER.get())
        raise ControlError(
            f"a second person must confirm this: {words}",
            f"within {duration(self._within)} another user runs: "
            f"qgw approve {pending.number}",
            code=ErrorCode.NEEDS_APPROVAL,
        )

    def waiting(self) -> list[Approval]:
        """Return what waits, oldest first."""
        self._forget_old()
        return [
            Approval(
                id=each.number,
                act=each.act,
                what=each.words,
                asked_by=each.asked_by.name,
                left_s=each.until - self._clock(),
            )
            for each in self._pending.values()
        ]

    @contextmanager
    def confirm(self, number: int) -> Iterator[Pending]:
        """Let an act be done inside; it waits no longer, whatever comes of it.

        Raises:
            ControlError: Nothing waits by that number, or the same user asked.
        """
        self._forget_old()
        pending = self._pending.get(number)
        if pending is None:
            raise ControlError(
                f"nothing waits to be confirmed by the number {number}",
                "see what does: qgw approve",
                code=ErrorCode.NOT_FOUND,
            )
        if self._is_same(pending.asked_by, CALLER.get()):
            raise ControlError(
                "you asked for it yourself",
                "another user must confirm it; with sudo or systemctl you are root, as "
                "others are",
                code=ErrorCode.NOT_PERMITTED,
            )
        del self._pending[number]
        self.changed()
        token = _CONFIRMED.set(pending)
        try:
            yield pending
        finally:
            _CONFIRMED.reset(token)

    def _hold(
        self,
        act: str,
        words: str,
        method: str,
        params: Mapping[str, object],
        caller: Actor,
    ) -> Pending:
        self._forget_old()
        for each in self._pending.values():
            is_asked = (each.act, each.words) == (act, words)
            if is_asked and self._is_same(each.asked_by, caller):
                return each
        number, until = next(self._numbers), self._clock() + self._within
        made = Pending(number, act, words, method, dict(params), caller, until)
        self._pending[number] = made
        while len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self.changed()
        return made

    def _is_same(self, one: Actor, other: Actor) -> bool:
        both = {one.uid, other.uid}
        return len(both) == 1 or both <= self._privileged

    def _forget_old(self) -> None:
        now = self._clock()
        for number, each in tuple(self._pending.items()):
            if each.until <= now:
                del self._pending[number]
