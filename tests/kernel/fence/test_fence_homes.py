"""What came out of a tunnel for a network here, whatever leads it elsewhere."""

from contextlib import closing
from dataclasses import replace

import pytest

from gateway.dataplane.fence.base import FencedTunnel, Home, Passage
from gateway.dataplane.fence.nft.fence import NftFence
from tests.kernel.fence.place import DEVICE, HOMES, LAN, NAME, PLAN, WAN, Place

pytestmark = pytest.mark.parametrize("version", [4, 6])

BEHIND = {4: "10.1.5.10", 6: "fd00:1:0:5::10"}
"""A host behind a router on the LAN."""

BRANCH = {4: "10.3.0.10", 6: "fd00:3::10"}
"""A host of another site, whose tunnel is the device wan0 here."""

FAR = {4: "10.2.0.20", 6: "fd00:2::20"}
"""A host of the far site that nobody else pretends to be."""

BITS = {4: 32, 6: 128}
NODAD: dict[int, tuple[str, ...]] = {4: (), 6: ("nodad",)}


def lead_astray(place: Place, version: int) -> None:
    """Have a rule above all others send everything to the wan, which takes it."""
    place.run(
        "wan", "ip", "addr", "add", f"{LAN[version]}/{BITS[version]}", "dev", "lo"
    )
    family = f"-{version}"
    route = ("route", "add", "default", "via", WAN[version], "table", "77")
    place.run("gateway", "ip", family, *route)
    place.run("gateway", "ip", family, "rule", "add", "pref", "5", "lookup", "77")


def decrypted(place: Place, version: int) -> set[str]:
    """Where a packet from the far site's host to the LAN's arrives."""
    return sent(place, version, LAN[version])


def sent(place: Place, version: int, host: str) -> set[str]:
    """Where a packet from the far site's host to another arrives."""
    own = f"{FAR[version]}/{BITS[version]}"
    place.run("far", "ip", "addr", "replace", own, "dev", "lo", *NODAD[version])
    return place.arrivals("far", host, source=FAR[version])


def test_without_homes_it_leaks(place: Place, fence: NftFence, version: int) -> None:
    fence.load(replace(PLAN, homes=()))
    fence.grant(NAME, DEVICE, 60)
    assert decrypted(place, version) == {"lan"}
    lead_astray(place, version)
    assert decrypted(place, version) == {"wan"}
    fence.load(PLAN)
    assert decrypted(place, version) == set()


def test_it_leaves_by_the_network_s_device_alone(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    assert decrypted(place, version) == {"lan"}
    # What the LAN itself sends to others is nobody's business here.
    assert place.arrivals("lan", WAN[version]) == {"wan"}
    lead_astray(place, version)
    before = fence.read().tunnels[NAME].dropped_in
    assert decrypted(place, version) == set()
    assert fence.read().tunnels[NAME].dropped_in == before + 1


def test_not_even_translated_first(place: Place, fence: NftFence, version: int) -> None:
    fence.grant(NAME, DEVICE, 60)
    lead_astray(place, version)
    place.nft(
        "table inet operator { chain post { type nat hook postrouting priority 100;"
        ' oifname "wan0" masquerade; }; }'
    )
    assert decrypted(place, version) == set()


def test_a_network_that_moves_is_followed(
    place: Place, fence: NftFence, version: int
) -> None:
    fence.grant(NAME, DEVICE, 60)
    fence.load(replace(PLAN, homes=tuple(Home(h.network, ("other0",)) for h in HOMES)))
    assert decrypted(place, version) == set()
    both = tuple(Home(each.network, ("lan0", "other0")) for each in HOMES)
    fence.load(replace(PLAN, homes=both))
    assert decrypted(place, version) == {"lan"}


def test_a_longer_network_wins(place: Place, fence: NftFence, version: int) -> None:
    fence.grant(NAME, DEVICE, 60)
    wider = (Home("10.0.0.0/8", ("wan0",)), Home("fd00::/16", ("wan0",)))
    fence.load(replace(PLAN, homes=(*wider, *HOMES)))
    assert decrypted(place, version) == {"lan"}
    fence.load(replace(PLAN, homes=wider))
    assert decrypted(place, version) == set()


def test_a_router_on_the_lan_is_reached(
    place: Place, fence: NftFence, version: int
) -> None:
    host = BEHIND[version]
    bits = BITS[version]
    place.run("lan", "ip", "addr", "add", f"{host}/{bits}", "dev", "lo")
    via = ("route", "add", f"{host}/{bits}", "via", LAN[version])
    place.run("gateway", "ip", f"-{version}", *via)
    fence.grant(NAME, DEVICE, 60)
    assert sent(place, version, host) == {"lan"}


def test_a_hub_passes_from_branch_to_branch(
    place: Place, fence: NftFence, version: int
) -> None:
    branch = FencedTunnel("a-c", ("10.3.0.0/16", "fd00:3::/48"))
    fence.load(replace(PLAN, tunnels=(*PLAN.tunnels, branch)))
    fence.grant(NAME, DEVICE, 60)
    fence.grant("a-c", Passage(devices=("wan0",)), 60)
    host = BRANCH[version]
    place.run("wan", "ip", "addr", "add", f"{host}/{BITS[version]}", "dev", "lo")
    via = ("route", "add", f"{host}/{BITS[version]}", "via", WAN[version])
    place.run("gateway", "ip", f"-{version}", *via)
    assert sent(place, version, host) == {"wan"}


def test_what_others_take_away_is_restored(place: Place, version: int) -> None:
    with closing(place.fence(owned=False)) as fence:
        fence.load(PLAN)
        fence.grant(NAME, DEVICE, 60)
        lead_astray(place, version)
        length = {4: 24, 6: 64}[version]
        place.nft(f"flush set inet qgw site{version}-{length}")
        assert decrypted(place, version) == {"wan"}
        assert fence.repair(touched=True)
        assert decrypted(place, version) == set()
        assert not fence.repair(touched=True)
