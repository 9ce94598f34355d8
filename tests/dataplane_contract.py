"""What every data plane must do, whatever carries it.

A test module of a plane subclasses `DataPlaneContract` and gives it a fixture
`ends`: two planes that can reach each other, open, with one tunnel added at each.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import pytest

from gateway.dataplane.base import (
    DataPlane,
    EpochInstall,
    EpochState,
    PlaneKeys,
    PlaneState,
    TunnelSpec,
)
from gateway.errors import DataPlaneError
from gateway.secret import Secret

T = TypeVar("T")

MAX_OFFER = 64
POLL_INTERVAL = 0.02


class End(Protocol):
    """One end of a tunnel under test."""

    @property
    def plane(self) -> DataPlane: ...

    @property
    def spec(self) -> TunnelSpec: ...

    @property
    def outer(self) -> str:
        """Outer address."""

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call the plane where it wants to be called: in its thread, its namespace."""


class Ends(Protocol):
    """Two ends and what can be seen between them."""

    @property
    def near(self) -> End: ...

    @property
    def far(self) -> End: ...

    def reaches(self, sender: End, receiver: End) -> bool:
        """Send one packet through the tunnel; return whether it arrived."""


@dataclass
class Driver:
    """Does with two planes what two daemons do."""

    ends: Ends
    epoch: int = 0

    def both(self) -> tuple[End, End]:
        return self.ends.near, self.ends.far

    def installs(self, *, wrong: bool = False) -> list[tuple[End, EpochInstall]]:
        """Return the next epoch's installs; `wrong` gives the ends unequal keys."""
        self.epoch += 1
        near, far = self.both()
        offers = [
            end.call(end.plane.offer, end.spec.name, self.epoch) for end in (near, far)
        ]
        esp = [secrets.token_bytes(36) for _ in range(2)]
        psk = secrets.token_bytes(32)
        found = []
        for side, (end, peer) in enumerate(((near, far), (far, near))):
            send, receive = esp[side], esp[1 - side]
            if wrong and side == 1:
                send, receive, psk = (secrets.token_bytes(n) for n in (36, 36, 32))
            install = EpochInstall(
                tunnel=end.spec.name,
                epoch=self.epoch,
                initiator=side == 0,
                local_address=(end.outer, 51810),
                peer_address=(peer.outer, 51810),
                local_offer=offers[side],
                peer_offer=offers[1 - side],
                keys=PlaneKeys(Secret(send), Secret(receive), Secret(psk)),
                lifetime=360.0,
            )
            found.append((end, install))
        return found

    def prepare(self, *, wrong: bool = False) -> None:
        for end, install in self.installs(wrong=wrong):
            end.call(end.plane.prepare, install)

    def activate(self) -> None:
        for end in reversed(self.both()):
            end.call(end.plane.activate, end.spec.name, self.epoch)

    def states(self) -> list[PlaneState]:
        return [end.call(end.plane.poll, end.spec.name) for end in self.both()]

    def in_force(self) -> bool:
        return all(
            any(e.epoch == self.epoch and e.active and e.received for e in s.epochs)
            for s in self.states()
        )

    def wait_in_force(self, limit: float) -> None:
        deadline = time.monotonic() + limit
        while not self.in_force():
            assert time.monotonic() < deadline, self.states()
            time.sleep(POLL_INTERVAL)

    def retire(self, epoch: int) -> None:
        for end in self.both():
            end.call(end.plane.retire, end.spec.name, epoch)

    def rotate(self, limit: float) -> None:
        before = self.epoch
        self.prepare()
        self.activate()
        self.wait_in_force(limit)
        self.retire(before)

    def carries(self) -> list[bool]:
        """Return whether a packet gets through, each way."""
        near, far = self.both()
        return [self.ends.reaches(near, far), self.ends.reaches(far, near)]

    def epoch_states(self, epoch: int) -> list[EpochState]:
        return [e for s in self.states() for e in s.epochs if e.epoch == epoch]


class DataPlaneContract:
    """The suite. Subclasses give the fixture `ends`."""

    in_force_limit = 5.0
    """Seconds from activation at both ends until it must be in force."""

    wrong_key_wait = 0.3
    """Seconds to watch that unequal keys do not come into force."""

    @pytest.fixture
    def driver(self, ends: Ends) -> Driver:
        return Driver(ends)

    def test_nothing_passes_before_the_first_epoch(self, driver: Driver) -> None:
        assert [s.blocked for s in driver.states()] == [True, True]
        assert [s.epochs for s in driver.states()] == [(), ()]
        assert driver.carries() == [False, False]

    def test_offers_are_small_and_change_nothing(self, driver: Driver) -> None:
        driver.rotate(self.in_force_limit)
        near = driver.ends.near
        for epoch in range(100, 200):
            offer = near.call(near.plane.offer, near.spec.name, epoch)
            assert 0 < len(offer) <= MAX_OFFER
        assert driver.in_force()
        assert driver.carries() == [True, True]

    def test_prepared_is_not_active(self, driver: Driver) -> None:
        driver.prepare()
        for state in driver.states():
            assert state.blocked
            assert [(e.epoch, e.active, e.received) for e in state.epochs] == [
                (1, False, False)
            ]
        assert driver.carries() == [False, False]

    def test_activated_comes_in_force_without_traffic(self, driver: Driver) -> None:
        driver.prepare()
        driver.activate()
        driver.wait_in_force(self.in_force_limit)
        assert not any(state.blocked for state in driver.states())
        assert driver.carries() == [True, True]

    def test_rotations_follow_each_other(self, driver: Driver) -> None:
        for _ in range(3):
            driver.rotate(self.in_force_limit)
            assert driver.carries() == [True, True]
        for state in driver.states():
            assert [e.epoch for e in state.epochs] == [3]

    def test_what_is_in_force_stays_while_the_next_is_prepared(
        self, driver: Driver
    ) -> None:
        driver.rotate(self.in_force_limit)
        driver.prepare()
        assert driver.carries() == [True, True]
        assert [e.active for e in driver.epoch_states(1)] == [True, True]
        assert [e.active for e in driver.epoch_states(2)] == [False, False]

    def test_prepare_and_activate_repeat(self, driver: Driver) -> None:
        installs = driver.installs()
        for _ in range(2):
            for end, install in installs:
                end.call(end.plane.prepare, install)
        driver.activate()
        driver.activate()
        driver.wait_in_force(self.in_force_limit)
        for end, install in installs:
            end.call(end.plane.prepare, install)
        driver.activate()
        assert driver.in_force()
        assert driver.carries() == [True, True]

    def test_unequal_keys_never_come_in_force(self, driver: Driver) -> None:
        driver.prepare(wrong=True)
        driver.activate()
        deadline = time.monotonic() + self.wrong_key_wait
        while time.monotonic() < deadline:
            assert not any(e.received for e in driver.epoch_states(driver.epoch))
            time.sleep(POLL_INTERVAL)
        assert driver.carries() == [False, False]

    def test_activating_what_is_not_prepared_changes_nothing(
        self, driver: Driver
    ) -> None:
        driver.rotate(self.in_force_limit)
        near = driver.ends.near
        with pytest.raises(DataPlaneError):
            near.call(near.plane.activate, near.spec.name, 77)
        assert driver.in_force()
        assert driver.carries() == [True, True]

    def test_unknown_epochs_are_retired_quietly(self, driver: Driver) -> None:
        driver.rotate(self.in_force_limit)
        driver.retire(4711)
        assert driver.carries() == [True, True]

    def test_block_closes_and_the_next_epoch_opens(self, driver: Driver) -> None:
        driver.rotate(self.in_force_limit)
        for end in driver.both():
            end.call(end.plane.block, end.spec.name)
            end.call(end.plane.block, end.spec.name)
        for state in driver.states():
            assert state == PlaneState(blocked=True)
        assert driver.carries() == [False, False]
        driver.rotate(self.in_force_limit)
        assert driver.carries() == [True, True]

    def test_reading_changes_nothing(self, driver: Driver) -> None:
        driver.prepare()
        for end in driver.both():
            first = end.call(end.plane.read_state, end.spec.name)
            assert end.call(end.plane.read_state, end.spec.name) == first

    def test_tunnels_that_are_not_there(self, driver: Driver) -> None:
        near = driver.ends.near
        (_, install), _ = driver.installs()
        near.call(near.plane.remove_tunnel, "nobody")
        for method, *arguments in (
            (near.plane.offer, "nobody", 1),
            (near.plane.prepare, replace(install, tunnel="nobody")),
            (near.plane.activate, "nobody", 1),
            (near.plane.read_state, "nobody"),
        ):
            with pytest.raises(DataPlaneError):
                near.call(method, *arguments)

    def test_a_tunnel_is_added_twice_and_removed_twice(self, driver: Driver) -> None:
        driver.rotate(self.in_force_limit)
        near = driver.ends.near
        near.call(near.plane.add_tunnel, near.spec)
        assert driver.in_force()
        near.call(near.plane.remove_tunnel, near.spec.name)
        near.call(near.plane.remove_tunnel, near.spec.name)
        with pytest.raises(DataPlaneError):
            near.call(near.plane.read_state, near.spec.name)

    def test_tunnels_that_exchange_prefixes(self, driver: Driver) -> None:
        driver.rotate(self.in_force_limit)
        near = driver.ends.near
        own = near.spec
        beside = replace(
            own,
            name="beside",
            index=own.index + 7,
            interface="qgw-beside",
            addresses=(),
            remote_subnets=("10.219.0.0/24",),
        )
        near.call(near.plane.add_tunnel, beside)
        given = replace(own, remote_subnets=beside.remote_subnets)
        taken = replace(beside, remote_subnets=own.remote_subnets)
        near.call(near.plane.update_tunnels, (given, taken))
        assert driver.in_force()
        near.call(near.plane.update_tunnels, (own, beside))
        assert driver.in_force()
        assert driver.carries() == [True, True]
        near.call(near.plane.remove_tunnel, beside.name)
        with pytest.raises(DataPlaneError):
            near.call(near.plane.update_tunnels, (own, beside))
        assert driver.carries() == [True, True]

    def test_what_is_described_is_real(self, driver: Driver) -> None:
        near, far = driver.both()
        assert near.call(near.plane.describe, near.spec.name).sessions == ()
        driver.rotate(self.in_force_limit)
        view = near.call(near.plane.describe, near.spec.name)
        peer = far.call(far.plane.describe, far.spec.name)
        assert view.devices
        for device in view.devices:
            assert device.is_up
            assert set(device.addresses) == set(near.spec.addresses)
        assert view.mtu is not None
        assert 1000 < view.mtu <= 9000
        (session,), (other,) = view.sessions, peer.sessions
        assert (session.epoch, session.active) == (1, True)
        assert session.device in [device.name for device in view.devices]
        assert session.peer.startswith(far.outer)
        # What one end says of itself the other says of its peer.
        assert session.spi_in == other.spi_out
        assert session.spi_out == other.spi_in
        assert session.peer_key in [device.public_key for device in peer.devices]
        assert (session.spi_in is None) == bool(session.peer_key)
        driver.rotate(self.in_force_limit)
        (later,) = near.call(near.plane.describe, near.spec.name).sessions
        assert later.epoch == 2
        assert (later.spi_in, later.peer_key) != (session.spi_in, session.peer_key)
        with pytest.raises(DataPlaneError):
            near.call(near.plane.describe, "nobody")
