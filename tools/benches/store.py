"""The key store: durable operations with few and with a million keys in stock."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from benches.figures import Figure, summarise
from benches.places import TOOLS
from benches.registry import Bench, Options
from benches.store_floor import CommitFloor
from benches.store_keys import HOLDER, LINK, MASTER_KEY, make_keys
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.supply.links import FILL_INTERVAL, MAINTAIN_TURNS

FEW, MANY = 10, 1_000_000
MIN_OPS = 2000.0
MAX_SLOWDOWN = 1.5
MAX_OPEN = 1.0
MAX_BYTES = 50.0

BATCH = 10
"""Keys imported at a time while operations are measured: as many as are few."""

TURNS = 20
"""Batches in a sample: 200 keys, some 60 ms, then it is another store's turn."""

ROUNDS = 120
QUICK_ROUNDS = 30
UPKEEP = FILL_INTERVAL * MAINTAIN_TURNS
"""Seconds between two upkeeps, as the daemon does them: they empty the log, and a log
that grows again costs the file system more than one whose blocks are written over."""

OPENINGS = 9
FILL_BATCH = 2000
"""Keys of one call while the million is taken in; the store parts them further."""

WHERE = Path("/var/tmp")  # noqa: S108  # /tmp may be memory, which syncs for nothing


@dataclass(slots=True)
class Contender:
    """A store, and what its operations took.

    Attributes:
        store: The store.
        imports: Seconds a key to take it in, batch by batch.
        uses: Seconds to reserve and consume one.
    """

    store: SQLiteKeyStore
    imports: list[float] = field(default_factory=list)
    uses: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Add one sample: as many keys come as go, so that the stock stays."""
        taken_in = used = 0.0
        for _ in range(TURNS):
            keys = make_keys(BATCH)
            start = time.perf_counter()
            self.store.intake.add(LINK, keys)
            middle = time.perf_counter()
            for _ in range(BATCH):
                (key_id,) = self.store.uses.reserve(LINK, 1, holder=HOLDER)
                self.store.uses.consume(LINK, key_id, holder=HOLDER)
            used += time.perf_counter() - middle
            taken_in += middle - start
        self.imports.append(taken_in / TURNS / BATCH)
        self.uses.append(used / TURNS / BATCH)


def fill(store: SQLiteKeyStore, count: int) -> float:
    """Take in so many keys; return the seconds that the store spent on it."""
    spent = 0.0
    for start in range(0, count, FILL_BATCH):
        keys = make_keys(min(FILL_BATCH, count - start))
        begin = time.perf_counter()
        report = store.intake.add(LINK, keys)
        spent += time.perf_counter() - begin
        if report.added != len(keys):
            raise RuntimeError("the store refused keys: the figures would be wrong")
    return spent


def time_opening(path: Path) -> float:
    """Open and close a store that the page cache knows nothing of; return seconds."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    start = time.perf_counter()
    store = SQLiteKeyStore(path, MASTER_KEY)
    store.stocks.status(LINK)
    elapsed = time.perf_counter() - start
    store.close()
    return elapsed


def peak_memory(path: Path) -> int:
    """Return the peak memory of a process of its own that works on a store."""
    done = subprocess.run(
        [sys.executable, "-m", "benches.store_memory", str(path)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        timeout=300,
    )
    return int(json.loads(done.stdout)["peak"])


def file_system(path: Path) -> str:
    """Name the file system that a path is on, and its device."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            kind, source = after.split()[:2]
            return f"{kind} on {source}"
    return "a file system that the kernel does not name"


def measure(folder: Path, many: int, rounds: int, options: Options) -> list[Figure]:
    """Measure stores of `FEW` and of `many` keys in a folder, in turns."""
    paths = {count: folder / str(count) / "keys.db" for count in (FEW, many)}
    stores = {count: SQLiteKeyStore(path, MASTER_KEY) for count, path in paths.items()}
    options.say(f"a key store takes in {many} keys")
    filling = {count: fill(store, count) for count, store in stores.items()}
    options.say(f"reserves and consumes, with {FEW} and {many} keys in stock, in turns")
    contenders = {count: Contender(store) for count, store in stores.items()}
    floor = CommitFloor(folder / "floor.db")
    commits = []
    kept_up = time.perf_counter()
    for _ in range(rounds):
        for contender in contenders.values():
            contender.measure()
        start = time.perf_counter()
        for _ in range(TURNS * BATCH):
            floor.commit()
        commits.append((time.perf_counter() - start) / TURNS / BATCH)
        if time.perf_counter() - kept_up > UPKEEP:
            kept_up = time.perf_counter()
            floor.tidy()
            for store in stores.values():
                store.maintain()
    floor.close()
    for store in stores.values():
        store.close()
    options.say("opens it, and looks at its memory")
    openings = [time_opening(paths[many]) for _ in range(OPENINGS)]
    peaks = {count: peak_memory(path) for count, path in paths.items()}
    size = paths[many].stat().st_size
    return [
        *_rates(contenders[FEW], contenders[many], commits, file_system(folder)),
        summarise(
            f"store_open_s.{MANY}",
            "s",
            openings,
            target=MAX_OPEN,
            note=f"{many} keys, {size / 2**20:.0f} MiB, its pages dropped from memory "
            f"before; worst of {OPENINGS}: {max(openings):.3f} s",
        ),
        Figure(
            "store_bytes_per_key",
            (peaks[many] - peaks[FEW]) / (many - FEW),
            "bytes",
            None,
            MAX_BYTES,
            f"peak of a process that works on {many} keys, "
            f"{peaks[many] / 2**20:.1f} MiB, less that with {FEW}, "
            f"{peaks[FEW] / 2**20:.1f} MiB",
        ),
        Figure(
            "store_import_per_s",
            many / filling[many],
            "keys/s",
            note=f"from none to {many} keys, {FILL_BATCH} a call, "
            f"{filling[many]:.0f} s in all",
        ),
    ]


def _rates(
    few: Contender, many: Contender, commits: list[float], place: str
) -> list[Figure]:
    slowdowns = [b / a for a, b in zip(few.uses, many.uses, strict=True)]
    lives = [
        (b + d) / (a + c)
        for a, b, c, d in zip(
            few.uses, many.uses, few.imports, many.imports, strict=True
        )
    ]
    note = (
        "each consume a synced transaction of its own, upkeep every "
        f"{UPKEEP:.0f} s; {place}; a commit of one row, synced in the same run, takes "
        f"{statistics.median(commits) * 1000:.3f} ms"
    )
    imports = (
        f"{BATCH} keys an import, synced: a key takes "
        f"{statistics.median(few.imports) * 1e6:.0f} us of it with few, "
        f"{statistics.median(many.imports) * 1e6:.0f} us with many in stock"
    )
    rates = {
        f"store_ops_per_s.{FEW}": (few.uses, MIN_OPS),
        f"store_ops_per_s.{MANY}": (many.uses, MIN_OPS),
        "store_commit_floor_per_s": (commits, None),
    }
    return [
        *(
            replace(
                summarise(
                    name, "/s", [1 / one for one in samples], target=least, note=note
                ),
                more_is_better=True,
            )
            for name, (samples, least) in rates.items()
        ),
        summarise("store_slowdown", "times", slowdowns, target=MAX_SLOWDOWN),
        summarise(
            "store_life_slowdown", "times", lives, target=MAX_SLOWDOWN, note=imports
        ),
    ]


def run(options: Options) -> list[Figure]:
    """Fill a store on disk and compare it with one that holds next to nothing."""
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="qgw-bench-", dir=WHERE) as name:
        return measure(Path(name), MANY, rounds, options)


BENCH = Bench(
    (
        f"store_ops_per_s.{FEW}",
        f"store_ops_per_s.{MANY}",
        "store_slowdown",
        "store_life_slowdown",
        "store_commit_floor_per_s",
        "store_import_per_s",
        f"store_open_s.{MANY}",
        "store_bytes_per_key",
    ),
    run,
)
