"""CPU of a whole handshake at both ends, against its floor; its size on the wire."""

import itertools
import os
import statistics
import time
from dataclasses import dataclass, field

from benches.answers import Driver, make_parameters
from benches.figures import Figure, summarise
from benches.floor import Operation, floor_operations
from benches.hub import UNPACED
from benches.registry import Bench, Options
from gateway.crypto.identity import generate_identity
from gateway.crypto.suite import choose_provider
from gateway.handshake.machine import Machine

SUITES = (1, 2)
PROVIDERS = ("openssl", "liboqs")
MAX_RATIO = 2.0
"""Times the floor."""

MAX_MS = {(1, "openssl"): 1.5, (1, "liboqs"): 1.2}
MAX_DATAGRAMS = 8
MAX_BYTES = 6500

BATCH = 8
"""Handshakes in a batch: some 10 ms, far above what reading the clock costs."""

ROUNDS = 80
QUICK_ROUNDS = 12
WARM_UP = 5
"""Handshakes before the first batch: imports, caches, and a chain secret to mix."""

NO_LIBOQS = (
    "liboqs is not installed: build liboqs 0.16 as a shared library, install it into "
    "~/_oqs or a system folder, or set OQS_INSTALL_PATH to its prefix"
)

_CPU, _FLOOR, _RATIO = "handshake_cpu_ms", "handshake_floor_ms", "handshake_ratio"
_DATAGRAMS, _BYTES = "handshake_datagrams", "handshake_bytes"


class Pair:
    """Two machines in one process, joined by nothing but function calls."""

    def __init__(self, suite_id: int, provider: str) -> None:
        first, second = (generate_identity(suite_id, provider) for _ in range(2))
        self.ends = (
            Driver(Machine(random=os.urandom, peer_rate=UNPACED)),
            Driver(Machine(random=os.urandom, peer_rate=UNPACED)),
        )
        for end, local, peer in (
            (self.ends[0], first, second),
            (self.ends[1], second, first),
        ):
            end.machine.add_tunnel(
                make_parameters(
                    "bench", local, peer.public, initiator=end is self.ends[0]
                )
            )
        self.now = 0.0

    def handshake(self) -> tuple[int, int]:
        """Do one handshake with a QKD key; return its datagrams and their bytes."""
        self.now += 1.0
        first, second = self.ends
        epoch = first.start("bench", "second", now=self.now)
        datagrams = size = 0
        waiting = True
        while waiting:
            waiting = False
            for sender, receiver, source in (
                (first, second, "first"),
                (second, first, "second"),
            ):
                for data, _ in sender.machine.datagrams_to_send():
                    waiting = True
                    datagrams += 1
                    size += len(data)
                    receiver.receive(data, source, now=self.now)
        if first.committed.get("bench") != epoch:
            raise RuntimeError("the handshake did not end: the figure would be wrong")
        return datagrams, size


@dataclass(slots=True)
class Contest:
    """A handshake and its floor, measured in turns."""

    suite_id: int
    provider: str
    pair: Pair
    operations: tuple[Operation, ...]
    handshakes: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)

    def measure(self) -> None:
        """Add one batch of each; milliseconds of CPU for one handshake."""
        start = time.process_time()
        for _ in range(BATCH):
            self.pair.handshake()
        self.handshakes.append((time.process_time() - start) / BATCH * 1000)
        total = 0.0
        for operation in self.operations:
            call = operation.call
            times = BATCH * operation.count
            start = time.process_time()
            for _ in range(times):
                call()
            spent = time.process_time() - start
            total += spent
            self.parts.setdefault(operation.name, []).append(spent / times * 1e6)
        self.floors.append(total / BATCH * 1000)

    def figures(self) -> list[Figure]:
        """Return what was measured."""
        which = f"{self.suite_id}.{self.provider}"
        target = MAX_RATIO * statistics.median(self.floors)
        target = min(target, MAX_MS.get((self.suite_id, self.provider), target))
        ratios = [
            handshake / floor
            for handshake, floor in zip(self.handshakes, self.floors, strict=True)
        ]
        parts = ", ".join(
            f"{operation.count} x {operation.name} "
            f"{statistics.median(self.parts[operation.name]):.3g} us"
            for operation in self.operations
        )
        dear = sum(
            operation.count * statistics.median(self.parts[operation.name]) / 1000
            for operation in self.operations
            if operation.asymmetric
        )
        parts += f"; the asymmetric ones alone: {dear:.3f} ms"
        return [
            summarise(f"{_CPU}.{which}", "ms", self.handshakes, target=target),
            summarise(f"{_FLOOR}.{which}", "ms", self.floors, note=parts),
            summarise(f"{_RATIO}.{which}", "times", ratios, target=MAX_RATIO),
        ]


def run(options: Options) -> list[Figure]:
    """Measure every suite with every provider there is, in turns."""
    options.say("handshakes in memory, in turns with their primitive operations")
    has_liboqs = choose_provider() == "liboqs"
    figures: list[Figure] = []
    contests = []
    for suite_id, provider in itertools.product(SUITES, PROVIDERS):
        names = {f"{one}.{suite_id}.{provider}" for one in (_CPU, _FLOOR, _RATIO)}
        if options.wanted.isdisjoint(names):
            continue
        if provider == "liboqs" and not has_liboqs:
            figures += [_missing(name) for name in names]
            continue
        # The pair first: importing liboqs through our own provider is quiet.
        pair = Pair(suite_id, provider)
        operations = floor_operations(suite_id, provider)
        contests.append(Contest(suite_id, provider, pair, operations))
    for contest in contests:
        for _ in range(WARM_UP):
            contest.pair.handshake()
    for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
        for contest in contests:
            contest.measure()
    for contest in contests:
        figures += contest.figures()
    for suite_id in SUITES:
        figures += _sizes(suite_id)
    return figures


def _missing(name: str) -> Figure:
    unit = "times" if name.startswith(_RATIO) else "ms"
    return Figure(name, None, unit, note=f"not measured: {NO_LIBOQS}")


def _sizes(suite_id: int) -> list[Figure]:
    """Count datagrams and bytes; they are the same in every handshake."""
    pair = Pair(suite_id, "openssl")
    counted = {pair.handshake() for _ in range(WARM_UP)}
    if len(counted) != 1:
        raise RuntimeError(f"handshakes of one suite differ in size: {counted}")
    datagrams, size = counted.pop()
    # The targets were set for the default suite: ML-KEM-1024 alone adds 1,824 bytes.
    default = suite_id == 1
    return [
        Figure(
            f"{_DATAGRAMS}.{suite_id}",
            datagrams,
            "datagrams",
            0.0,
            MAX_DATAGRAMS,
        ),
        Figure(
            f"{_BYTES}.{suite_id}",
            size,
            "bytes",
            0.0,
            MAX_BYTES if default else None,
            "UDP payload, M1 to M4",
        ),
    ]


BENCH = Bench(
    (
        *(
            f"{kind}.{suite_id}.{provider}"
            for suite_id in SUITES
            for provider in PROVIDERS
            for kind in (_CPU, _FLOOR, _RATIO)
        ),
        *(f"{kind}.{suite_id}" for suite_id in SUITES for kind in (_DATAGRAMS, _BYTES)),
    ),
    run,
)
