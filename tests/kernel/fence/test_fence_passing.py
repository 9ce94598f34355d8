"""What passes the fence and what does not, by every way that a host knows."""

import pytest

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.host.marks import OUTER_MARK
from tests.kernel.fence.place import (
    DEVICE,
    LAN,
    NAME,
    OWN,
    PLAN,
    REMOTE,
    WAN,
    Place,
)

pytestmark = pytest.mark.parametrize("version", [4, 6])

CLOSED = {"lan": set(), "gateway": {"refused"}}


def test_without_a_fence_all_of_this_leaks(place: Place, version: int) -> None:
    place.divert()
    assert place.outward(version) == {"lan": {"wan"}, "gateway": {"wan"}}
    assert place.inward(version, "wan") == {"lan": {"lan"}, "gateway": {"gateway"}}


def test_nothing_passes_without_a_grant(
    place: Place, fence: NftFence, version: int
) -> None:
    assert place.outward(version) == CLOSED
    place.divert()
    assert place.outward(version) == CLOSED
    for host in ("wan", "far"):
        assert place.inward(version, host) == {"lan": set(), "gateway": set()}


def test_a_grant_passes_by_the_tunnel_alone(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    assert place.outward(version) == {"lan": {"far"}, "gateway": {"far"}}
    assert place.inward(version, "far") == {"lan": {"lan"}, "gateway": {"gateway"}}
    assert place.inward(version, "wan") == {"lan": set(), "gateway": set()}
    place.divert()
    assert place.outward(version) == CLOSED
    fence.revoke(NAME)
    assert place.outward(version) == CLOSED
    assert place.inward(version, "far") == {"lan": set(), "gateway": set()}


def test_a_rule_or_a_vrf_leads_nowhere_else(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    prefix, via = {
        4: ("10.2.0.0/16", WAN[4]),
        6: ("fd00:2::/48", WAN[6]),
    }[version]
    place.ip(
        "gateway",
        f"route add {prefix} via {via} table 77",
    )
    rule = ("rule", "add", "pref", "5", "to", prefix, "lookup", "77")
    place.run("gateway", "ip", f"-{version}", *rule)
    assert place.outward(version) == CLOSED


def test_what_is_not_the_tunnels_passes(
    place: Place, fence: NftFence, version: int
) -> None:
    for host in ("lan", "gateway"):
        assert place.arrivals(host, WAN[version]) == {"wan"}
    assert place.arrivals("wan", LAN[version]) == {"lan"}
    assert place.arrivals("gateway", LAN[version]) == {"lan"}
    assert place.arrivals("gateway", OWN[version]) == {"gateway"}


def test_a_shorter_remote_prefix_leaves_the_lan_alone(
    place: Place, version: int
) -> None:
    fence = place.fence()
    everything = ("0.0.0.0/0", "::/0")
    fence.load(
        FencePlan(
            (FencedTunnel(NAME, everything, ("10.1.0.0/24",)),),
            exempt=("fd00:1::/64",),
            ports=(51810,),
        )
    )
    assert place.arrivals("gateway", LAN[version]) == {"lan"}
    assert place.arrivals("lan", OWN[version]) == {"gateway"}
    assert place.arrivals("gateway", OWN[version]) == {"gateway"}
    assert place.arrivals("lan", WAN[version]) == set()
    assert place.arrivals("gateway", WAN[version]) == {"refused"}
    assert place.arrivals("wan", LAN[version]) == set()
    # Neighbours find each other although their addresses are fenced.
    place.run("gateway", "ip", "neigh", "flush", "all")
    marked = place.arrivals(
        "gateway", WAN[version], mark=OUTER_MARK | 7, source_port=51810
    )
    assert marked == {"wan"}
    fence.close()


def test_what_goes_around_the_tunnel_passes_by_its_mark_and_its_port(
    place: Place, fence: NftFence, version: int
) -> None:
    place.divert()
    for mark, port, arrives in (
        (OUTER_MARK, 51810, {"wan"}),
        (OUTER_MARK | 0xFFFF, 51812, {"wan"}),
        (OUTER_MARK, 51813, {"refused"}),
        (OUTER_MARK, 0, {"refused"}),
        (0, 51810, {"refused"}),
        (0x5158_0000, 51810, {"refused"}),
        (1, 51810, {"refused"}),
    ):
        assert (
            place.arrivals("gateway", REMOTE[version], mark=mark, source_port=port)
            == arrives
        )


def test_echo_requests_under_the_mark_are_refused(
    place: Place, fence: NftFence, version: int
) -> None:
    place.divert()
    command = ("ping", f"-{version}", "-c1", "-W1", "-m", str(OUTER_MARK))
    counter = {4: "IcmpInEchos", 6: "Icmp6InEchos"}[version]

    def arrived() -> int:
        shown = place.run("wan", "nstat", "-asz", counter).split()
        return int(shown[shown.index(counter) + 1])

    before = arrived()
    place.run("gateway", *command, REMOTE[version], check=False)
    assert arrived() == before
    place.run("gateway", *command, WAN[version])
    assert arrived() == before + 1


@pytest.mark.parametrize("hook", ["prerouting", "forward"])
def test_nothing_that_is_forwarded_passes_by_the_mark(
    place: Place, fence: NftFence, version: int, hook: str
) -> None:
    place.divert()
    place.nft(
        f"""
        table inet marking {{
          chain marked {{
            type filter hook {hook} priority mangle
            iifname lan0 meta mark set {OUTER_MARK}
          }}
        }}
        """
    )
    assert place.arrivals("lan", WAN[version]) == {"wan"}
    assert place.arrivals("lan", REMOTE[version]) == set()


def test_our_own_ports_are_reached_and_no_other(place: Place, version: int) -> None:
    fence = place.fence()
    fence.load(FencePlan(PLAN.tunnels, ports=(4000,)))
    source = REMOTE[version]
    assert place.arrivals("wan", OWN[version], source=source) == {"gateway"}
    # A port is ours on the gateway itself, not on what is behind it.
    assert place.arrivals("wan", LAN[version], source=source) == set()
    fence.load(FencePlan(PLAN.tunnels, ports=(4001,)))
    assert place.arrivals("wan", OWN[version], source=source) == set()
    fence.close()


def test_translated_addresses_are_judged_as_they_leave(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    place.divert()
    old = {4: "198.51.100.9", 6: "2001:db8:9::9"}[version]
    family = {4: "ip", 6: "ip6"}[version]
    translate = f"{family} daddr {old} dnat to {REMOTE[version]}"
    place.nft(
        f"""
        table {family} nat {{
          chain pre {{
            type nat hook prerouting priority dstnat
            {translate}
          }}
          chain out {{
            type nat hook output priority -100
            {translate}
          }}
          chain post {{
            type nat hook postrouting priority srcnat
            masquerade
          }}
        }}
        """
    )
    place.ip("gateway", f"route add {old} via {WAN[version]}")
    assert place.arrivals("lan", old) == set()
    assert place.arrivals("gateway", old) == {"refused"}
    assert place.outward(version) == CLOSED


def rename(place: Place, old: str, new: str) -> None:
    """Rename a device as any kernel lets one do it: while it is down."""
    place.ip(
        "gateway",
        f"link set {old} down",
        f"link set {old} name {new}",
        f"link set {new} up",
    )


def test_a_device_counts_by_its_name(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    assert place.arrivals("gateway", REMOTE[version]) == {"far"}
    rename(place, "tun0", "vpn0")
    place.ip(
        "gateway",
        "addr add fd00:9::1/64 dev vpn0 nodad",
        "route replace 10.2.0.0/16 via 10.9.0.2",
        "route replace fd00:2::/48 via fd00:9::2",
    )
    assert place.arrivals("gateway", REMOTE[version]) == {"refused"}
    fence.grant(NAME, Passage(devices=("vpn0",)), 60)
    assert place.arrivals("gateway", REMOTE[version]) == {"far"}
    # Another device under the old name is not the tunnel.
    rename(place, "wan0", "tun0")
    place.ip("gateway", "addr add 2001:db8::1/64 dev tun0 nodad")
    place.divert()
    assert place.arrivals("gateway", REMOTE[version]) == {"refused"}


def test_one_tunnels_device_is_not_anothers(
    place: Place, fence: NftFence, version: int
) -> None:
    other = FencedTunnel("a-c", ("10.3.0.0/16", "fd00:3::/48"))
    fence.load(FencePlan((*PLAN.tunnels, other), ports=PLAN.ports))
    fence.grant("a-c", DEVICE, 60)
    assert place.arrivals("gateway", REMOTE[version]) == {"refused"}
    assert place.inward(version, "far") == {"lan": set(), "gateway": set()}
    fence.grant(NAME, DEVICE, 60)
    fence.revoke("a-c")
    assert place.arrivals("gateway", REMOTE[version]) == {"far"}
