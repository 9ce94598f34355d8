"""The fence's guard: what others change is restored, and new addresses are followed.

The kernel tells of changes to rulesets and addresses; a look every few seconds finds
what it did not tell. Where the table has an owner, others cannot change it at all.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.dataplane.fence.connected import AddressNotifications
from gateway.dataplane.fence.enforcement import Fencing
from gateway.errors import DataPlaneError
from gateway.events.bus import publish
from gateway.events.fence import FenceFailed, FenceRestored

if TYPE_CHECKING:
    from gateway.dataplane.fence.base import Notifications

SWEEP: Final = 5.0
"""Seconds between looks that nothing gave a reason for: one request to the kernel."""

ADDRESS_DELAY: Final = 0.1
"""Seconds to wait for more: a link that comes up brings several addresses."""

FIRST_PAUSE: Final = 0.05
"""Seconds until the next restoration if somebody undid the last; doubled each time."""

MAX_PAUSE: Final = 1.0
"""Seconds, at most: so long a packet may find no fence while somebody fights."""

CALM: Final = 10.0
"""Seconds without a change after which the next one is restored at once again."""

SAY_AGAIN: Final = 300.0
"""Seconds until it is said again that somebody keeps changing the fence."""


class FenceGuard:
    """Watches one fence in the event loop.

    Attributes:
        restored: How often it was put back since the start.
    """

    def __init__(self, fencing: Fencing) -> None:
        self._fencing = fencing
        self._loop = asyncio.get_running_loop()
        self._rulesets: Notifications | None = None
        self._addresses: AddressNotifications | None = None
        self._touched = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._refresh: asyncio.TimerHandle | None = None
        self.restored = 0
        self._pause = 0.0
        self._last = self._said = float("-inf")

    async def start(self) -> None:
        """Begin to watch.

        Raises:
            DataPlaneError: The kernel refuses to tell.
        """
        fence = await self._fencing.opened()
        self._addresses = AddressNotifications()
        self._loop.add_reader(self._addresses.fileno(), self._on_address)
        self._rulesets = fence.listen()
        if self._rulesets is not None:
            self._loop.add_reader(self._rulesets.fileno(), self._on_ruleset)
        self._tasks.append(self._loop.create_task(self._keep()))

    async def stop(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._refresh is not None:
            self._refresh.cancel()
        for notifications in (self._rulesets, self._addresses):
            if notifications is not None:
                self._loop.remove_reader(notifications.fileno())
                notifications.close()

    def _on_ruleset(self) -> None:
        if self._rulesets is not None and not self._rulesets.were_ours():
            self._touched.set()

    def _on_address(self) -> None:
        if self._addresses is None or not self._addresses.drain():
            return
        if self._refresh is None:
            self._refresh = self._loop.call_later(ADDRESS_DELAY, self._start_refresh)

    def _start_refresh(self) -> None:
        self._refresh = None
        task = self._loop.create_task(self._follow_addresses())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _follow_addresses(self) -> None:
        try:
            await self._fencing.refresh()
        except DataPlaneError as error:
            _complain(error)

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._touched.wait(), SWEEP)
            touched = self._touched.is_set()
            self._touched.clear()
            try:
                if await self._fencing.repair(touched=touched):
                    await self._note()
                await self._fencing.expire()
            except DataPlaneError as error:
                _complain(error)
                await asyncio.sleep(MAX_PAUSE)
                self._touched.set()

    async def _note(self) -> None:
        """Say that something was restored; wait a little if somebody fights."""
        now = self._loop.time()
        if now - self._last > CALM:
            self._pause = 0.0
        self._last = now
        self.restored += 1
        if now - self._said > SAY_AGAIN:
            self._said = now
            publish(FenceRestored(self.restored))
        await asyncio.sleep(self._pause)
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), MAX_PAUSE)


def _complain(error: DataPlaneError) -> None:
    publish(FenceFailed(error.message, error.hint))
