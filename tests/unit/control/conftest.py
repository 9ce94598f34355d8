import asyncio
import grp
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.control.server import ControlServer
from gateway.errors import (
    ConfigError,
    ConfigProblem,
    ControlError,
    KeyStoreError,
)
from gateway.secret import Secret


async def echo(params: Mapping[str, object]) -> object:
    return dict(params)


async def missing(params: Mapping[str, object]) -> object:
    raise ControlError("no tunnel rome", "see qgw tunnel list", code="not-found")


async def bad_config(params: Mapping[str, object]) -> object:
    raise ConfigError((ConfigProblem("g.toml", 3, "listen", "a port", "'x'"),))


async def full_disk(params: Mapping[str, object]) -> object:
    raise KeyStoreError("the disk is full", "make room", retryable=True)


async def bug(params: Mapping[str, object]) -> object:
    raise ValueError(f"bad key {params['key']}")


async def leak(params: Mapping[str, object]) -> object:
    return {"key": Secret(b"k" * 32)}


async def big(params: Mapping[str, object]) -> object:
    return "x" * 3_000_000


async def slow(params: Mapping[str, object]) -> object:
    await asyncio.sleep(30)
    return None


HANDLERS = {
    "echo": echo,
    "missing": missing,
    "bad-config": bad_config,
    "full-disk": full_disk,
    "bug": bug,
    "leak": leak,
    "big": big,
    "slow": slow,
}


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest_asyncio.fixture
async def server(socket_path: Path) -> AsyncIterator[ControlServer]:
    # A group that is always there: root's own, or that of whoever runs the tests.
    group = grp.getgrgid(os.getegid()).gr_name
    started = ControlServer(socket_path, group, HANDLERS)
    await started.start()
    yield started
    await started.stop()
