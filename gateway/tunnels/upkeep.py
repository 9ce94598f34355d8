"""Upkeep of the kernel: what it should hold is compared with what it holds.

Notifications say that something changed; a moment later everything of that kind is
compared, in the planes' thread. A slow sweep compares without being told.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from gateway.dataplane.held.monitor import Monitor
from gateway.dataplane.held.restored import Loss, Restoration, Scope
from gateway.errors import DataPlaneError
from gateway.events.bus import publish
from gateway.events.tunnels import (
    DevicesUncompared,
    KernelStateFought,
    KernelStateMissing,
    KernelStateRestored,
    KernelUncompared,
    KernelUnwatched,
)
from gateway.tunnels.planes import Planes

DEBOUNCE: Final = 0.03
"""Seconds from a notification to the comparison: a flush sends thousands."""

SHARE: Final = 10
"""A comparison is followed by a pause of this many times what it took, so that a busy
host's changes cost at most a tenth of a processor; with a hub's thousands of tunnels
still below a second."""

LONGEST_PAUSE: Final = 0.7
"""Seconds; what is missing must be back within one."""

SWEEP: Final = 30.0
"""Seconds between comparisons that nothing asked for."""

FIRST_RETRY: Final = 0.7
"""Seconds until what the kernel refused to take back is tried again: of some causes,
such as a sysctl, nothing says when they are gone."""

LONGEST_RETRY: Final = 5.0
"""... doubled up to this, for as long as the same things are missing."""

STEADY: Final = 1.0
"""Seconds for which what somebody keeps taking away must stay before it counts as back:
else a tunnel would be called up, and make an epoch, each time that we try again."""

MOST_SAID: Final = 20
"""Tunnels of which one comparison speaks, and things that it names of each."""

PULSE: Final = 0.7
"""Seconds between looks for keys that went without a notification."""


class Upkeep:
    """Keeps the planes' tunnels as they are wanted.

    Attributes:
        missing: What is missing now, and why it was not put back.
        restored: How often what was put back since the start.
    """

    def __init__(
        self,
        planes: Planes,
        keyless: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        """Take the planes; nothing is watched before `start`.

        Args:
            planes: Whose tunnels.
            keyless: Called with a tunnel whose keys are gone from the kernel.
            changed: Called when something else is missing than before.
        """
        self.missing: dict[Loss, str] = {}
        self.restored: Counter[Loss] = Counter()
        self._planes = planes
        self._keyless = keyless
        self._on_change = changed
        self._changed = Scope(0)
        self._wake = asyncio.Event()
        self._monitor: Monitor | None = None
        self._retry_at = 0.0
        self._retry = FIRST_RETRY
        self._ports: tuple[int, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._keyless_before: frozenset[str] = frozenset()
        self._unsteady: dict[Loss, asyncio.TimerHandle] = {}

    def start(self, *, is_complete: bool) -> None:
        """Listen, and compare from now on.

        Args:
            is_complete: Whether every tunnel has started, so that what an earlier
                run left and none of them wants may go at once.
        """
        loop = asyncio.get_running_loop()
        if is_complete:
            self._planes.settle()
        self._note(Scope.ROUTING)
        self._listen(loop)
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._beat())]

    async def stop(self) -> None:
        """Stop; everything stays as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for timer in self._unsteady.values():
            timer.cancel()
        self._unsteady.clear()
        self._unlisten()

    def look_again(self) -> None:
        """Compare routes and policies soon, whatever the kernel tells."""
        self._note(Scope.ALL)

    def obstacle_of(self, tunnel: str) -> str:
        """Return what keeps packets out of a tunnel, in words; empty for nothing."""
        vital = (
            f"{loss.what} is missing: {why}"
            for loss, why in self.missing.items()
            if loss.tunnel in {tunnel, ""} and loss.is_vital
        )
        unsteady = (
            f"{loss.what} was missing a moment ago: somebody keeps taking it away"
            for loss in self._unsteady
            if loss.tunnel in {tunnel, ""}
        )
        return next(chain(vital, unsteady), "")

    def missing_of(self, tunnel: str) -> tuple[str, ...]:
        """Return what is missing of a tunnel, or of what all tunnels need, in words."""
        return tuple(
            f"{loss.what} is missing: {why}"
            for loss, why in self.missing.items()
            if loss.tunnel in {tunnel, ""}
        )

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ports = self._planes.ports()
        try:
            self._monitor = Monitor(self._ports)
        except DataPlaneError as error:
            publish(KernelUnwatched(SWEEP, error.message))
            return
        for opened in self._monitor.sockets:
            loop.add_reader(opened, self._on_readable, opened)

    def _unlisten(self) -> None:
        if self._monitor is not None:
            for opened in self._monitor.sockets:
                asyncio.get_running_loop().remove_reader(opened)
            self._monitor.close()
            self._monitor = None

    def _on_readable(self, ready: socket.socket) -> None:
        assert self._monitor is not None  # noqa: S101  # it is its socket
        self._note(self._monitor.read(ready))

    def _note(self, changed: Scope) -> None:
        if changed:
            self._changed |= changed
            self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await asyncio.sleep(DEBOUNCE)
            self._wake.clear()
            scope, self._changed = self._changed, Scope(0)
            started = loop.time()
            await self._compare(scope)
            took = loop.time() - started
            await asyncio.sleep(min(SHARE * took, LONGEST_PAUSE))

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + SWEEP
        while True:
            await asyncio.sleep(PULSE)
            if self._planes.ports() != self._ports:  # a plane was opened since
                self._unlisten()
                self._listen(loop)
                self._note(Scope.ALL)
            await self._look()
            now = loop.time()
            if now >= sweep_at or (self.missing and now >= self._retry_at):
                sweep_at = now + SWEEP
                self._retry_at = now + self._retry
                self._retry = min(2 * self._retry, LONGEST_RETRY)
                self._note(Scope.ALL)

    async def _look(self) -> None:
        try:
            found = await self._planes.check()
        except DataPlaneError as error:
            publish(DevicesUncompared(error.message))
            return
        self._report_restored(found)
        self._report_keyless(frozenset(found.keyless))

    async def _compare(self, scope: Scope) -> None:
        try:
            found = await self._planes.restore(scope)
        except DataPlaneError as error:
            publish(KernelUncompared(error.message))
            return
        self._report(found)
        self._report_keyless(frozenset(found.keyless))

    def _report(self, found: Restoration) -> None:
        self._report_restored(found)
        new = [loss for loss in found.missing if loss not in self.missing]
        for tunnel, what in _by_tunnel(new):
            publish(KernelStateMissing(tunnel or None, what))
        self._doubt(found)
        changed, self.missing = found.missing != self.missing, found.missing
        if changed:
            self._retry = FIRST_RETRY
            self._on_change()
        if found.retry_at is not None:
            self._retry_at = found.retry_at

    def _doubt(self, found: Restoration) -> None:
        """Doubt what was missing, is back, and is fought over, until it has stayed."""
        loop = asyncio.get_running_loop()
        for loss in found.fought:
            if loss.is_vital and loss in self.missing and loss not in found.missing:
                timer = self._unsteady.pop(loss, None)
                if timer is not None:
                    timer.cancel()
                self._unsteady[loss] = loop.call_later(STEADY, self._believe, loss)

    def _believe(self, loss: Loss) -> None:
        del self._unsteady[loss]
        self._on_change()

    def _report_restored(self, found: Restoration) -> None:
        self.restored.update(found.restored.keys())
        for tunnel, what in _by_tunnel(found.restored):
            publish(KernelStateRestored(tunnel or None, what))
        for loss, pause in found.fought.items():
            publish(KernelStateFought(loss.tunnel or None, loss.what, pause))

    def _report_keyless(self, found: frozenset[str]) -> None:
        for name in sorted(found - self._keyless_before):
            self._keyless(name)
        self._keyless_before = found


def _by_tunnel(losses: Iterable[Loss]) -> Iterator[tuple[str, str]]:
    """Yield what is said of each tunnel: a flush takes thousands of things at once."""
    tunnels: dict[str, list[str]] = {}
    for loss in losses:
        tunnels.setdefault(loss.tunnel, []).append(loss.what)
    for number, (tunnel, what) in enumerate(tunnels.items()):
        if number == MOST_SAID:
            yield "", f"the same of {len(tunnels) - number} more tunnels"
            return
        more = f", and {len(what) - MOST_SAID} more" if len(what) > MOST_SAID else ""
        yield tunnel, "; ".join(what[:MOST_SAID]) + more
