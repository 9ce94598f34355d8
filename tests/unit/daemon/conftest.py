"""Services that are stopped at the end of a test, whatever became of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.host.bounded_log import BoundedLines
from tests.unit.daemon.services import End, make_ends, until


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path leaves room for a Unix socket's (108 bytes)."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture
async def ends(short_folder: Path) -> AsyncIterator[tuple[End, End]]:
    """Two gateways, not started, with keys from a simulated link."""
    first, second = make_ends(short_folder)
    yield first, second
    await _stop(first, second)


@pytest.fixture
async def file_ends(short_folder: Path) -> AsyncIterator[tuple[End, End]]:
    """Two gateways, not started, whose link is filled by hand."""
    first, second = make_ends(short_folder, simulated=False)
    yield first, second
    await _stop(first, second)


@pytest.fixture
async def running(ends: tuple[End, End]) -> tuple[End, End]:
    """Two gateways with their tunnel in force."""
    await start_both(ends)
    return ends


async def start_both(ends: tuple[End, End]) -> None:
    """Start both and wait for the first epoch in force."""
    for end in reversed(ends):
        await end.start()
    await until(lambda: all(end.in_force() for end in ends), "the first epoch")


async def _stop(*ends: End) -> None:
    for end in ends:
        if hasattr(end, "service") and not end.service.store_worker._pool._shutdown:
            await end.stop()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fails if file descriptors are left open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def tasks_but_this() -> set[asyncio.Task[object]]:
    """Return what runs beside the test."""
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log as the daemon writes it: what comes again and again is counted."""
    bounded = BoundedLines()
    caplog.handler.addFilter(bounded)
    yield caplog
    caplog.handler.removeFilter(bounded)
