"""Plays kinds of interference one after the other, and judges after each step."""

import random  # noqa: TID251  # steps must replay from their seed; it guards nothing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.gateway import Gateway

from gateway.errors import ControlError
from tests.meddle.judge import (
    CLOCK,
    SAYS_SO,
    stalled,
    still_flowing,
    untrue,
    wait_for,
)
from tests.meddle.kind import FLOWS, Kind, Phase, Spot
from tests.meddle.laboratory import Laboratory
from tests.meddle.slowness import floor
from tests.underload.findings import tell, told
from tests.underload.measure import Watch
from tests.underload.plugin import ATTEMPTS, CALM, PATIENCE

WATCHED = 0.8
"""Seconds in which nothing may pass once everything must have stopped."""

CHARGED = 2.0
"""Seconds: an end that says it is not up has this long to be so, or to name a cause."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Step:
    """One step and what became of it.

    Attributes:
        number: From 1 on.
        kind: What was done.
        letter: Where.
        seed: What the step drew from.
        problems: Everything that did not hold.
        seconds: What it took.
        floor: Seconds that healing was allowed besides, as measured just before.
    """

    number: int
    kind: Kind
    letter: str
    seed: int
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    floor: float = 0.0

    def __str__(self) -> str:
        verdict = "; ".join(self.problems) or "holds"
        head = f"{self.number:3} {self.kind.name} at {self.letter}"
        slow = f", floor {self.floor:.1f}" if self.floor else ""
        return f"{head} ({self.seconds:.1f} s{slow}): {verdict}"


def draw_steps(kinds: Sequence[Kind], count: int, seed: int) -> list[Step]:
    """Return steps in an order of the seed's: every kind before any comes again."""
    chance = random.Random(seed)  # noqa: S311  # see the import
    steps: list[Step] = []
    while kinds and len(steps) < count:
        round_ = list(kinds)
        chance.shuffle(round_)
        for kind in round_:
            letter, own = chance.choice("ab"), chance.randrange(1 << 32)
            steps.append(Step(len(steps) + 1, kind, letter, own))
    return steps[:count]


class Runner:
    """Plays steps in one laboratory.

    Attributes:
        repeats: Attempts that did not count, since the processor was withheld.
    """

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._clear = 0
        self._floor = 0.0
        self._shown: Counter[str] = Counter()
        self.repeats = 0

    def run(
        self, steps: Sequence[Step], say: Say, watch: Watch | None = None
    ) -> list[Step]:
        """Play all of them, from scratch after one that failed; return those.

        Args:
            steps: What to play, in order.
            say: Is told of each step as it ends.
            watch: What measures the machine. A step that was only late while the
                processor was withheld is told and played again, at most twice, as
                docs/adr/0250 has it for whole tests; a finding never is.
        """
        failed = []
        for step in steps:
            for attempt in range(1, ATTEMPTS + 1):
                again = self._attempt(step, say, None if attempt == ATTEMPTS else watch)
                if step.problems:
                    self._lab.renew()
                    self._take_stock()
                if not again:
                    break
                self.repeats += 1
                step.problems = []
            if step.problems:
                failed.append(step)
                if watch:
                    tell(f"step {step}")  # it has had its attempts
        return failed

    def _attempt(self, step: Step, say: Say, watch: Watch | None) -> bool:
        """Play a step once; return whether that does not count."""
        if watch:
            watch.begin()
        before = len(told())
        self.play(step)
        if step.problems and watch and len(told()) == before:
            excesses = watch.end().excesses()
            if excesses:
                say(f"{step}\n    REPEATED, since {', '.join(excesses)}")
                self._wait_for_calm(watch)
                return True
        say(str(step))
        return False

    @staticmethod
    def _wait_for_calm(watch: Watch) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            watch.begin()
            time.sleep(CALM)
            if not watch.end().excesses():
                break

    def play(self, step: Step) -> None:
        """Play one step; its problems are in it then."""
        self._floor = step.floor = floor()
        lab, begin = self._lab, time.monotonic()
        chance = random.Random(step.seed)  # noqa: S311  # see the import
        steps = step.kind.play(Spot(lab, step.letter, chance))
        problems = step.problems
        try:
            for phase in steps:
                problems += self._hold(phase, time.monotonic())
            if not step.kind.last_word:
                problems += self._hold(FLOWS, time.monotonic())
        except (AssertionError, ControlError, OSError, RuntimeError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        now = time.monotonic()
        problems += self._seen(begin, now)
        step.seconds = now - begin
        for witness in lab.witnesses.values():
            witness.forget(now)

    def _hold(self, phase: Phase, since: float) -> list[str]:
        """Judge one phase, until it is over."""
        lab = self._lab
        problems = (
            stalled(lab.flows.of(*phase.flows), since, phase.heals + self._floor)
            if phase.flows
            else []
        )
        over = since + phase.lasts
        if phase.stops_by is not None:
            begin = since + phase.stops_by + CLOCK
            _sleep_until(begin + WATCHED)
            problems += still_flowing(lab.flows.flows, begin, begin + WATCHED)
        _sleep_until(over)
        if phase.up and not wait_for(lab.all_up, SAYS_SO):
            said = [f"{end} says {one.newest}" for end, one in lab.witnesses.items()]
            problems.append(", ".join(["not up at both ends", *said]))
        if phase.not_up:
            problems += self._charged(phase)
        return problems

    def _charged(self, phase: Phase) -> list[str]:
        """Judge what the ends say when the tunnel cannot be up."""
        charged = [(letter, self._lab.witnesses[letter]) for letter in phase.not_up]
        witnesses = [witness for _, witness in charged]
        if not wait_for(
            lambda: all(one.newest.state != "up" for one in witnesses), CHARGED
        ):
            said = [f"{letter} says {witness.newest}" for letter, witness in charged]
            return [", ".join(["nothing can pass", *said])]
        words = " ".join(f"{one.newest.reason} {one.newest.hint}" for one in witnesses)
        return [
            f"no end names {cause!r}: {words}"
            for cause in phase.causes
            if cause not in words
        ]

    def _seen(self, begin: float, now: float) -> list[str]:
        """Judge what was seen and said during a step."""
        lab = self._lab
        problems = []
        if lab.clear.total > self._clear:
            count = lab.clear.total - self._clear
            problems.append(f"{count} frames in clear: {lab.clear.examples[-1]}")
            tell(problems[-1])
        forged = Counter(lab.flows.forged) - self._shown
        if forged:
            names = ", ".join(forged)
            problems.append(f"{forged.total()} forged received by {names}")
            tell(problems[-1])
        for letter, witness in lab.witnesses.items():
            said = witness.between(begin, now)
            problems += untrue(letter, said, lab.came_in(letter), now)
        self._take_stock()
        return problems

    def _take_stock(self) -> None:
        self._clear = self._lab.clear.total
        self._shown = Counter(self._lab.flows.forged)


def _sleep_until(when: float) -> None:
    time.sleep(max(0.0, when - time.monotonic()))


def tracebacks(ends: Sequence[Gateway]) -> list[str]:
    """Return the logs that show an error nobody caught."""
    return [
        f"{end.letter}: {end.tail()}"
        for end in ends
        if "Traceback" in end.log.read_text()
    ]
