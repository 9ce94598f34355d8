"""Quick calls are made where they are asked for, and never beside another."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from gateway.host.workers import Worker


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker("test")
    yield made
    await asyncio.to_thread(made.stop)


async def test_a_quick_call_stays_in_the_thread_of_the_loop(worker: Worker) -> None:
    assert await worker.run_quick(threading.get_ident) == threading.get_ident()
    assert await worker.run(threading.get_ident) != threading.get_ident()
    assert await worker.run_quick(threading.get_ident) == threading.get_ident()


async def test_a_quick_call_waits_its_turn_behind_one_under_way(worker: Worker) -> None:
    gate = threading.Event()
    done: list[str] = []

    def slow() -> None:
        gate.wait(5)
        done.append("slow")

    first = asyncio.create_task(worker.run(slow))
    await asyncio.sleep(0)
    second = asyncio.create_task(worker.run_quick(done.append, "quick"))
    await asyncio.sleep(0.02)
    assert done == []
    gate.set()
    await asyncio.gather(first, second)
    assert done == ["slow", "quick"]


async def test_a_call_that_nobody_awaits_any_more_still_counts(worker: Worker) -> None:
    gate = threading.Event()
    task = asyncio.create_task(worker.run(gate.wait, 5))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    quick = asyncio.create_task(worker.run_quick(threading.get_ident))
    await asyncio.sleep(0.02)
    assert not quick.done()
    gate.set()
    assert await quick != threading.get_ident()


async def test_a_call_cancelled_before_its_turn_never_runs(worker: Worker) -> None:
    gate = threading.Event()
    done: list[str] = []
    first = asyncio.create_task(worker.run(gate.wait, 5))
    second = asyncio.create_task(worker.run(done.append, "second"))
    await asyncio.sleep(0.02)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    gate.set()
    await first
    assert await worker.run_quick(threading.get_ident) == threading.get_ident()
    assert done == []


@pytest.mark.parametrize("quick", [False, True])
async def test_what_a_call_raises_is_raised(worker: Worker, *, quick: bool) -> None:
    run = worker.run_quick if quick else worker.run
    with pytest.raises(ZeroDivisionError):
        await run(divmod, 1, 0)
    assert await worker.run_quick(divmod, 7, 2) == (3, 1)
