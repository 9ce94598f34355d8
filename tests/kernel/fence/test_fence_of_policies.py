"""The stand-in of a kernel without nf_tables: policies that block, and no interface.

They run on kernels with nftables, too, where policies do the same.
"""

from collections.abc import Iterator
from contextlib import closing

import pytest
from lab.inside import made_inside

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.xfrm.fence import XfrmFence
from tests.kernel.fence.place import (
    DEVICE,
    LAN,
    NAME,
    OWN,
    PLAN,
    REMOTE,
    Place,
)

pytestmark = pytest.mark.without_nftables

VERSIONS = (4, 6)
INTERFACE = Passage(("tun0",), reqid=0x5157_0001)
OUTER = 0x5157_0000


def opened(place: Place) -> XfrmFence:
    return made_inside(place.name("gateway"), XfrmFence)


@pytest.fixture
def policies(place: Place) -> Iterator[XfrmFence]:
    with closing(opened(place)) as fence:
        fence.load(PLAN)
        yield fence


def leaves(place: Place) -> set[str]:
    """Send to the remote prefix from a host and the gateway; return where it comes."""
    return {
        at
        for host in ("lan", "gateway")
        for version in VERSIONS
        for at in place.arrivals(host, REMOTE[version])
    } - {"refused"}


def enters(place: Place) -> set[str]:
    """Forge packets in clear to a host and the gateway; return who is deceived."""
    return {
        at
        for targets in (LAN, OWN)
        for version in VERSIONS
        for at in place.arrivals("wan", targets[version], source=REMOTE[version])
    }


def test_nothing_leaves_or_enters_until_it_is_granted(
    place: Place, policies: XfrmFence
) -> None:
    assert (leaves(place), enters(place)) == (set(), set())
    policies.grant(NAME, DEVICE, 60)
    assert leaves(place) == {"far"}
    policies.revoke(NAME)
    assert (leaves(place), enters(place)) == (set(), set())


def test_more_specific_routes_lead_nothing_out(
    place: Place, policies: XfrmFence
) -> None:
    assert policies.read().present
    place.ip("gateway", f"route add {REMOTE[4]}/32 via 203.0.113.2")
    place.ip("gateway", f"route add {REMOTE[6]}/128 via 2001:db8::2")
    assert leaves(place) == set()


def test_an_interface_of_esp_leaves_forged_packets_refused(
    place: Place, policies: XfrmFence
) -> None:
    policies.grant(NAME, INTERFACE, 60)
    assert leaves(place) == {"far"}
    assert enters(place) == set()


def test_policies_without_interface_lift_nothing(
    place: Place, policies: XfrmFence
) -> None:
    policies.grant(NAME, Passage((), reqid=0x5157_0001), 60)
    assert (leaves(place), enters(place)) == (set(), set())


def test_packets_around_a_tunnel_are_not_for_it(
    place: Place, policies: XfrmFence
) -> None:
    assert policies.read().present
    for version in VERSIONS:
        assert place.arrivals("gateway", REMOTE[version], mark=OUTER) == {"far"}


def test_what_others_flush_is_noticed_and_put_back(
    place: Place, policies: XfrmFence
) -> None:
    heard = made_inside(place.name("gateway"), policies.listen)
    with closing(heard):
        policies.grant(NAME, DEVICE, 60)
        policies.revoke(NAME)
        assert heard.were_ours()
        place.run("gateway", "ip", "xfrm", "policy", "flush")
        assert not heard.were_ours()
    assert leaves(place) == {"far"}
    assert policies.repair(touched=True)
    assert not policies.repair(touched=True)
    assert (leaves(place), enters(place)) == (set(), set())


def test_another_process_keeps_what_was_granted(
    place: Place, policies: XfrmFence
) -> None:
    policies.grant(NAME, INTERFACE, 60)
    with closing(opened(place)) as second:
        second.load(PLAN)
        assert leaves(place) == {"far"}
        assert enters(place) == set()


def test_a_reload_keeps_what_both_configurations_name(
    place: Place, policies: XfrmFence
) -> None:
    other = FencePlan((FencedTunnel("a-c", ("10.3.0.0/16",)),))
    policies.load(other, PLAN)
    assert leaves(place) == set()
    policies.load(other)
    assert leaves(place) == {"far"}
    listed = place.run("gateway", "ip", "xfrm", "policy")
    assert "10.3.0.0/16" in listed
    assert "10.2.0.0/16" not in listed


def test_the_longest_prefix_wins(place: Place, policies: XfrmFence) -> None:
    full = FencedTunnel(NAME, ("0.0.0.0/0", "::/0"), ("10.1.0.0/24", "fd00:1::/64"))
    policies.load(FencePlan((full,)))
    for version in VERSIONS:
        assert place.arrivals("gateway", LAN[version]) == {"lan"}
    assert leaves(place) == set()


def test_removed_is_gone(place: Place, policies: XfrmFence) -> None:
    policies.remove()
    assert not policies.read().present
    assert not place.run("gateway", "ip", "xfrm", "policy").strip()
