"""The supply of one link: a supply machine, and the tasks that do what it asks."""

import asyncio
import contextlib
import math
import os
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from gateway.config.model import LinkConfig
from gateway.errors import GatewayError
from gateway.events.bus import publish
from gateway.events.faults import InternalFault
from gateway.keystore.base import KeyStore
from gateway.keystore.calls import RunBlocking
from gateway.sources.base import KeyClient, KMEStatus
from gateway.supply.drawing import AT_ONCE
from gateway.supply.driver import StoreCalls, perform
from gateway.supply.leader import Handover
from gateway.supply.machine import RECURRING, Lane, SupplyMachine, SupplyStatus
from gateway.supply.outage import Outage
from gateway.supply.requests import (
    DrawKeys,
    FetchKeys,
    Job,
    ReadClock,
    Send,
    StoreRequest,
    SupplyRequest,
)
from gateway.supply.turns import SharedKME
from gateway.wire.control import StockMessage

R = TypeVar("R")

AFTER_FAULT: Final = 0.1
"""Seconds until a lane goes on whose job has failed: its next one may fail as fast."""

ON_DEMAND: Final = 4.0
"""Seconds that a handshake waits for keys from a KME: less than it has in all."""

FAULT: Final = "in the supply of keys"
"""Where a fault of ours was met."""

Tell = Callable[[StockMessage, str | None], bool]
"""Sends a message to the peer, over the tunnel named or over any of the link; False if
it has no session."""


class LinkSupply:
    """The supply of one link.

    Args:
        config: The link.
        client: Its KMEs, or None for a link that is filled by hand.
        store: The store.
        run: Calls the store.
        send: Sends to the peer.
        clock: Monotonic seconds.
        mtu: Bytes that a control message may have.
        shared: Who else draws on its KMEs.
        disown: Told, in the store's thread, of unused keys that the peer, which draws
            all of them, does not hold; None if it need not be told.
    """

    def __init__(
        self,
        config: LinkConfig,
        client: KeyClient | None,
        store: KeyStore,
        run: RunBlocking,
        *,
        send: Tell,
        clock: Callable[[], float],
        mtu: int,
        shared: SharedKME | None = None,
        disown: Callable[[Sequence[UUID]], None] | None = None,
    ) -> None:
        self.config = config
        self._client = client
        self._run = run
        self._send = send
        self._clock = clock
        self._calls = StoreCalls(config, store, disown)
        self._machine = SupplyMachine(
            config,
            client.description if client is not None else None,
            mtu=mtu,
            run=new_run(),
            chance=_chance,
            shared=shared,
            disowns=disown is not None,
        )
        self._outage = Outage(config.name, "supply")
        self._lanes = {lane: asyncio.Lock() for lane in Lane}
        self._told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._waited_for: set[asyncio.Task[Any]] = set()

    # -- What the daemon calls

    def start(self) -> None:
        """Begin, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work(lane)) for lane in RECURRING]

    async def stop(self) -> None:
        """Stop; what is under way is given up."""
        self._machine.end()
        tasks = [*self._tasks, *self._waited_for]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        async with self._lanes[Lane.LEADING]:
            # Who suspects the stock has done so: the next supply has to know of it.
            if self._client is not None:
                await self._client.close()

    def take_over(self, former: "LinkSupply") -> None:
        """Go on for a supply that the link had before, and that has stopped.

        To be called before `start`.
        """
        self._machine.take_over(former.hand_over())

    def hand_over(self) -> Handover:
        """Say what the link's next supply needs to know."""
        return self._machine.hand_over()

    def set_draws(self, *, draws: bool) -> None:
        """Say whether this end starts handshakes on the link, and so draws keys."""
        self._machine.set_draws(draws=draws)
        self._wake()

    def connected(self) -> None:
        """Note that a tunnel of the link came up: the peer can be spoken to."""
        self._machine.connected()
        self._wake()

    def taken(self) -> None:
        """Note that keys were taken from stock: more may be wanted."""
        self._machine.taken()
        self._wake()

    def changed_by_hand(self) -> None:
        """Note that keys were imported or purged: the stocks are to be compared."""
        self._machine.changed_by_hand(new_run())
        self._wake()

    def receive(self, message: StockMessage, tunnel: str) -> None:
        """Take a message of the peer; an answer goes out when it is known."""
        self._machine.receive(message, tunnel)
        self._wake()

    async def suspect(self) -> None:
        """Have no key count as confirmed before the stocks were compared anew.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        await self._do(Lane.LEADING, self._machine.suspect())

    async def draw_now(self) -> int:
        """Draw a few keys for a handshake that found none; return how many came.

        Waits `ON_DEMAND` seconds at most, and not at all while that is of no use.
        """
        return len(await self.draw_fresh())

    async def draw_fresh(self) -> Sequence[UUID]:
        """Draw a few keys, whatever is in stock, and name them; else as `draw_now`."""
        if not self._machine.may_draw_urgently(now=self._clock()):
            return ()
        job = self._do(Lane.URGENT, self._machine.draw_urgently())
        return await self._in_time(job) or ()

    async def fetch_now(self, key_ids: Sequence[UUID]) -> int:
        """Fetch keys that a handshake offers; return how many came.

        Waits `ON_DEMAND` seconds at most, and not at all while the KME pauses.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        wanted = key_ids[:AT_ONCE]
        if not await perform(self._machine.unknown(wanted), self._answer):
            return 0
        job = self._do(Lane.FOLLOWING, self._machine.fetch(wanted))
        return await self._in_time(job) or 0

    async def draw(self, count: int) -> int:
        """Draw up to `count` keys in one call, pause or not; return how many came.

        What went wrong is in `status`.
        """
        return await self._do(Lane.AHEAD, self._machine.draw(count))

    async def ask_kme(self) -> KMEStatus | None:
        """Ask the KME how it stands; None for a link that is filled by hand.

        Raises:
            KeySourceError: It does not say.
        """
        return await self._client.get_status() if self._client is not None else None

    def status(self) -> SupplyStatus:
        """Describe the supply."""
        return self._machine.status(now=self._clock())

    # -- Jobs

    async def _work(self, lane: Lane) -> None:
        """Do the work of a lane whenever it is due."""
        while True:
            await self._due(lane)
            if not await self._surely(lane):
                await asyncio.sleep(AFTER_FAULT)

    async def _due(self, lane: Lane) -> None:
        while (left := self._machine.get_timer(lane) - self._clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._told.wait()

    def _wake(self) -> None:
        """Have every lane that waits look at its timer again."""
        self._told.set()
        self._told.clear()

    async def _surely(self, lane: Lane) -> bool:
        """Do a piece of work; log what it objects to, and return False then."""
        try:
            await self._do(lane, self._machine.work(lane))
        except GatewayError as error:
            self._note(error)
        except Exception as error:  # noqa: BLE001
            # A fault of ours on one link must not end the supply of it for ever.
            publish(InternalFault(FAULT, error, link=self.config.name))
        else:
            return True
        return False

    async def _do(self, lane: Lane, job: Job[R]) -> R:
        async with self._lanes[lane]:
            try:
                return await perform(job, self._answer)
            finally:
                self._wake()

    async def _in_time(self, work: Coroutine[Any, Any, R]) -> R | None:
        """Wait for some work `ON_DEMAND` seconds at most.

        Keys that come too late for a handshake are there for the next one.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._waited_for.add(task)
        task.add_done_callback(self._waited_for.discard)
        done, _ = await asyncio.wait({task}, timeout=ON_DEMAND)
        if done:
            return task.result()
        task.add_done_callback(self._note_late)
        return None

    def _note_late(self, task: asyncio.Task[Any]) -> None:
        """Log why a job failed that its handshake waits for no more."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GatewayError):
            self._note(error)
        elif error is not None:
            publish(InternalFault(FAULT, error, link=self.config.name))

    def _note(self, error: GatewayError) -> None:
        self._outage.failed("failed", error.message)

    async def _answer(self, request: SupplyRequest[Any]) -> object:  # a table
        """Do what a job asks."""
        match request:
            case ReadClock():
                return self._clock()
            case Send(message, tunnel):
                return self._send(message, tunnel)
            case StoreRequest():
                return await self._run(self._calls.answer, request)
            case DrawKeys(count) if self._client is not None:
                return await self._client.get_keys(count)
            case FetchKeys(key_ids) if self._client is not None:
                return await self._client.get_keys_with_ids(key_ids)
            case _:
                raise TypeError(f"nothing answers {request!r}")


def new_run() -> int:
    """Return 64 random bits that stand for one stock as it is."""
    return int.from_bytes(os.urandom(8))


def _chance() -> float:
    return secrets.randbelow(1000) / 1000
