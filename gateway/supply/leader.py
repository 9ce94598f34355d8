"""The end that leads: tells of the stock of one link, and does as it is answered.

Fresh keys are announced; when a daemon was started anew, a stock was changed by hand,
or the counts differ, the two stocks are compared from end to end.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.events.bus import publish
from gateway.events.supply import KeysForbidden, StoreIsOld
from gateway.keystore.base import KeyStanding
from gateway.supply.announcements import Announcer
from gateway.supply.comparison import FIRST_KEY_ID, Comparison
from gateway.supply.requests import (
    Confirm,
    Doubt,
    Job,
    ReadChecks,
    ReadClock,
    ReadHeld,
    ReadStanding,
    ReadStock,
    Retire,
    Send,
    ask,
)
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

GREETING: Final = 60.0
"""Seconds between questions whether the peer's daemon is still the same one."""

RETRY: Final = 1.0
"""Seconds until a greeting is repeated that no tunnel could carry, or to a peer that
was never heard."""

GREETINGS: Final = 32
"""Greetings that an answer is still good for: half a minute of them, for a peer that
is slow because its KME is."""

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


@dataclass(slots=True)
class Suspicion:
    """This end's stock may be an old copy: of keys used since.

    Attributes:
        held: Keys that the peer holds, so far.
        used: Keys unused here that it has used, so far.
        is_old: Whether there ever was such a key.
    """

    held: list[UUID] = field(default_factory=list)
    used: list[UUID] = field(default_factory=list)
    is_old: bool = False

    def begin_anew(self) -> None:
        """Forget what a comparison said that is begun again."""
        self.held.clear()
        self.used.clear()


@dataclass(frozen=True, slots=True)
class Handover:
    """What the next leader of a link goes on with, in the same run of the daemon.

    Attributes:
        serial: Of the next message, so that no late answer to an earlier one seems to
            answer it.
        suspicion: Whether its stock may be an old copy.
    """

    serial: int
    suspicion: Suspicion | None


class Leader:
    """The announcing end of one link. Its jobs run one at a time.

    Args:
        link: The link's name.
        fetches: Whether the peer can fetch what it lacks from its KME.
        outcome: Told of announced keys that the peer has or may not use: how many of
            the latter, and when.
        mtu: Bytes that a control message may have.
        checked: Whether check values of the keys are told.

    Attributes:
        peer_available: Keys the peer last said to have, or None.
        compared_at: When the stocks were last compared from end to end, or None.
    """

    def __init__(
        self,
        link: str,
        *,
        fetches: bool,
        outcome: Callable[[int, float], None],
        mtu: int,
        checked: bool = True,
    ) -> None:
        self.peer_available: int | None = None
        self.compared_at: float | None = None
        self._link = link
        self._fetches = fetches
        self._outcome = outcome
        self._checked = checked
        self._announcer = Announcer(mtu)
        self._per_page = max(1, min(MAX_KEYS, (mtu - PAGE_SIZE) // PAGE_KEY_SIZE))
        self._comparison: Comparison | None = None
        self._peer_run: int | None = None
        self._serial = 1
        self._greetings: deque[int] = deque(maxlen=GREETINGS)
        self._greet_at = 0.0
        self._reaches = True
        self._resume_at = 0.0
        self._answers: deque[StockAnswer] = deque(maxlen=MAX_ANSWERS)
        self._suspicion: Suspicion | None = None

    @property
    def announced(self) -> int:
        """Keys announced, or to be announced, and not answered for."""
        return self._announcer.pending

    def announce(self, keys: Iterable[Announced]) -> None:
        """Tell the peer of keys just drawn."""
        if not self._announcer.announce(keys):
            self.compare()

    def greet(self) -> None:
        """Ask soon whether the peer's stock is still the same one."""
        self._greet_at = 0.0
        self._announcer.hurry()
        if self._comparison is not None:
            self._comparison.hurry()

    def compare(self) -> None:
        """Compare the stocks from the beginning, once a tunnel is up."""
        self._comparison = Comparison(self._per_page)
        if self._suspicion is not None:
            self._suspicion.begin_anew()

    def hand_over(self) -> Handover:
        """Say what the next leader of the link needs to know."""
        return Handover(self._serial, self._suspicion)

    def take_over(self, former: Handover) -> None:
        """Go on for the leader that the link had before, before anything is sent."""
        self._serial = former.serial
        self._suspicion = former.suspicion
        self.compare()

    def suspect(self) -> Job[None]:
        """Have no key count as confirmed before the stocks were compared anew.

        This end's store may be an old copy. If the peer turns out to have used keys
        that are unused here, it is: then all those compared are retired, for a key may
        have been used here and lost on its way to the peer.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        if self._suspicion is not None:
            return
        after: UUID | None = None
        while held := (yield from ask(ReadHeld(after, PAGE))):
            yield from ask(Doubt(held))
            after = held[-1]
        # Only now: where the store fails half-way, all of it is to be done again.
        self._suspicion = Suspicion()
        self.compare()

    def receive(self, answer: StockAnswer) -> None:
        """Take an answer; the next `step` does as it says."""
        self._answers.append(answer)

    def get_timer(self, *, speaks: bool) -> float:
        """When `step` is due; infinity if not before it is told of something."""
        return max(self._resume_at, self._due(speaks=speaks))

    def _due(self, *, speaks: bool) -> float:
        if self._answers:
            return 0.0
        if not speaks:
            return math.inf
        if not self._reaches:
            return self._greet_at
        times = [self._announcer.get_timer(), self._greet_at]
        if self._comparison is not None:
            times.append(self._comparison.get_timer())
        return min(when for when in times if when is not None)

    def step(self, *, speaks: bool) -> Job[None]:
        """Do as the answers say; send what is due, if a tunnel is up to carry it.

        Args:
            speaks: Whether this end is the one that draws keys.

        Raises:
            KeyStoreError: The store cannot be asked; the next step tries again.
        """
        try:
            yield from self._hear()
            if speaks:
                yield from self._speak()
        except KeyStoreError:
            self._resume_at = (yield from ask(ReadClock())) + RETRY
            raise

    # -- Speaking

    def _speak(self) -> Job[None]:
        """Send what is due, if a tunnel is up to carry it."""
        now = yield from ask(ReadClock())
        if now >= self._greet_at:
            greeting = self._next_serial()
            self._greetings.append(greeting)
            heard = self._peer_run is not None
            self._greet_at = now + (GREETING if heard else RETRY)
            self._reaches = yield from ask(Send(StockAnnounce(greeting)))
            if not self._reaches:
                self._greet_at = now + RETRY
        if not self._reaches:
            return
        for message in self._announcer.messages_due(self._serial, now=now):
            self._serial = max(self._serial, message.serial + 1)
            yield from ask(Send(message))
        comparison = self._comparison
        if comparison is not None and comparison.is_due(now=now):
            after = comparison.after
            held = yield from ask(
                ReadHeld(None if after == FIRST_KEY_ID else after, comparison.per_page)
            )
            now = yield from ask(ReadClock())
            yield from ask(Send(comparison.page(self._next_serial(), held, now=now)))

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial - 1

    # -- Listening

    def _hear(self) -> Job[None]:
        while self._answers:
            try:
                yield from self._note(self._answers.popleft())
            except KeyStoreError:
                # What it said may be done by halves: all is to be looked at again.
                self.compare()
                raise

    def _note(self, answer: StockAnswer) -> Job[None]:
        now = yield from ask(ReadClock())
        holdings = self._announcer.answered(answer, now=now)
        fresh = bool(holdings)
        if not fresh and self._comparison is not None:
            holdings = yield from self._note_page(self._comparison, answer, now)
        greets = answer.serial in self._greetings
        if greets:
            self._greetings.remove(answer.serial)
        if not holdings and not greets:
            return
        retired = yield from self._apply(holdings)
        if fresh and (retired or Holding.HELD in holdings.values()):
            self._outcome(retired, now)
        yield from self._note_peer(answer, now, greets=greets)

    def _note_page(
        self, comparison: Comparison, answer: StockAnswer, now: float
    ) -> Job[dict[UUID, Holding]]:
        """Take the answer to a page; return what it says that is still to be done."""
        holdings = comparison.answered(answer) or {}
        yield from self._announce_unknown(holdings)
        if self._suspicion is not None:
            holdings = yield from self._weigh(self._suspicion, holdings)
        # Another one may have been begun meanwhile, because the stock was changed.
        if comparison.done and comparison is self._comparison:
            self._comparison = None
            self.compared_at = now
            yield from self._end_suspicion()
        return holdings

    def _weigh(
        self, suspicion: Suspicion, holdings: Mapping[UUID, Holding]
    ) -> Job[dict[UUID, Holding]]:
        """Keep what the peer holds, and what it has used, until all is compared.

        Keys drawn in this run may have been used by both since the page was read: they
        are not unused here any more, and no sign of an old copy.
        """
        used = [key_id for key_id, one in holdings.items() if one is Holding.USED]
        standings = (yield from ask(ReadStanding(used))) if used else ()
        suspicion.used += (
            key_id
            for key_id, standing in zip(used, standings, strict=True)
            if standing is KeyStanding.HELD
        )
        suspicion.is_old |= bool(suspicion.used)
        suspicion.held += (
            key_id for key_id, one in holdings.items() if one is Holding.HELD
        )
        return {
            key_id: one
            for key_id, one in holdings.items()
            if one is Holding.UNKNOWN or one is Holding.LATER
        }

    def _end_suspicion(self) -> Job[None]:
        """Confirm what both hold; or retire it, if our stock is an old copy.

        What tells of the old copy goes last: a crash half-way leaves it for the next
        comparison to find.
        """
        suspicion = self._suspicion
        if suspicion is None:
            return
        if not suspicion.is_old:
            yield from ask(Confirm(tuple(suspicion.held)))
            self._suspicion = None
            return
        used = dict.fromkeys(suspicion.used, Holding.USED)
        count = yield from ask(Retire(tuple(suspicion.held)))
        yield from self._apply(used)
        self._suspicion = None
        publish(StoreIsOld(self._link, count))

    def _announce_unknown(self, holdings: dict[UUID, Holding]) -> Job[None]:
        """Announce the keys of a page that the peer lacks: it will fetch them."""
        unknown = [one for one, said in holdings.items() if said is Holding.UNKNOWN]
        if unknown and self._fetches:
            checks: Mapping[UUID, bytes] = dict.fromkeys(unknown, NO_CHECK)
            if self._checked:
                checks = yield from ask(ReadChecks(unknown))
            self.announce(Announced(one, check) for one, check in checks.items())

    def _note_peer(self, answer: StockAnswer, now: float, *, greets: bool) -> Job[None]:
        """Compare the stocks if the peer is another one, or counts differently."""
        self.peer_available = answer.available
        if answer.run != self._peer_run:
            self._peer_run = answer.run
            self._greet_at = now + GREETING
            self.compare()
        elif greets and self._comparison is None:
            age = now - (self.compared_at or 0.0)
            status = yield from ask(ReadStock())
            drift = abs(status.available - status.unconfirmed - answer.available)
            if (drift > DRIFT and age >= COMPARE_AGAIN) or age >= COMPARE_ANYWAY:
                self.compare()

    def _apply(self, holdings: dict[UUID, Holding]) -> Job[int]:
        """Do as the peer says of each key; return how many had to be retired."""
        by_holding = {
            kind: [key_id for key_id, one in holdings.items() if one is kind]
            for kind in Holding
        }
        if by_holding[Holding.HELD]:
            yield from ask(Confirm(by_holding[Holding.HELD]))
        if by_holding[Holding.UNKNOWN]:
            yield from ask(Doubt(by_holding[Holding.UNKNOWN]))
        used = by_holding[Holding.USED]
        # Those that were used together meanwhile are none of them.
        count = (yield from ask(Retire(used))) if used else 0
        if count:
            publish(KeysForbidden(self._link, count))
        return count
