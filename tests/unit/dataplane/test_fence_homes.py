"""Which networks are homes, by which interfaces, and for how long."""

from gateway.dataplane.fence.base import FencedTunnel, Home
from gateway.dataplane.fence.connected import Held
from gateway.dataplane.fence.homes import Homes, home_prefixes
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
