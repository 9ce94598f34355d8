"""Which networks are homes, by which interfaces, and for how long."""

from gateway.dataplane.fence.base import FencedTunnel, Home
from gateway.dataplane.fence.connected import Held
from gateway.dataplane.fence.homes import (
    LEASE_KEPT,
    RELOAD_KEPT,
    Homes,
    home_prefixes,
)
from gateway.dataplane.fence.partition import Prefix

TUNNEL = FencedTunnel("a-b", ("10.2.0.0/16",), ("10.1.0.0/16", "fd00:1::/48"))
ANY = FencedTunnel("a-c", ("10.3.0.0/16",))
LAN = Held("10.1.5.0/24", "lan0", is_permanent=True)
WAN = Held("192.0.2.0/24", "wan0", is_permanent=True)


def homes(*held: Held, tunnels: tuple[FencedTunnel, ...] = (TUNNEL,)) -> Homes:
    made = Homes()
    made.follow(held, tunnels)
    return made


def test_only_networks_inside_local_prefixes_are_homes() -> None:
    assert homes(LAN, WAN).known == (Home("10.1.5.0/24", ("lan0",)),)


def test_without_local_prefixes_all_are() -> None:
    found = homes(LAN, WAN, tunnels=(TUNNEL, ANY)).known
    assert {each.network for each in found} == {LAN.network, WAN.network}


def test_of_a_wider_network_the_local_part_is_one() -> None:
    wide = Held("10.0.0.0/8", "lan0", is_permanent=True)
    assert homes(wide).known == (Home("10.1.0.0/16", ("lan0",)),)


def test_what_went_stays_until_another_holds_it() -> None:
    found = homes(LAN)
    found.follow([WAN], [TUNNEL])
    assert found.known == (Home("10.1.5.0/24", ("lan0",)),)
    found.follow([Held("10.1.5.0/24", "lan1", is_permanent=True)], [TUNNEL])
    assert found.known == (Home("10.1.5.0/24", ("lan1",)),)
    found.follow([Held("10.1.4.0/23", "lan2", is_permanent=True)], [TUNNEL])
    assert found.known == (Home("10.1.4.0/23", ("lan2",)),)
    found.follow([], [FencedTunnel("a-b", ("10.2.0.0/16",), ("10.9.0.0/16",))])
    assert not found.known


class Host:
    """A clock, and interfaces that are down.

    Attributes:
        now: Seconds.
        down: Names of interfaces.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.down: set[str] = set()
        self.homes = Homes(self._is_to_return, lambda: self.now)

    def _is_to_return(self, _network: str, devices: tuple[str, ...]) -> bool:
        return not self.down.isdisjoint(devices)

    def known(self, seconds: float) -> set[str]:
        """Let time pass, watched every second; return what is known then."""
        for _ in range(int(seconds)):
            self.now += 1
            if self.homes.watch():
                self.homes.follow([], [ANY])
        return {each.network for each in self.homes.known}


LEASE = Held("10.50.0.0/24", "wan0", is_permanent=False)


def test_a_lease_that_went_is_forgotten_and_an_operators_network_is_not() -> None:
    host = Host()
    host.homes.follow([LAN, LEASE], [ANY])
    assert host.known(2 * LEASE_KEPT) == {LAN.network, LEASE.network}
    host.homes.follow([], [ANY])
    assert host.known(LEASE_KEPT - 1) == {LAN.network, LEASE.network}
    assert host.known(1) == {LAN.network}
    assert host.known(1000) == {LAN.network}


def test_a_lease_that_is_renewed_late_was_never_forgotten() -> None:
    host = Host()
    host.homes.follow([LEASE], [ANY])
    for _ in range(3):
        host.homes.follow([], [ANY])
        assert host.known(LEASE_KEPT - 1) == {LEASE.network}
        host.homes.follow([LEASE], [ANY])
        assert host.known(1) == {LEASE.network}


def test_a_reload_forgets_what_does_not_come_back_at_once() -> None:
    host = Host()
    host.homes.follow([LAN], [ANY])
    host.homes.forget()
    assert host.known(1000) == {LAN.network}, "it is here"
    host.homes.follow([], [ANY])
    host.homes.forget()
    assert host.known(RELOAD_KEPT - 1) == {LAN.network}
    host.homes.follow([LAN], [ANY])
    assert host.known(1000) == {LAN.network}, "it came back"
    host.homes.follow([], [ANY])
    host.homes.forget()
    assert host.known(RELOAD_KEPT) == set()


def test_no_time_runs_while_an_interface_is_down() -> None:
    host = Host()
    host.homes.follow([LAN, LEASE], [ANY])
    host.homes.follow([], [ANY])
    host.down = {"lan0", "wan0"}
    host.homes.forget()
    assert host.known(1000) == {LAN.network, LEASE.network}
    host.down.clear()
    assert host.known(LEASE_KEPT - 1) == {LAN.network, LEASE.network}
    assert host.known(1) == {LAN.network}
    host.homes.forget()
    assert host.known(1) == set()


def test_a_lease_takes_nothing_from_an_operators_network() -> None:
    lease = Held("10.1.5.128/25", "wan0", is_permanent=False)
    assert homes(lease, LAN).known == (Home("10.1.5.0/24", ("lan0",)),)
    assert homes(lease).known == (Home("10.1.5.128/25", ("wan0",)),)


def test_two_interfaces_may_hold_one_network() -> None:
    second = Held("10.1.5.0/24", "br0", is_permanent=True)
    assert homes(LAN, second).known == (Home("10.1.5.0/24", ("br0", "lan0")),)


def test_the_longest_network_wins() -> None:
    wide, narrow = Home("10.1.4.0/23", ("lan0",)), Home("10.1.5.0/24", ("lan1",))
    assert home_prefixes([wide, narrow]) == {
        Prefix(4, 0x0A010400, 24): ("lan0",),
        Prefix(4, 0x0A010500, 24): ("lan1",),
    }


def test_of_two_configurations_the_new_one_counts() -> None:
    old = (Home("10.1.4.0/23", ("lan0",)),)
    new = (Home("10.1.5.0/24", ("lan1", "lan2")),)
    assert home_prefixes(new, old) == {
        Prefix(4, 0x0A010400, 24): ("lan0",),
        Prefix(4, 0x0A010500, 24): ("lan1", "lan2"),
    }
