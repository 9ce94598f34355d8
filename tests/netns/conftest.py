"""Hosts for a module's tests, made once, and daemons for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.netns import Namespace

from gateway.dataplane.choose import available_planes
from tests.netns.labs import LIFETIME, Lab, edit, hosts, make_lab

HANGS = 240
"""Seconds after which a test hangs: each waits for what it wants, with `PATIENCE`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test of this folder into the lane."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)
            item.add_marker(pytest.mark.timeout(HANGS))


@pytest.fixture(scope="session", autouse=True)
def needs_root_and_a_plane() -> None:
    """Skip where nothing of this can run, and say what would help."""
    if os.geteuid():
        pytest.skip("needs root: run scripts/test netns as root")
    options = available_planes()
    if not any(option.works for option in options):
        pytest.skip("; ".join(f"{one.name}: {one.hint}" for one in options))


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Namespace, Namespace]]:
    """Two hosts on one network."""
    tag = f"{abs(hash(request.module.__name__)) % 1000}"
    with hosts(tag) as made:
        yield made


@pytest.fixture
def lab(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways, not started."""
    with make_lab(pair) as made:
        yield made


@pytest.fixture
def brief(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways, not started, whose tunnel ends `LIFETIME` after its last epoch."""
    with make_lab(pair, lifetime=LIFETIME) as made:
        yield made


@pytest.fixture
def by_hand(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways, not started, whose keys come by file; rotated by hand."""
    with make_lab(pair, interval=60.0, lifetime=180.0) as made:
        for end in made.ends:
            edit(end, "^source = .*", 'source = "file"')
            for key in ("rate", "seed_file", "capacity"):
                edit(end, f"^{key} = .*", "")
        yield made


@pytest.fixture(scope="module")
def shared(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways in force, shared by a module: tests leave them so."""
    with make_lab(pair) as made:
        made.start()
        yield made
