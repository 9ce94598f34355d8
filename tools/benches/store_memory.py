"""One process at work on a key store: ``python -m benches.store_memory PATH``.

Opens the store, uses it in every way that the daemon does, and prints the most memory
it ever had resident, in bytes.
"""

import json
import sys
from pathlib import Path

from benches.store_keys import HOLDER, LINK, MASTER_KEY, make_keys
from gateway.keystore.sqlite.store import SQLiteKeyStore

ROUNDS = 40
HELD_PAGE = 500


def work(store: SQLiteKeyStore) -> None:
    """Import, reserve, offer, consume, compare, count and keep up."""
    (after,) = store.ledger.held(LINK, after=None, count=1)
    for number in range(ROUNDS):
        keys = make_keys(100)
        store.intake.add(LINK, keys, confirmed=number % 2 == 0)
        key_ids = [key.key_id for key in keys]
        store.ledger.confirm(LINK, key_ids)
        store.ledger.standing(LINK, key_ids)
        store.uses.reserve_first(LINK, key_ids[:8], holder=HOLDER)
        store.uses.reserve(LINK, 50, holder=HOLDER)
        for key_id in store.uses.reserve(LINK, 50, holder=HOLDER):
            store.uses.consume(LINK, key_id, holder=HOLDER)
        store.uses.release(HOLDER)
        store.ledger.retire(LINK, key_ids[50:])
        store.stocks.status(LINK)
        store.maintain()
        page = store.ledger.held(LINK, after=after, count=HELD_PAGE)
        after = page[-1] if page else after


def peak_bytes() -> int:
    """Return the most memory this process ever had resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


def main() -> None:
    """Run as a program."""
    store = SQLiteKeyStore(Path(sys.argv[1]), MASTER_KEY)
    work(store)
    store.close()
    print(json.dumps({"peak": peak_bytes()}))


if __name__ == "__main__":
    main()
