"""Hosts for the fence's tests, made once for each module."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dataplane.fence.nft.fence import NftFence
from gateway.errors import PlaneUnsupportedError
from tests.kernel.fence.place import PLAN, Place, make_place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test of this folder into the lane."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)


@pytest.fixture(scope="session", autouse=True)
def needs_nftables() -> None:
    """Skip where nothing of this can run, and say what would help."""
    if os.geteuid():
        pytest.skip("needs root: run scripts/test netns as root")
    try:
        NftFence().close()
    except PlaneUnsupportedError as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture
def place() -> Iterator[Place]:
    """Four hosts, without a fence."""
    with make_place() as made:
        yield made


@pytest.fixture
def fence(place: Place) -> Iterator[NftFence]:
    """The gateway's fence, loaded, with nothing granted."""
    fence = place.fence()
    fence.load(PLAN)
    yield fence
    fence.close()
