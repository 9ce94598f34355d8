"""`RelayDriver`: lets a `RelayNode` run in the store's thread."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.errors import GatewayError, RelayError, RelayFault
from gateway.events.bus import publish
from gateway.events.relay import RelayBroken
from gateway.keystore.calls import RunBlocking
from gateway.relay.events import (
    BundleFailed,
    MessageRefused,
    RelayedKeys,
    RelayEvent,
)
from gateway.relay.node import RelayNode
from gateway.relay.origin import check_bundle
from gateway.relay.refusals import Refusals
from gateway.relay.turn import Message, Work, take_turn

MAX_WAITING: Final = 256
"""Messages of one neighbour that wait for the store: what may be under way from one
origin; 1.2 MiB at most."""

MAX_REQUESTS: Final = 256
"""Requests that wait to be started; as many may be under way."""


@dataclass(slots=True, eq=False)
class _Request:
    """Somebody waits for keys."""

    routes: tuple[tuple[str, ...], ...]
    count: int
    future: asyncio.Future[RelayedKeys]
    bundle: UUID | None = None


class RelayDriver:
    """Runs a `RelayNode`: its calls in the store's thread, its timer, its messages.

    What arrives waits in one queue, a bounded part of it for each neighbour, and is
    worked off in order, as much in one call to the thread as `TURN` allows. No two
    calls run side by side.

    Args:
        node: The node; from now on only the driver calls it.
        transport_send: Sends a message to a neighbour; False if it could not.
        run: Makes calls in the store's thread.
        clock: Monotonic seconds; called in both threads.
        publish: Takes events, in the event loop's thread; of refused messages only as
            many as `Refusals` lets pass.
    """

    def __init__(
        self,
        node: RelayNode,
        transport_send: Callable[[str, bytes], bool],
        run: RunBlocking,
        *,
        clock: Callable[[], float],
        publish: Callable[[RelayEvent], None],
    ) -> None:
        self._node = node
        self._send = transport_send
        self._run = run
        self._clock = clock
        self._publish = publish
        self._inbox: deque[Message] = deque()
        self._waiting: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._refusals = Refusals()
        self._requests: deque[_Request] = deque()
        self._under_way: dict[UUID, _Request] = {}
        self._cancelled: list[UUID] = []
        self._unsent: list[Message] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to work."""
        self._stopping = False
        self._task = asyncio.create_task(self._work(), name="relay")
        self._task.add_done_callback(_report)

    @property
    def is_running(self) -> bool:
        """Whether it works; not before `start`, nor once a fault has ended it."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Finish the call under way, erase the rest, and fail who waits for keys."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._run(self._node.close)
        self._inbox.clear()
        self._waiting.clear()

    def receive(self, peer: str, data: bytes) -> None:
        """Take a message that came from a neighbour; drop it if too many wait."""
        if self._stopping or self._waiting[peer] >= MAX_WAITING:
            self._dropped[peer] += 1
            return
        self._waiting[peer] += 1
        self._inbox.append((peer, data))
        self._wake.set()

    async def request(self, routes: Sequence[Sequence[str]], count: int) -> RelayedKeys:
        """Have new end-to-end keys made, and return them once they are confirmed.

        A failure or a cancellation leaves nothing of them here.

        Args:
            routes: Disjoint, from this node to one destination.
            count: Keys, 1 to `MAX_BATCH`.

        Returns:
            The keys; the destination has stored them.

        Raises:
            RelayError: They could not be relayed; `fault` and `node` say why and where.
            KeyStoreError: This node's store failed.
            ValueError: `count` or the number of routes is out of bounds.
        """
        if self._stopping or self._task is None or self._task.done():
            raise _stopped()
        if len(self._requests) >= MAX_REQUESTS:
            raise RelayError(
                "too many requests for relayed keys wait",
                "wait for their answers",
                fault=RelayFault.BUSY,
            )
        check_bundle(len(routes), count)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RelayedKeys] = loop.create_future()
        named = tuple(tuple(route) for route in routes)
        request = _Request(named, count, future)
        self._requests.append(request)
        self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(request)
            raise

    def _abandon(self, request: _Request) -> None:
        """Have what a cancelled request made erased."""
        if request.bundle is not None and request.bundle in self._under_way:
            del self._under_way[request.bundle]
            self._cancelled.append(request.bundle)
            self._wake.set()
        # The keys came in the same turn of the event loop as the cancellation.
        done = request.future.done() and not request.future.cancelled()
        if done and request.future.exception() is None:
            request.future.result().wipe()

    async def _work(self) -> None:
        timer: float | None = None
        try:
            while True:
                await self._wait(timer)
                if self._stopping:
                    return
                timer = await self._take_turn()
        finally:
            self._fail_all()

    async def _wait(self, timer: float | None) -> None:
        """Wait until there is something to do."""
        if self._stopping:  # said while a turn was taken, whose wake-up would be lost
            return
        if self._inbox or self._requests or self._cancelled or self._unsent:
            return
        self._wake.clear()
        left = None if timer is None else max(0.0, timer - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._wake.wait()

    async def _take_turn(self) -> float | None:
        """Make one call to the thread, and do what follows; return the next timer."""
        requests = [one for one in self._requests if not one.future.done()]
        work = Work(
            list(self._inbox),
            [(one.routes, one.count) for one in requests],
            self._cancelled,
            self._unsent,
        )
        self._cancelled, self._unsent = [], []
        turn = await self._run(take_turn, self._node, work, self._clock)
        for _ in range(turn.received):
            peer, _data = self._inbox.popleft()
            self._waiting[peer] -= 1
        for result, request in zip(turn.started, requests, strict=False):
            self._note_started(request, result)
        self._requests = deque(
            one
            for one in self._requests
            if one.bundle is None and not one.future.done()
        )
        for peer, data in turn.to_send:
            if not self._send(peer, data):
                self._unsent.append((peer, data))
        for relayed in turn.delivered:
            self._note_delivered(relayed)
        for event in (*turn.events, *self._report_dropped()):
            self._note_event(event)
        return turn.timer

    def _note_started(self, request: _Request, result: UUID | GatewayError) -> None:
        if isinstance(result, GatewayError):
            if not request.future.done():
                request.future.set_exception(result)
            return
        request.bundle = result
        if request.future.done():  # cancelled meanwhile
            self._cancelled.append(result)
        else:
            self._under_way[result] = request

    def _note_delivered(self, relayed: RelayedKeys) -> None:
        request = self._under_way.pop(relayed.bundle, None)
        if request is None or request.future.done():
            relayed.wipe()
        else:
            request.future.set_result(relayed)

    def _note_event(self, event: RelayEvent) -> None:
        if isinstance(event, BundleFailed):
            self._note_failed(event)
        if isinstance(event, MessageRefused):
            told = self._refusals.tell(event, now=self._clock())
            if told is None:
                return
            event = told
        self._publish(event)

    def _note_failed(self, event: BundleFailed) -> None:
        request = self._under_way.pop(event.bundle, None)
        if request is not None and not request.future.done():
            request.future.set_exception(event.error)

    def _report_dropped(self) -> list[RelayEvent]:
        """Say once a turn, not once a message, what was dropped."""
        dropped, self._dropped = self._dropped, Counter()
        return [
            MessageRefused(
                peer,
                RelayError(
                    f"{count} messages were dropped: too many wait",
                    "the key store's disk may be slow, or someone floods the relay",
                    fault=RelayFault.BUSY,
                ),
            )
            for peer, count in dropped.items()
        ]

    def _fail_all(self) -> None:
        for request in (*self._requests, *self._under_way.values()):
            if not request.future.done():
                request.future.set_exception(_stopped())
        self._requests.clear()
        self._under_way.clear()


def _stopped() -> RelayError:
    return RelayError("the relay is stopped", "qgwd is stopping", fault=RelayFault.LOST)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        publish(RelayBroken(error))
