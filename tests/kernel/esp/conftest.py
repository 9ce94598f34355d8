"""Pairs of sites, in each way in which this kernel can carry ESP.

A kernel with xfrm interfaces gives a tunnel one; elsewhere policies alone carry it.
Every test runs both ways where the kernel has both: User-mode Linux has policies
alone, Debian's kernel (`scripts/in-vm`) both. ``-m esp_interface`` chooses one way.
"""

import functools
from collections.abc import Iterator

import pytest

from gateway.dataplane.esp.devices import Devices
from tests.kernel.esp.sites import Pair, has_xfrm_interfaces, make_pair, missing_esp

POLICIES = pytest.param("policies")
INTERFACE = pytest.param("interface", marks=pytest.mark.esp_interface)


@functools.cache
def carriers() -> list[object]:
    """Return the ways there are on this kernel."""
    return [POLICIES, INTERFACE] if has_xfrm_interfaces() else [POLICIES]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "carrier" in metafunc.fixturenames:
        metafunc.parametrize("carrier", carriers(), indirect=True)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what concerns interfaces alone where policies carry the tunnel."""
    beside = [
        item
        for item in items
        if item.get_closest_marker("over_interface")
        and not item.get_closest_marker("esp_interface")
    ]
    if beside:
        config.hook.pytest_deselected(items=beside)
        items[:] = [item for item in items if item not in beside]


@pytest.fixture(scope="session", autouse=True)
def needs_esp() -> None:
    """Skip everything where the kernel cannot do it, and say how to get one."""
    if reason := missing_esp():
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose what carries the tunnels of this test."""
    if request.param == "policies":
        monkeypatch.setattr(Devices, "_try_xfrm", lambda _: False)
    return str(request.param)


@pytest.fixture
def pair(carrier: str) -> Iterator[Pair]:
    with make_pair() as pair:
        assert pair.has_interface == (carrier == "interface")
        yield pair
