"""The fake keeps the contract of the real planes, and can be told to fail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest
from doubles.plane import FakePlane

from gateway.dataplane.base import TunnelSpec
from gateway.errors import DataPlaneError, PlaneConflictError
from tests.dataplane_contract import DataPlaneContract, Driver, End, Ends

T = TypeVar("T")


def spec(name: str = "paris", index: int = 1, interface: str = "qgw1") -> TunnelSpec:
    return TunnelSpec(name, index, interface, (), ("10.1.0.0/16",), ("10.2.0.0/16",))


@dataclass
class FakeEnd:
    plane: FakePlane
    outer: str
    spec: TunnelSpec

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        return function(*arguments)


@dataclass
class FakeEnds:
    near: FakeEnd
    far: FakeEnd

    def reaches(self, sender: End, receiver: End) -> bool:
        assert isinstance(sender, FakeEnd)
        return sender.plane.send(sender.spec.name)


@pytest.fixture(params=["esp", "wireguard"])
def ends(request: pytest.FixtureRequest) -> FakeEnds:
    near = FakeEnd(FakePlane(request.param), "192.0.2.1", spec())
    far = FakeEnd(FakePlane(request.param), "192.0.2.2", spec())
    near.plane.connect(far.plane)
    for end in (near, far):
        end.plane.open()
        end.plane.add_tunnel(end.spec)
    return FakeEnds(near, far)


class TestContract(DataPlaneContract):
    in_force_limit = 0.5
    wrong_key_wait = 0.05


def test_a_failure_is_asked_for_once(ends: FakeEnds) -> None:
    driver = Driver(ends)
    driver.prepare()
    ends.near.plane.fail_next("activate")
    with pytest.raises(DataPlaneError):
        driver.activate()
    assert ends.near.plane.read_state("paris").blocked
    driver.activate()
    assert driver.in_force()


def test_lost_packets_are_no_proof(ends: Ends) -> None:
    driver = Driver(ends)
    assert isinstance(ends.near.plane, FakePlane)
    ends.near.plane.delivers = False
    driver.prepare()
    driver.activate()
    assert not driver.in_force()
    ends.near.plane.delivers = True
    driver.wait_in_force(0.5)


def test_calls_are_recorded(ends: FakeEnds) -> None:
    plane = ends.near.plane
    plane.retire("paris", 3)
    plane.move_peer("paris", ("192.0.2.9", 5))
    assert plane.calls == [
        ("open",),
        ("add_tunnel", "paris"),
        ("retire", "paris", 3),
        ("move_peer", "paris", ("192.0.2.9", 5)),
    ]


def test_names_and_indexes_are_taken_once() -> None:
    plane = FakePlane()
    plane.add_tunnel(spec())
    with pytest.raises(PlaneConflictError):
        plane.add_tunnel(spec("rome", 2))
    with pytest.raises(DataPlaneError):
        plane.add_tunnel(spec("rome", 1, "qgw2"))
    assert list(plane.specs()) == ["paris"]


def test_expiry_closes(ends: FakeEnds) -> None:
    driver = Driver(ends)
    driver.rotate(0.5)
    ends.near.plane.expire("paris", 1)
    assert ends.near.plane.read_state("paris").blocked
    assert driver.carries() == [False, False]


def test_alone_it_receives_when_told() -> None:
    plane = FakePlane(auto_receive=True)
    plane.add_tunnel(spec())
    other = FakePlane()
    other.add_tunnel(spec())
    driver = Driver(
        FakeEnds(
            FakeEnd(plane, "192.0.2.1", spec()), FakeEnd(other, "192.0.2.2", spec())
        )
    )
    driver.prepare()
    plane.activate("paris", 1)
    other.activate("paris", 1)
    assert not driver.in_force()
    other.receive("paris", 1)
    assert driver.in_force()
