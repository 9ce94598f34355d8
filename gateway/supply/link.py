"""The supply of one link: its stock kept filled, and in step with the peer's.

The end that starts handshakes draws keys ahead, announces them over the control
channel, and has them confirmed by the other end, which fetches the same ones from its
own KME. What either end lost or used is found by comparing the two stocks whenever one
of the daemons was started anew. Rotation takes from stock and waits for none of this;
only an empty stock is drawn from on demand.

A link filled by hand has no KME: its stocks are compared, and nothing is fetched.
"""

import asyncio
import logging
import os
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from gateway.config.model import LinkConfig
from gateway.errors import GatewayError
from gateway.keystore.base import KeyStore
from gateway.keystore.calls import RunBlocking
from gateway.sources.base import KeyClient, KMEStatus
from gateway.supply.budget import CallBudget
from gateway.supply.drawing import AT_ONCE, Drawing
from gateway.supply.driver import StoreCalls, perform
from gateway.supply.follower import Follower
from gateway.supply.intake import StockIntake
from gateway.supply.leader import Leader
from gateway.supply.outage import LinkLog, Outage
from gateway.supply.requests import Job, ReadClock, Send, StoreRequest, SupplyRequest
from gateway.supply.turns import SharedKME
from gateway.wire.control import StockMessage
from gateway.wire.stock import Announced, StockAnnounce, StockAnswer, StockPage

Tell = Callable[[StockMessage], bool]
"""Sends a message to the peer; False if no tunnel of the link is up."""

R = TypeVar("R")

logger = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between looks at the stock."""

INBOX: Final = 32
"""Messages from the peer that wait for the KME; it repeats what is dropped."""

SERVING_FACTOR: Final = 4.0
"""Calls that the peer's announcements may cost for each one allowed for drawing: a
message names fewer keys than a call brings."""

ON_DEMAND: Final = 4.0
"""Seconds that a handshake waits for keys from a KME: less than it has in all."""

DISAGREE: Final = (
    "the peer cannot use the keys drawn: the two KMEs do not agree",
    "compare sae_id and peer_sae_id at both ends, and run there: qgw qkd test",
)
"""What is wrong, and what to do about it, when no KME says so itself."""


@dataclass(frozen=True, slots=True)
class SupplyStatus:
    """How the supply of one link stands.

    Attributes:
        description: Where keys come from.
        draws: Whether this end draws keys.
        calls: Calls made to draw.
        drawn: Keys drawn.
        fetched: Keys fetched by key_ID.
        announced: Keys announced and not answered for.
        peer_available: Keys the peer last said to have, or None.
        compared_ago_s: Seconds since the stocks were last compared, or None.
        refused: Keys refused, by reason.
        error: What the last answer of a KME was wrong with, or that the two KMEs do
            not agree; empty if nothing.
        hint: What to do about it.
        retry_in_s: Seconds until it is asked again, 0 if nothing is in the way.
    """

    description: str
    draws: bool
    calls: int
    drawn: int
    fetched: int
    announced: int
    peer_available: int | None
    compared_ago_s: float | None
    refused: dict[str, int]
    error: str
    hint: str
    retry_in_s: float


class StockKeeper:
    """The supply of one link.

    Args:
        config: The link.
        client: Its KMEs, or None for a link that is filled by hand.
        store: The store.
        run: Calls the store.
        send: Sends to the peer over any tunnel of the link.
        clock: Monotonic seconds.
        mtu: Bytes that a control message may have.
        tick: Seconds between looks at the stock.
        shared: Who else draws on its KMEs.
        unlisted: See `Follower`; called only while the peer draws.
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
        tick: float = TICK,
        shared: SharedKME | None = None,
        unlisted: Callable[[Sequence[UUID]], None] | None = None,
    ) -> None:
        self.config = config
        self._shared = shared or SharedKME()
        self._client = client
        self._store = store
        self._run = run
        self._clock = clock
        self._tick = tick
        self._intake = StockIntake(config, store, run)
        self._log = LinkLog(logger, config.name)
        self._outage = Outage(self._log, "supply")
        allowed = config.requests_per_minute
        self._drawing: Drawing | None = None
        if client is not None:
            budget = CallBudget(allowed, _jitter)
            self._drawing = Drawing(client, self._intake, budget, clock)
        budget = CallBudget(allowed * SERVING_FACTOR, _jitter)
        self._unlisted = unlisted
        self._serving = Follower(
            client,
            self._intake,
            store,
            run,
            budget,
            clock,
            self._note_unlisted if unlisted is not None else None,
        )
        self._herald = Leader(
            config.name,
            fetches=client is not None,
            outcome=self._note_outcome,
            mtu=mtu,
            checked=config.checked,
        )
        self._send = send
        self._calls = StoreCalls(config, store)
        self._due = asyncio.Event()
        self._leading = asyncio.Lock()
        self._run_id = new_run()
        self._draws = False
        self._inbox: deque[tuple[StockAnnounce | StockPage, Tell]] = deque()
        self._asked = asyncio.Event()
        self._taken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._urgent: set[asyncio.Task[Sequence[UUID]]] = set()

    # -- What the daemon calls

    def start(self) -> None:
        """Begin, in the running event loop."""
        loop = asyncio.get_running_loop()
        work = [self._serve_peer(), self._keep_in_step()]
        if self._drawing is not None:
            work.append(self._draw_ahead(self._drawing))
        self._tasks = [loop.create_task(one) for one in work]

    async def stop(self) -> None:
        """Stop; what is under way is given up."""
        self._shared.content(self.config.name)
        tasks = [*self._tasks, *self._urgent]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        if self._client is not None:
            await self._client.close()

    def set_draws(self, *, draws: bool) -> None:
        """Say whether this end starts handshakes on the link, and so draws keys."""
        self._draws = draws
        if not draws:
            self._shared.content(self.config.name)
        self._taken.set()
        self._due.set()

    def connected(self) -> None:
        """Note that a tunnel of the link came up: the peer can be spoken to."""
        self._herald.greet()
        self._due.set()

    def taken(self) -> None:
        """Note that keys were taken from stock: more may be wanted."""
        self._taken.set()

    def changed_by_hand(self) -> None:
        """Note that keys were imported or purged: the stocks are to be compared."""
        self._run_id = new_run()
        self._herald.compare()
        self._due.set()
        self._taken.set()

    async def suspect(self) -> None:
        """Have no key count as confirmed before the stocks were compared anew.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        await self._lead(self._herald.suspect())
        self._due.set()

    def receive(self, message: StockMessage, reply: Tell) -> None:
        """Take a message of the peer; an answer goes out when it is known."""
        if isinstance(message, StockAnswer):
            self._herald.receive(message)
            self._due.set()
        elif len(self._inbox) < INBOX:
            self._inbox.append((message, reply))
            self._asked.set()

    async def draw_now(self) -> int:
        """Draw a few keys for a handshake that found none; return how many came.

        Waits `ON_DEMAND` seconds at most, and not at all while that is of no use.
        """
        return len(await self.draw_fresh())

    async def draw_fresh(self) -> Sequence[UUID]:
        """Draw a few keys, whatever is in stock, and name them; else as `draw_now`."""
        drawing = self._drawing
        if drawing is None or not drawing.is_urgent_allowed():
            return ()
        # Keys that come too late for this handshake are there for the next one.
        task = asyncio.get_running_loop().create_task(self._draw_urgently(drawing))
        self._urgent.add(task)
        task.add_done_callback(self._urgent.discard)
        done, _ = await asyncio.wait({task}, timeout=ON_DEMAND)
        return task.result() if done else ()

    async def fetch_now(self, key_ids: Sequence[UUID]) -> int:
        """Fetch keys that a handshake offers; return how many came.

        Waits `ON_DEMAND` seconds at most, and not at all while the KME pauses.
        """
        return await _in_time(self._serving.fetch(key_ids[:AT_ONCE])) or 0

    async def draw(self, count: int) -> int:
        """Draw up to `count` keys in one call, pause or not; return how many came.

        What went wrong is in `status`.
        """
        if self._drawing is None:
            return 0
        keys = await self._drawing.draw(count)
        self._announce(keys)
        return len(keys)

    async def ask_kme(self) -> KMEStatus | None:
        """Ask the KME how it stands; None for a link that is filled by hand.

        Raises:
            KeySourceError: It does not say.
        """
        return await self._client.get_status() if self._client is not None else None

    def status(self) -> SupplyStatus:
        """Describe the supply."""
        drawing, now = self._drawing, self._clock()
        error = (drawing and drawing.last_error) or self._serving.last_error
        message, hint = (error.message, error.hint) if error else ("", "")
        if not error and drawing is not None and drawing.is_distrusted():
            message, hint = DISAGREE
        compared = self._herald.compared_at
        return SupplyStatus(
            description=self._client.description if self._client else "by hand",
            draws=self._draws and drawing is not None,
            calls=drawing.calls if drawing else 0,
            drawn=drawing.drawn if drawing else 0,
            fetched=self._serving.fetched,
            announced=self._herald.announced,
            peer_available=self._herald.peer_available,
            compared_ago_s=None if compared is None else now - compared,
            refused=dict(self._intake.refused),
            error=message,
            hint=hint,
            retry_in_s=drawing.wait() if drawing and message else 0.0,
        )

    # -- Tasks

    async def _draw_ahead(self, drawing: Drawing) -> None:
        """Fill the stock up to its target, as fast as the budget allows."""
        while True:
            await _wait(self._taken, self._tick)
            while self._draws and drawing.allows():
                if not await self._surely(self._draw_batch(drawing)):
                    break

    def _note_unlisted(self, key_ids: Sequence[UUID]) -> None:
        if self._unlisted is not None and not self._draws:
            self._unlisted(key_ids)

    def _note_outcome(self, bad: int, _now: float) -> None:
        if self._drawing is not None:
            self._drawing.note_outcome(bad)

    def _announce(self, keys: Sequence[Announced]) -> None:
        self._herald.announce(keys)
        self._due.set()

    async def _draw_urgently(self, drawing: Drawing) -> Sequence[UUID]:
        keys = await drawing.draw_urgently()
        self._announce(keys)
        return [key.key_id for key in keys]

    async def _draw_batch(self, drawing: Drawing) -> bool:
        name, shared = self.config.name, self._shared
        status = await self._run(self._store.stocks.status, name)
        count = drawing.wanted(status)
        if not count:
            shared.content(name)
            return False
        shared.wants(name, (status.available + status.reserved) / self.config.target)
        if not shared.is_turn(name):
            return False
        self._announce(await drawing.draw(count))
        if drawing.is_out_of_order():
            shared.content(name)
        return True

    async def _serve_peer(self) -> None:
        while True:
            await _wait(self._asked, None)
            while self._inbox:
                message, reply = self._inbox.popleft()
                answer = await self._surely(self._serving.answer(message, self._run_id))
                if answer is not None:
                    reply(answer)

    async def _keep_in_step(self) -> None:
        herald = self._herald
        while True:
            left = herald.get_timer(speaks=self._draws) - self._clock()
            await _wait(self._due, min(max(left, self._tick / 10), self._tick))
            await self._surely(self._lead(herald.step(speaks=self._draws)))

    async def _lead(self, job: Job[R]) -> R:
        async with self._leading:
            return await perform(job, self._answer)

    async def _answer(self, request: SupplyRequest[Any]) -> object:
        match request:
            case ReadClock():
                return self._clock()
            case Send(message):
                return self._send(message)
            case StoreRequest():
                return await self._run(self._calls.answer, request)
            case _:
                raise TypeError(f"nothing answers {request!r}")

    async def _surely(self, work: Awaitable[R]) -> R | None:
        """Do a piece of work; log what it objects to, and go on with the next."""
        try:
            return await work
        except GatewayError as error:
            self._outage.failed(
                "failed", error.message, level=logging.WARNING, now=self._clock()
            )
        except Exception:
            # A fault of ours on one link must not end the supply of it for ever.
            logger.exception(
                "fault in the supply of keys",
                extra={"link": self.config.name, "event": "fault"},
            )
        return None


def new_run() -> int:
    """Return 64 random bits that stand for one stock as it is."""
    return int.from_bytes(os.urandom(8))


def _jitter() -> float:
    return secrets.randbelow(1000) / 1000


async def _in_time(work: Awaitable[R]) -> R | None:
    """Wait for some work `ON_DEMAND` seconds at most."""
    try:
        async with asyncio.timeout(ON_DEMAND):
            return await work
    except TimeoutError:
        return None


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, or until the time is over; clear it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()
