"""Audit: a line in the log, with its user, for each request that changes something."""

import asyncio
from typing import Final

from gateway.control.approvals import Actor
from gateway.control.peer import Peer, name_user
from gateway.control.protocol import Request, code_of
from gateway.control.roles import READING
from gateway.control.words import outcome, said, word
from gateway.errors import GatewayError
from gateway.events.bus import publish
from gateway.events.control import CommandGiven

_SHOWN: Final = ("name", "link", "all", "count", "draw", "id")
"""Parameters that a line repeats: never any that may hold a key."""

_MAX_NAMES: Final = 256
"""Users whose names are remembered; more are looked up anew."""

_LOOKUP: Final = 1.0
"""Seconds for a user's name, which may be asked of a server: the number will do."""


class Audit:
    """Notes who asked for what, and what came of it."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def note(
        self,
        caller: Actor,
        peer: Peer,
        request: Request,
        error: GatewayError | None,
        answer: object = None,
    ) -> None:
        """Write a line, unless the request only read.

        Args:
            caller: Who asked.
            peer: By which process.
            request: What for.
            error: Why it was not done, or None if it was.
            answer: What was answered then.
        """
        if request.method in READING:
            return
        result = f"{code_of(error)}: {error.message}" if error else outcome(answer)
        publish(
            CommandGiven(
                caller.name, said(caller.name, peer.pid, describe(request), result)
            )
        )

    async def identify(self, peer: Peer) -> Actor:
        """Return who a peer is, for those who read the log."""
        return Actor(peer.uid, await self._name(peer.uid))

    async def _name(self, uid: int) -> str:
        name = self._names.get(uid)
        if name is None:
            try:
                async with asyncio.timeout(_LOOKUP):
                    name = await asyncio.to_thread(name_user, uid)
            except TimeoutError:
                return f"uid {uid}"
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()
            self._names[uid] = name
        return name


def describe(request: Request) -> str:
    """Return a request in words: its method, and what it is about."""
    words = [word(request.method)]
    for name in _SHOWN:
        value = request.params.get(name)
        if isinstance(value, str | int):
            words.append(f"{name}={word(value)}")
    keys = request.params.get("keys")
    if isinstance(keys, list):
        words.append(f"keys={len(keys)}")
    return " ".join(words)
