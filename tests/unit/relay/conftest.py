from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.relay.bench import Network


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
