"""Hosts for the fence's tests, made once for each module."""

import functools
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


@functools.cache
def missing_nftables() -> str:
    """Return what this kernel lacks, and what would help; nothing if it has all."""
    try:
        NftFence().close()
    except PlaneUnsupportedError as error:
        return f"{error.message}: {error.hint}"
    return ""


@pytest.fixture(autouse=True)
def needs_nftables(request: pytest.FixtureRequest) -> None:
    """Skip where nothing of this can run, and say what would help."""
    if os.geteuid():
        pytest.skip("needs root: run scripts/test netns as root")
    if request.node.get_closest_marker("without_nftables") is None and (
        missing := missing_nftables()
    ):
        pytest.skip(missing)


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
