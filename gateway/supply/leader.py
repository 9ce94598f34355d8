"""The end that leads: tells of the stock of one link, and does as it is answered.

Fresh keys are announced; when a daemon was started anew, a stock was changed by hand,
or the counts differ, the two stocks are compared from end to end.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.keystore.base import KeyStore
from gateway.keystore.calls import RunBlocking
from gateway.supply.announcements import Announcer
from gateway.supply.comparison import FIRST_KEY_ID, Comparison
from gateway.supply.outage import LinkLog
from gateway.wire.control import StockMessage
from gateway.wire.stock import (
    MAX_KEYS,
    NO_CHECK,
    PAGE_KEY_SIZE,
    PAGE_SIZE,
    Announced,
    Holding,
    StockAnnounce,
    StockAnswer,
)

logger = logging.getLogger(__name__)

GREETING: Final = 60.0
"""Seconds between questions whether the peer's daemon is still the same one."""

COMPARE_AGAIN: Final = 600.0
"""Seconds between two comparisons because the two ends' counts differ: keys that are
on their way differ for a moment, too."""

COMPARE_ANYWAY: Final = 86_400.0
"""Seconds after which stocks are compared though the counts agree: one end may lack as
many keys that the other has as the other way round."""

DRIFT: Final = 16
"""Keys that the counts may differ by before stocks are compared again."""

MAX_ANSWERS: Final = 32
"""Answers that wait for the store; what they answered is repeated if one is lost."""

PAGE: Final = 1_000
"""Keys doubted in one call to the store: other calls come in between."""

Send = Callable[[StockMessage], bool]
"""Sends a message to the peer; False if no tunnel of the link is up."""


@dataclass(slots=True)
class _Suspicion:
    """This end's stock may be an old copy: of keys used since.

    Attributes:
        held: Keys that the peer holds, so far.
        is_old: Whether it had used one of them.
    """

    held: list[UUID] = field(default_factory=list)
    is_old: bool = False


class Leader:
    """The announcing end of one link.

    Args:
        link: The link's name.
        fetches: Whether the peer can fetch what it lacks from its KME.
        outcome: Told of announced keys that the peer has or may not use: how many of
            the latter.
        store: The store.
        run: Calls the store.
        send: Sends to the peer over any tunnel of the link.
        clock: Monotonic seconds.
        mtu: Bytes that a control message may have.
        retry: Seconds until a greeting is repeated to a peer that was never heard.
        checked: Whether check values of the keys are told.

    Attributes:
        peer_available: Keys the peer last said to have, or None.
        compared_at: When the stocks were last compared from end to end, or None.
        due: Set when `step` has something to do before its time.
    """

    def __init__(
        self,
        link: str,
        store: KeyStore,
        run: RunBlocking,
        *,
        fetches: bool,
        outcome: Callable[[int], None],
        send: Send,
        clock: Callable[[], float],
        mtu: int,
        retry: float,
        checked: bool = True,
    ) -> None:
        self.peer_available: int | None = None
        self.compared_at: float | None = None
        self.due = asyncio.Event()
        self._link = link
        self._log = LinkLog(logger, link)
        self._fetches = fetches
        self._outcome = outcome
        self._store = store
        self._run = run
        self._send = send
        self._clock = clock
        self._retry = retry
        self._checked = checked
        self._announcer = Announcer(mtu)
        self._per_page = max(1, min(MAX_KEYS, (mtu - PAGE_SIZE) // PAGE_KEY_SIZE))
        self._comparison: Comparison | None = None
        self._peer_run: int | None = None
        self._serial = 1
        self._greeting: int | None = None
        self._greet_at = 0.0
        self._answers: deque[StockAnswer] = deque(maxlen=MAX_ANSWERS)
        self._suspicion: _Suspicion | None = None
        self._turn = asyncio.Lock()

    @property
    def announced(self) -> int:
        """Keys announced, or to be announced, and not answered for."""
        return self._announcer.pending

    def announce(self, keys: Iterable[Announced]) -> None:
        """Tell the peer of keys just drawn."""
        if not self._announcer.announce(keys):
            self.compare()
        self.due.set()

    def greet(self) -> None:
        """Ask soon whether the peer's stock is still the same one."""
        self._greet_at = min(self._greet_at, self._clock())
        self._announcer.hurry()
        if self._comparison is not None:
            self._comparison.hurry()
        self.due.set()

    def compare(self) -> None:
        """Compare the stocks from the beginning, once a tunnel is up."""
        self._comparison = Comparison(self._per_page)
        if self._suspicion is not None:
            self._suspicion.held.clear()
        self.due.set()

    async def suspect(self) -> None:
        """Have no key count as confirmed before the stocks were compared anew.

        This end's store may be an old copy. If the peer turns out to have used keys
        that are unused here, it is: then all those compared are retired, for a key may
        have been used here and lost on its way to the peer.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        async with self._turn:
            if self._suspicion is not None:
                return
            after: UUID | None = None
            while True:
                held = await self._run(
                    self._store.held, self._link, after=after, count=PAGE
                )
                if not held:
                    break
                await self._run(self._store.doubt, self._link, held)
                after = held[-1]
            # Only now: where the store fails half-way, all of it is to be done again.
            self._suspicion = _Suspicion()
            self.compare()

    def receive(self, answer: StockAnswer) -> None:
        """Take an answer; the next `step` does as it says."""
        self._answers.append(answer)
        self.due.set()

    def get_timer(self) -> float:
        """When `step` is due at the latest."""
        times = [self._announcer.get_timer(), self._greet_at]
        if self._comparison is not None:
            times.append(self._comparison.get_timer())
        return min(when for when in times if when is not None)

    async def step(self, *, speaks: bool) -> None:
        """Do as the answers say; send what is due, if a tunnel is up to carry it.

        Args:
            speaks: Whether this end is the one that draws keys.

        Raises:
            KeyStoreError: The store cannot be asked; the next step tries again.
        """
        async with self._turn:
            while self._answers:
                await self._note(self._answers.popleft())
            if speaks:
                await self._speak()

    # -- Speaking

    async def _speak(self) -> None:
        """Send what is due, if a tunnel is up to carry it."""
        now = self._clock()
        if now >= self._greet_at:
            self._greeting = self._next_serial()
            heard = self._peer_run is not None
            sent = self._send(StockAnnounce(self._greeting))
            self._greet_at = now + (GREETING if sent and heard else self._retry)
            if not sent:
                return
        for message in self._announcer.messages_due(self._serial, now=now):
            self._serial = max(self._serial, message.serial + 1)
            self._send(message)
        comparison = self._comparison
        if comparison is not None and comparison.is_due(now=now):
            after = comparison.after
            held = await self._run(
                self._store.held,
                self._link,
                after=None if after == FIRST_KEY_ID else after,
                count=comparison.per_page,
            )
            self._send(comparison.page(self._next_serial(), held, now=self._clock()))

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial - 1

    # -- Listening

    async def _note(self, answer: StockAnswer) -> None:
        now = self._clock()
        holdings = self._announcer.answered(answer, now=now)
        fresh = bool(holdings)
        if not fresh and self._comparison is not None:
            holdings = await self._note_page(self._comparison, answer)
        if not holdings and answer.serial != self._greeting:
            return
        retired = await self._apply(holdings)
        if fresh and (retired or Holding.HELD in holdings.values()):
            self._outcome(retired)
        await self._note_peer(answer)

    async def _note_page(
        self, comparison: Comparison, answer: StockAnswer
    ) -> dict[UUID, Holding]:
        """Take the answer to a page; return what it says that is still to be done."""
        holdings = comparison.answered(answer) or {}
        await self._announce_unknown(holdings)
        if self._suspicion is not None:
            holdings = await self._weigh(self._suspicion, holdings)
        if comparison.done:
            self._comparison = None
            self.compared_at = self._clock()
            await self._end_suspicion()
        return holdings

    async def _weigh(
        self, suspicion: _Suspicion, holdings: Mapping[UUID, Holding]
    ) -> dict[UUID, Holding]:
        """Keep what the peer holds until all is compared, and retire what it used.

        Keys drawn in this run may have been used by both since the page was read: they
        are not unused here any more, and no sign of an old copy.
        """
        used: dict[UUID, Holding] = {
            key_id: one for key_id, one in holdings.items() if one is Holding.USED
        }
        if await self._apply(used):
            suspicion.is_old = True
        suspicion.held += (
            key_id for key_id, one in holdings.items() if one is Holding.HELD
        )
        return {
            key_id: one
            for key_id, one in holdings.items()
            if one is Holding.UNKNOWN or one is Holding.LATER
        }

    async def _end_suspicion(self) -> None:
        """Confirm what both hold; or retire it, if our stock is an old copy."""
        suspicion, self._suspicion = self._suspicion, None
        if suspicion is None:
            return
        if not suspicion.is_old:
            await self._run(self._store.confirm, self._link, suspicion.held)
            return
        count = await self._run(self._store.retire, self._link, suspicion.held)
        self._log.error(
            "the key store is an old copy: the peer has used keys, or let them "
            "expire, that are unused here; the %d others of them are retired",
            count,
            extra={"event": "store-is-old"},
        )

    async def _announce_unknown(self, holdings: dict[UUID, Holding]) -> None:
        """Announce the keys of a page that the peer lacks: it will fetch them."""
        unknown = [one for one, said in holdings.items() if said is Holding.UNKNOWN]
        if unknown and self._fetches:
            checks: Mapping[UUID, bytes] = dict.fromkeys(unknown, NO_CHECK)
            if self._checked:
                checks = await self._run(self._store.checks, self._link, unknown)
            self.announce(Announced(one, check) for one, check in checks.items())

    async def _note_peer(self, answer: StockAnswer) -> None:
        """Compare the stocks if the peer is another one, or counts differently."""
        self.peer_available = answer.available
        if answer.run != self._peer_run:
            self._peer_run = answer.run
            self._greet_at = self._clock() + GREETING
            self.compare()
        elif answer.serial == self._greeting and self._comparison is None:
            age = self._clock() - (self.compared_at or 0.0)
            status = await self._run(self._store.status, self._link)
            drift = abs(status.available - status.unconfirmed - answer.available)
            if (drift > DRIFT and age >= COMPARE_AGAIN) or age >= COMPARE_ANYWAY:
                self.compare()

    async def _apply(self, holdings: dict[UUID, Holding]) -> int:
        """Do as the peer says of each key; return how many had to be retired."""
        by_holding = {
            kind: [key_id for key_id, one in holdings.items() if one is kind]
            for kind in Holding
        }
        name, store = self._link, self._store
        if by_holding[Holding.HELD]:
            await self._run(store.confirm, name, by_holding[Holding.HELD])
        if by_holding[Holding.UNKNOWN]:
            await self._run(store.doubt, name, by_holding[Holding.UNKNOWN])
        used = by_holding[Holding.USED]
        # Those that were used together meanwhile are none of them.
        count = await self._run(store.retire, name, used) if used else 0
        if count:
            self._log.warning(
                "the peer may not use %d keys any more; they are retired",
                count,
                extra={"event": "keys-retired"},
            )
        return count
