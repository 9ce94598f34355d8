from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.relay import connector as connecting
from tests.unit.relay.bench import Network
from tests.unit.relay.callers import Lux
from tests.unit.relay.site import Sites


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Network]:
    """Redu, Luxembourg, Singapore: no link between first and last."""
    network = Network(tmp_path, [("redu", "lux"), ("lux", "sin")])
    network.fill(20)
    yield network
    network.close()


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Network]:
    """Four in a ring: two disjoint paths from a to d."""
    network = Network(tmp_path, [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")])
    network.fill(20)
    yield network
    network.close()


@pytest.fixture
async def lux() -> AsyncIterator[Lux]:
    node = Lux()
    await node.transport.start()
    yield node
    await node.stop()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are started one after the other need not wait for each other."""
    monkeypatch.setattr(connecting, "MIN_DELAY", 0.01)


@pytest.fixture
async def sites(tmp_path: Path, no_pause: None) -> AsyncIterator[Sites]:
    """Redu, Luxembourg, Singapore."""
    made = Sites(tmp_path, [("redu", "lux"), ("lux", "sin")])
    made.fill(30)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def ring_sites(tmp_path: Path, no_pause: None) -> AsyncIterator[Sites]:
    """Four in a ring."""
    made = Sites(tmp_path, [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")])
    made.fill(30)
    await made.start()
    yield made
    await made.stop()
