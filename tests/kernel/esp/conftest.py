"""Pairs of sites, and the reason if this kernel has no ESP."""

from collections.abc import Iterator

import pytest

from tests.kernel.esp.sites import Pair, make_pair, missing_esp


@pytest.fixture(scope="session", autouse=True)
def needs_esp() -> None:
    """Skip everything where the kernel cannot do it, and say how to get one."""
    if reason := missing_esp():
        pytest.skip(reason)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with make_pair() as pair:
        yield pair
