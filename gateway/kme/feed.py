"""Runs the model of the link at alice's end, and cuts what it gives into keys.

A block counts once the other end has noted its keys, durably, and this end after it: as
on a real link, no key comes about while one end is away.
"""

import asyncio
import logging
from typing import Final

from gateway.kme.core import KMECore
from gateway.kme.link import KmeLinkStatus, LinkModel, LinkState
from gateway.kme.marks import Half, Marks
from gateway.kme.peer import PeerError
from gateway.kme.refusals import RefusedError

TICK: Final = 0.1
"""Seconds between two looks at the model."""

HEARTBEAT: Final = 1.0
"""Seconds after which the ends compare marks although no block came."""

_log = logging.getLogger(__name__)


class LinkFeed:
    """Fills the pools of both ends.

    Args:
        core: The KME at this end, alice.
        model: The link.
    """

    def __init__(self, core: KMECore, model: LinkModel) -> None:
        self._core = core
        self._model = model
        self._bits = 0
        self._last_told = float("-inf")
        self._lost_keys = 0
        self._problem = ""
        self._state = LinkState.UP

    @property
    def problem(self) -> str:
        """Why the peer could not be told of the last block; empty if it was."""
        return self._problem

    @property
    def lost_keys(self) -> int:
        """Keys lost since the start because the peer could not be told."""
        return self._lost_keys

    async def run(self) -> None:
        """Feed both pools until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.step(loop.time())
            await asyncio.sleep(TICK)

    async def step(self, now: float) -> None:
        """Take in the blocks that are due."""
        blocks = self._model.blocks_due(now)
        status = self._model.status()
        self._note_state(status)
        self._core.link_status = status
        key_size = self._core.settings.key_size
        self._bits += sum(block.secret_bits for block in blocks)
        keys, self._bits = divmod(self._bits, key_size)
        if keys or now - self._last_told >= HEARTBEAT:
            self._last_told = now
            await self.give(keys)

    async def give(self, keys: int) -> int:
        """Tell the peer of new keys and note them here; return how many came in."""
        before = self._core.marks
        marks = self._shared(before, keys)
        given = sum(marks.made) - sum(before.made)
        try:
            answer = await self._core.peer.exchange(
                self._core.message(marks, self._core.link_status)
            )
            await self._core.merge(marks.merged(answer.marks))
        except (PeerError, RefusedError) as error:
            self._lost_keys += given
            self._note_problem(str(error))
            return 0
        self._core.peer_capacity = answer.max_key_count
        self._note_problem("")
        return given

    def _shared(self, marks: Marks, keys: int) -> Marks:
        """Share keys between the halves; what neither has room for is lost."""
        own, other = self._core.own, self._core.own.other
        room = {
            own: max(0, self._core.settings.max_key_count - marks.stock(own)),
            other: max(0, self._core.peer_capacity - marks.stock(other)),
        }
        share = {own: min(room[own], -(-keys // 2))}
        share[other] = min(room[other], keys - share[own])
        share[own] = min(room[own], keys - share[other])
        made = [marks.made[half] + share[half] for half in Half]
        return Marks((made[0], made[1]), marks.drawn)

    def _note_problem(self, problem: str) -> None:
        if problem and not self._problem:
            _log.warning("no keys come in: %s", problem)
        elif self._problem and not problem:
            _log.info("the peer KME answers again")
        self._problem = problem

    def _note_state(self, status: KmeLinkStatus) -> None:
        if status.state is self._state:
            return
        self._state = status.state
        if status.alarm:
            _log.warning("quantum link %s: %s", status.state, status.alarm)
        else:
            _log.info("quantum link %s", status.state)
