"""Supply machines under a stepped clock: real stores, KMEs in memory, a link between.

Nothing here waits, and nothing happens by itself. Each job stands still at the request
it has made; what is asked is done in one step, and answered in another, so that others
come in between, an answer comes late, or the process ends and it never comes.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from gateway.config.model import LinkConfig
from gateway.errors import GatewayError, KeyStoreError
from gateway.supply.driver import StoreCalls
from gateway.supply.machine import RECURRING, Lane, SupplyMachine, SupplyStatus
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
from gateway.wire.control import StockMessage, decode_control, encode_control
from gateway.wire.stock import StockAnnounce, StockAnswer, StockPage
from tests.unit.keystore.sqlite_bench import SQLiteBench
from tests.unit.supply.kme_pair import MemoryKME

R = TypeVar("R")

MTU = 1_200
TUNNEL = "tunnel"

PATIENCE = 600.0
"""Seconds, at most, for what takes a minute or two of pauses."""

MOST_STEPS = 100_000
"""Steps at one moment after which the machines count as spinning."""


class Clock:
    """Monotonic seconds; the stores' clocks go along."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.benches: list[SQLiteBench] = []

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for bench in self.benches:
            bench.advance(seconds)


class Running:
    """A job under way: it stands at a request, or at an answer not heard yet."""

    def __init__(
        self, job: Job[Any], answer: Callable[[SupplyRequest[Any]], object]
    ) -> None:
        self._job = job
        self._answer = answer
        self.request: SupplyRequest[Any] | None = None
        self._answered: object = None
        self._error: GatewayError | None = None
        self._is_answered = False
        self.is_done = False
        self.result: Any = None

    def step(self) -> None:
        """Do what is asked, or hear what came of it."""
        if self.request is not None and not self._is_answered:
            try:
                self._answered = self._answer(self.request)
            except GatewayError as error:
                self._error = error
            self._is_answered = True
            return
        answered, objection = self._answered, self._error
        self._answered = self._error = None
        self._is_answered = False
        try:
            if objection is not None:
                self.request = self._job.throw(objection)
            else:
                self.request = self._job.send(answered)
        except StopIteration as end:
            self.is_done, self.result = True, end.value
        except GatewayError as error:
            self.is_done, self.result = True, error


class Site:
    """One end of a link in one run of its daemon.

    Attributes:
        machine: Its supply.
        failed: What jobs objected to.
        store_fails: How many of the next calls the store refuses.
    """

    def __init__(
        self,
        clock: Clock,
        config: LinkConfig,
        bench: SQLiteBench,
        kme: MemoryKME | None,
        *,
        send: Callable[[StockMessage], bool],
        draws: bool,
        run: int = 1,
        mtu: int = MTU,
        shared: SharedKME | None = None,
    ) -> None:
        self._clock = clock
        self._kme = kme
        self._send = send
        self._calls = StoreCalls(config, bench.store)
        self._lanes: dict[Lane, deque[Running]] = {lane: deque() for lane in Lane}
        self._runs = itertools.count(run + 1)
        self.config = config
        self.failed: list[GatewayError] = []
        self.store_fails = 0
        self.machine = SupplyMachine(
            config,
            kme.description if kme is not None else None,
            mtu=mtu,
            run=run,
            chance=lambda: 0.5,
            shared=shared,
        )
        self.machine.set_draws(draws=draws)

    def changed_by_hand(self) -> None:
        self.machine.changed_by_hand(next(self._runs))

    def status(self) -> SupplyStatus:
        return self.machine.status(now=self._clock.now)

    def begin(self, lane: Lane, job: Job[Any]) -> Running:
        """Put a job into its lane."""
        running = Running(job, self._answer)
        self._lanes[lane].append(running)
        return running

    def busy(self) -> list[Lane]:
        """Lanes with a job under way, or due; there the next step is to be made."""
        for lane in RECURRING:
            is_due = self.machine.get_timer(lane) <= self._clock.now
            if is_due and not self._lanes[lane]:
                self.begin(lane, self.machine.work(lane))
        return [lane for lane, jobs in self._lanes.items() if jobs]

    def step(self, lane: Lane) -> None:
        """Go on with the first job of a lane."""
        job = self._lanes[lane][0]
        job.step()
        if job.is_done:
            self._lanes[lane].popleft()
            if isinstance(job.result, GatewayError):
                self.failed.append(job.result)

    def asked(self, lane: Lane) -> SupplyRequest[Any] | None:
        """What the job under way in a lane stands at."""
        return self._lanes[lane][0].request if self._lanes[lane] else None

    def get_timer(self) -> float:
        return min(self.machine.get_timer(lane) for lane in RECURRING)

    def _answer(self, request: SupplyRequest[Any]) -> object:
        match request:
            case ReadClock():
                return self._clock.now
            case Send(message, tunnel):
                assert tunnel in (None, TUNNEL)
                return self._send(message)
            case StoreRequest() if self.store_fails:
                self.store_fails -= 1
                raise KeyStoreError("the disk is away")
            case StoreRequest():
                return self._calls.answer(request)
            case DrawKeys(count):
                assert self._kme is not None
                return self._kme.draw(count)
            case FetchKeys(key_ids):
                assert self._kme is not None
                return self._kme.fetch(key_ids)
            case _:
                raise TypeError(f"nothing answers {request!r}")


class Wire:
    """Carries messages as bytes to either end, in order and at once, or loses them."""

    def __init__(self, clock: Clock, sites: dict[str, Site]) -> None:
        self._clock = clock
        self._sites = sites
        self._flying: list[tuple[float, int, str, bytes]] = []
        self._count = itertools.count()
        self.up = True
        self.delay = 0.0
        self.drops: Iterator[bool] = itertools.repeat(False)

    def sender(self, to: str) -> Callable[[StockMessage], bool]:
        def send(message: StockMessage) -> bool:
            if not self.up or to not in self._sites:
                return False
            data = encode_control(message)
            assert len(data) <= MTU
            if not next(self.drops):
                self.fly(to, data, self.delay)
            return True

        return send

    def fly(self, to: str, data: bytes, delay: float) -> None:
        flight = (self._clock.now + delay, next(self._count), to, data)
        heapq.heappush(self._flying, flight)

    def get_timer(self) -> float:
        return self._flying[0][0] if self._flying else math.inf

    def arrive(self) -> None:
        """Hand over what is due."""
        while self.get_timer() <= self._clock.now:
            _, _, to, data = heapq.heappop(self._flying)
            if to in self._sites:
                self._sites[to].machine.receive(decode_stock_message(data), TUNNEL)


def decode_stock_message(data: bytes) -> StockMessage:
    message = decode_control(data)
    assert isinstance(message, StockAnnounce | StockPage | StockAnswer)
    return message


class Stepper:
    """Steps machines until something is the case."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sites: dict[str, Site] = {}
        self.wire = Wire(self.clock, self.sites)

    def moment(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Do all that is due now; stop early, and return True, when it is enough."""
        busy: list[tuple[Site, Lane]] = []
        for _ in range(MOST_STEPS):
            self.wire.arrive()
            busy = [
                (site, lane) for site in self.sites.values() for lane in site.busy()
            ]
            for site, lane in busy:
                site.step(lane)
                if enough():
                    return True
            if not busy:
                return enough()
        pytest.fail(f"the machines spin: {busy}")

    def run(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Let that much time pass, or less if it is enough before."""
        end = self.clock.now + seconds
        while not self.moment(enough):
            due = min(
                [self.wire.get_timer(), *(s.get_timer() for s in self.sites.values())]
            )
            if due > end:
                self.clock.advance(end - self.clock.now)
                return self.moment(enough)
            self.clock.advance(due - self.clock.now)
        return True

    def until(
        self, enough: Callable[[], bool], what: str, seconds: float = PATIENCE
    ) -> None:
        if not self.run(seconds, enough):
            pytest.fail(f"no {what} within {seconds} s")

    def do(self, site: Site, lane: Lane, job: Job[R]) -> R:
        """Have a job done, and all else that is due meanwhile."""
        running = site.begin(lane, job)
        self.moment(lambda: running.is_done)
        assert running.is_done
        if isinstance(running.result, GatewayError):
            raise running.result
        result: R = running.result
        return result
