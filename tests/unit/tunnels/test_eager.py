"""Eager tasks do what tasks do, only sooner. Both ways of having them are tested."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.tunnels import eager
from gateway.tunnels.eager import Begun, start_eagerly

Start = Callable[[Begun, asyncio.AbstractEventLoop], "asyncio.Task[None] | None"]


@pytest.fixture(params=[start_eagerly, eager._start])
def start(request: pytest.FixtureRequest) -> Start:
    chosen: Start = request.param
    return chosen


async def test_what_does_not_wait_is_done_at_once(start: Start) -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert start(work(), asyncio.get_running_loop()) is None
    assert done == [1]


async def test_what_waits_goes_on_in_a_task(start: Start) -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[int] = loop.create_future()
    second: asyncio.Future[int] = loop.create_future()
    seen: list[object] = []

    async def work() -> None:
        seen.append("begun")
        seen.append(await first)
        await asyncio.sleep(0)
        try:
            await second
        except ZeroDivisionError as error:
            seen.append(error)
        # In a task of its own by now.
        async with asyncio.timeout(5):
            await asyncio.sleep(0)

    task = start(work(), loop)
    assert task is not None
    assert seen == ["begun"]
    first.set_result(7)
    await asyncio.sleep(0)
    error = ZeroDivisionError()
    second.set_exception(error)
    await asyncio.wait_for(task, 5)
    assert seen == ["begun", 7, error]


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_cancelling_reaches_the_coroutine(start: Start, turns: int) -> None:
    loop = asyncio.get_running_loop()
    ended: list[str] = []

    async def work() -> None:
        try:
            await loop.create_future()
        finally:
            ended.append("ended")

    task = start(work(), loop)
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    assert ended == ["ended"]


async def test_a_cancellation_that_is_caught_is_caught(start: Start) -> None:
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    async def work() -> None:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("caught")

    task = start(work(), loop)
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert seen == ["caught"]


async def test_a_fault_is_reported_and_spares_the_caller(start: Start) -> None:
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, told: reported.append(told["exception"]))

    async def work() -> None:
        raise ZeroDivisionError

    assert start(work(), loop) is None
    await asyncio.sleep(0)
    assert [type(one) for one in reported] == [ZeroDivisionError]


async def test_a_fault_after_a_wait_is_the_tasks(start: Start) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    task = start(work(), asyncio.get_running_loop())
    assert task is not None
    with pytest.raises(ZeroDivisionError):
        await task
