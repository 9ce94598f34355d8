"""Worker threads share one store."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from tests.keystore_contract import LINK, ids, make_keys
from tests.unit.keystore.sqlite_bench import SQLiteBench

WORKERS = 8
EACH = 40


def test_threads_never_share_a_key(bench: SQLiteBench) -> None:
    keys = make_keys(0, WORKERS * EACH)
    bench.store.intake.add(LINK, keys)

    def work(worker: int) -> list[UUID]:
        holder = f"tunnel {worker}"
        taken: list[UUID] = []
        while len(taken) < EACH:
            for key_id in bench.store.uses.reserve(LINK, 2, holder=holder)[:1]:
                bench.store.uses.consume(LINK, key_id, holder=holder)
                taken.append(key_id)
            bench.store.uses.release(holder)
        return taken

    with ThreadPoolExecutor(WORKERS) as pool:
        taken = [key_id for some in pool.map(work, range(WORKERS)) for key_id in some]
    assert sorted(taken) == sorted(ids(keys))
    assert bench.store.stocks.status(LINK).consumed == len(keys)
