"""The supply machine: one link's stock kept filled, and in step with the peer's.

The end that starts handshakes draws keys ahead, announces them over the control
channel, and has them confirmed by the other end, which fetches the same ones from its
own KME. What either end lost or used is found by comparing the two stocks whenever one
of the daemons was started anew. Rotation takes from stock and waits for none of this;
only an empty stock is drawn from on demand.

A link filled by hand has no KME: its stocks are compared, and nothing is fetched.

The machine is told what happens, and says when which job is due. Its jobs ask for all
that they need (`gateway.supply.requests`).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never
from uuid import UUID

from gateway.config.model import LinkConfig
from gateway.supply.budget import CallBudget
from gateway.supply.drawing import Drawing
from gateway.supply.follower import Follower
from gateway.supply.intake import StockIntake
from gateway.supply.leader import Handover, Leader
from gateway.supply.requests import Job, ReadClock, ReadStock, Send, ask
from gateway.supply.turns import SharedKME
from gateway.wire.control import StockMessage
from gateway.wire.stock import Announced, StockAnnounce, StockAnswer, StockPage

TICK: Final = 1.0
"""Seconds between looks at the stock."""

INBOX: Final = 32
"""Messages from the peer that wait for the KME; it repeats what is dropped."""

SERVING_FACTOR: Final = 4.0
"""Calls that the peer's announcements may cost for each one allowed for drawing: a
message names fewer keys than a call brings."""

DISAGREE: Final = (
    "the peer cannot use the keys drawn: the two KMEs do not agree",
    "compare sae_id and peer_sae_id at both ends, and run there: qgw qkd test",
)
"""What is wrong, and what to do about it, when no KME says so itself."""


class Lane(Enum):
    """Jobs of one lane run one after the other; those of several, side by side."""

    LEADING = auto()
    """The peer is told of the stock, and its answers are taken: `step`, `suspect`."""
    FOLLOWING = auto()
    """The peer is answered, and its keys are fetched: `serve`, `fetch`."""
    AHEAD = auto()
    """Keys are drawn ahead of need: `fill`, `draw`."""
    URGENT = auto()
    """Keys are drawn for a handshake that waits: `draw_urgently`."""


RECURRING: Final = (Lane.LEADING, Lane.FOLLOWING, Lane.AHEAD)
"""Lanes with a timer: `SupplyMachine.work` has a job whenever it is due."""


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
        asks: Whether this end asks the peer how many keys it has; only that is told.
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
    asks: bool
    peer_available: int | None
    compared_ago_s: float | None
    refused: dict[str, int]
    error: str
    hint: str
    retry_in_s: float


class SupplyMachine:
    """One end of the supply of one link: no I/O, no clock.

    Args:
        config: The link.
        source: Describes its KMEs; None for a link that is filled by hand.
        mtu: Bytes that a control message may have.
        run: 64 random bits that stand for the stock as it is.
        chance: Returns a random number from 0 to 1 each time.
        shared: Who else draws on its KMEs.
        disowns: Whether, while the peer draws, keys that it does not hold are to be
            noted in the store (`Disown`).
    """

    def __init__(
        self,
        config: LinkConfig,
        source: str | None,
        *,
        mtu: int,
        run: int,
        chance: Callable[[], float],
        shared: SharedKME | None = None,
        disowns: bool = False,
    ) -> None:
        self._config = config
        self._source = source
        self._run = run
        self._shared = shared or SharedKME()
        self._intake = StockIntake(config)
        allowed = config.requests_per_minute
        self._drawing: Drawing | None = None
        if source is not None:
            self._drawing = Drawing(source, self._intake, CallBudget(allowed, chance))
        self._follower = Follower(
            source,
            self._intake,
            CallBudget(allowed * SERVING_FACTOR, chance),
            disowns=disowns,
        )
        self._leader = Leader(
            config.name,
            fetches=source is not None,
            outcome=self._note_outcome,
            mtu=mtu,
            checked=config.checked,
        )
        self._draws = False
        self._look_at = 0.0
        self._inbox: deque[tuple[StockAnnounce | StockPage, str]] = deque()

    # -- What it is told; afterwards its timers are to be looked at again

    def set_draws(self, *, draws: bool) -> None:
        """Say whether this end starts handshakes on the link, and so draws keys."""
        self._draws = draws
        if not draws:
            self.end()
        self._look_at = 0.0

    def connected(self) -> None:
        """Note that a tunnel of the link came up: the peer can be spoken to."""
        self._leader.greet()

    def taken(self) -> None:
        """Note that keys were taken from stock: more may be wanted."""
        self._look_at = 0.0

    def changed_by_hand(self, run: int) -> None:
        """Note that keys were imported or purged: the stocks are to be compared.

        Args:
            run: 64 random bits that stand for the stock as it is now.
        """
        self._run = run
        self._leader.compare()
        self._look_at = 0.0

    def hand_over(self) -> Handover:
        """Say what the link's next machine needs to know; no job may be under way."""
        return self._leader.hand_over()

    def take_over(self, former: Handover) -> None:
        """Go on for the machine that the link had before, in this run of the daemon.

        To be told before any job is begun.
        """
        self._leader.take_over(former)

    def receive(self, message: StockMessage, tunnel: str) -> None:
        """Take a message of the peer; an answer goes back over the same tunnel."""
        if isinstance(message, StockAnswer):
            self._leader.receive(message)
        elif len(self._inbox) < INBOX:
            self._inbox.append((message, tunnel))

    def end(self) -> None:
        """Let others that draw on the same KMEs have their turn."""
        self._shared.content(self._config.name)

    # -- What it says

    @property
    def draws(self) -> bool:
        """Whether this end draws keys ahead of need."""
        return self._draws and self._drawing is not None

    def get_timer(self, lane: Lane) -> float:
        """When `work` of a lane is due, monotonic seconds; infinity if not yet."""
        match lane:
            case Lane.LEADING:
                return self._leader.get_timer(speaks=self._draws)
            case Lane.FOLLOWING:
                return 0.0 if self._inbox else math.inf
            case Lane.AHEAD:
                return self._look_at if self.draws else math.inf
            case Lane.URGENT:
                return math.inf
        assert_never(lane)

    def status(self, *, now: float) -> SupplyStatus:
        """Describe the supply."""
        drawing = self._drawing
        error = (drawing and drawing.last_error) or self._follower.last_error
        message, hint = (error.message, error.hint) if error else ("", "")
        if not error and drawing is not None and drawing.is_distrusted(now=now):
            message, hint = DISAGREE
        compared = self._leader.compared_at
        return SupplyStatus(
            description="by hand" if self._source is None else self._source,
            draws=self.draws,
            calls=drawing.calls if drawing else 0,
            drawn=drawing.drawn if drawing else 0,
            fetched=self._follower.fetched,
            announced=self._leader.announced,
            asks=self._draws,
            peer_available=self._leader.peer_available,
            compared_ago_s=None if compared is None else now - compared,
            refused=dict(self._intake.refused),
            error=message,
            hint=hint,
            retry_in_s=drawing.wait(now=now) if drawing and message else 0.0,
        )

    def may_draw_urgently(self, *, now: float) -> bool:
        """Whether `draw_urgently` would ask the KME."""
        return self._drawing is not None and self._drawing.is_urgent_allowed(now=now)

    # -- Jobs

    def work(self, lane: Lane) -> Job[None]:
        """Do what is due in a lane.

        Raises:
            KeyStoreError: The store cannot be asked; what is left is due later.
        """
        match lane:
            case Lane.LEADING:
                yield from self._leader.step(speaks=self._draws)
            case Lane.FOLLOWING:
                yield from self._serve()
            case Lane.AHEAD:
                yield from self._fill()
            case Lane.URGENT:
                pass

    def suspect(self) -> Job[None]:
        """Have no key count as confirmed before the stocks were compared anew.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        yield from self._leader.suspect()

    def unknown(self, key_ids: Sequence[UUID]) -> Job[list[UUID]]:
        """Return those of some keys that `fetch` would ask for; in no lane.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        return (yield from self._follower.unknown(key_ids))

    def fetch(self, key_ids: Sequence[UUID]) -> Job[int]:
        """Fetch keys that a handshake offers; return how many came.

        Raises:
            KeyStoreError: The store cannot be asked.
        """
        return (yield from self._follower.fetch(key_ids))

    def draw(self, count: int) -> Job[int]:
        """Draw up to `count` keys in one call, pause or not; return how many came.

        What went wrong is in `status`.
        """
        if self._drawing is None:
            return 0
        return len(self._announce((yield from self._drawing.draw(count))))

    def draw_urgently(self) -> Job[Sequence[UUID]]:
        """Draw a few keys for a handshake that waits, and name them.

        Nothing is asked while that is of no use.
        """
        if self._drawing is None:
            return ()
        return self._announce((yield from self._drawing.draw_urgently()))

    def _serve(self) -> Job[None]:
        """Answer one message of the peer."""
        if not self._inbox:
            return
        message, tunnel = self._inbox.popleft()
        answer = yield from self._follower.answer(
            message, run=self._run, draws=self._draws
        )
        yield from ask(Send(answer, tunnel))

    def _fill(self) -> Job[None]:
        """Fill the stock up to its target, as fast as the budget allows."""
        now = yield from ask(ReadClock())
        self._look_at = now + TICK
        drawing = self._drawing
        while drawing is not None and self._draws and drawing.allows(now=now):
            if not (yield from self._draw_batch(drawing)):
                break
            now = yield from ask(ReadClock())

    def _draw_batch(self, drawing: Drawing) -> Job[bool]:
        """Draw once, if keys are wanted and no emptier stock wants them."""
        name, shared = self._config.name, self._shared
        status = yield from ask(ReadStock())
        count = drawing.wanted(status)
        if not count:
            shared.content(name)
            return False
        shared.wants(name, (status.available + status.reserved) / self._config.target)
        if not shared.is_turn(name):
            return False
        self._announce((yield from drawing.draw(count)))
        now = yield from ask(ReadClock())
        if drawing.is_out_of_order(now=now):
            shared.content(name)
        return True

    # -- Inside

    def _announce(self, keys: Sequence[Announced]) -> Sequence[UUID]:
        self._leader.announce(keys)
        return [key.key_id for key in keys]

    def _note_outcome(self, bad: int, now: float) -> None:
        if self._drawing is not None:
            self._drawing.note_outcome(bad, now=now)
