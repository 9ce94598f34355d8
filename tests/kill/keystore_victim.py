"""Imports, reserves and consumes until killed, telling what it was handed.

Usage: python -m tests.kill.keystore_victim STORE HANDED_OUT SEED ROUNDS

Each round forks a process that works on the store, and kills it with SIGKILL after a
time drawn from the seed. Of every four lives one counts from the fork, so that kills
fall into opening too, and three from when the store is open, in seconds of processor
that the process was given, so that on a busy machine they still fall into the work.
Forking saves the interpreter's start, so hundreds of kills take seconds. A key goes to
HANDED_OUT, one line ``key_ID sha256(key)``, right after `consume` returned it. The
first line each round is ``round N``.
"""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from gateway.errors import KeyStoreError
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.secret import Secret
from tests.keystore_contract import LINK, make_keys

MASTER_KEY = Secret(bytes(range(32)))

MIN_LIFE = 0.001
MAX_LIFE = 0.030
"""Seconds: from the middle of opening to some hundred transactions later."""

LONGEST = 1.0
"""Seconds until a process is killed that waits for a disk and not for a processor."""

POLL = 0.0005

BLIND = 4
"""One life in so many counts from the fork."""

BATCH = 20


def draw(seed: str) -> Iterator[float]:
    """Yield numbers in [0, 1), the same for the same seed."""
    counter = 0
    while True:
        digest = hashlib.sha256(f"{seed} {counter}".encode()).digest()
        yield int.from_bytes(digest[:6], "big") / 2**48
        counter += 1


def work(path: Path, output: int, seed: str, opened: int) -> None:
    """Use the store in every way, for ever; close `opened` once it is open."""
    numbers = draw(seed)
    store = SQLiteKeyStore(path, MASTER_KEY)
    os.close(opened)
    while True:
        choice = next(numbers)
        if choice < 0.15 or store.stocks.status(LINK).available < BATCH:
            # Old keys too, as an operator imports a file again after a crash.
            first = max(0, store.stocks.status(LINK).consumed - BATCH)
            store.intake.add(LINK, make_keys(first, 4 * BATCH), confirmed=choice < 0.1)
        elif choice < 0.2:
            store.maintain()
        elif choice < 0.25:
            store.ledger.retire(LINK, store.uses.reserve(LINK, 1, holder="retiring"))
        elif choice < 0.3:
            store.ledger.give_up(LINK, store.ledger.held(LINK, after=None, count=2))
        elif choice < 0.35:
            store.ledger.doubt(
                LINK, store.ledger.held(LINK, after=None, count=BATCH // 2)
            )
        elif choice < 0.4:
            store.ledger.confirm(LINK, store.ledger.unconfirmed(LINK, BATCH // 2))
        elif choice < 0.5:
            store.uses.reserve(LINK, 3, holder="abandoned")
            store.uses.release("abandoned")
        else:
            use(store, output, many=choice < 0.6)


def use(store: SQLiteKeyStore, output: int, *, many: bool) -> None:
    """Consume one key, or several at once."""
    key_ids = store.uses.reserve(LINK, 4 if many else 1, holder="a")
    if many:
        tell(output, key_ids, store.uses.consume_many(LINK, key_ids, holder="a"))
    else:
        tell(output, key_ids, [store.uses.consume(LINK, key_ids[0], holder="a")])


def tell(output: int, key_ids: Sequence[UUID], keys: Sequence[Secret]) -> None:
    """Write what was handed out."""
    for key_id, key in zip(key_ids, keys, strict=True):
        digest = hashlib.sha256(key.expose()).hexdigest()
        os.write(output, f"{key_id} {digest}\n".encode())


def kill_once(path: Path, output: int, seed: str, life: float, *, blind: bool) -> int:
    """Fork a worker, kill it after `life` seconds; return its wait status."""
    reader, opened = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            work(path, output, seed, opened)
        except KeyStoreError as error:
            sys.stderr.write(f"{error.message}\n")
        finally:
            os._exit(1)
    os.close(opened)
    if not blind:
        os.read(reader, 1)  # ends when the worker closes its end
    os.close(reader)
    if blind:
        time.sleep(life)
    else:
        let_work(child, life)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def let_work(pid: int, seconds: float) -> None:
    """Wait until a process has had a processor for so long, or `LONGEST` has passed."""
    clock = ~pid << 3 | 2  # its CPU-time clock, clock_getcpuclockid(3)
    until = time.monotonic() + LONGEST
    begun = time.clock_gettime(clock)
    while time.clock_gettime(clock) - begun < seconds and time.monotonic() < until:
        time.sleep(POLL)


def main() -> int:
    path, handed_out, seed, rounds = sys.argv[1:]
    output = os.open(handed_out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    lives = draw(seed)
    for number in range(int(rounds)):
        os.write(output, f"round {number}\n".encode())
        life = MIN_LIFE + next(lives) * (MAX_LIFE - MIN_LIFE)
        status = kill_once(
            Path(path),
            output,
            f"{seed} {number}",
            life,
            blind=number % BLIND == 0,
        )
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return 1
    os.close(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
