"""Networks of this host that went: which are forgotten, and when."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from lab.inside import made_inside

from gateway.config.model import GatewayConfig
from gateway.dataplane.fence import guard, homes
from gateway.dataplane.fence.away import is_to_return
from gateway.dataplane.fence.enforcement import Fencing
from tests.kernel.fence.guarded import configured, guarded
from tests.kernel.fence.place import DEVICE, LAN, NAME, WAN, Place

NETWORK = "10.50.0.0/24"
"""Behind a router on the LAN, and for a moment a network of the gateway itself."""

HOST = "10.50.0.1"
KEPT = 1.0
"""Seconds instead of the real ones."""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget within a second what is forgotten within minutes."""
    monkeypatch.setattr(homes, "LEASE_KEPT", KEPT)
    monkeypatch.setattr(homes, "RELOAD_KEPT", KEPT)
    monkeypatch.setattr(guard, "SWEEP", 0.1)


def with_the_network(folder: Path) -> GatewayConfig:
    config = configured(folder)
    tunnel = config.tunnels[NAME]
    local = (*tunnel.local_subnets, ip_network(NETWORK))
    return replace(config, tunnels={NAME: replace(tunnel, local_subnets=local)})


def behind_the_lan(place: Place) -> None:
    place.ip("lan", f"addr add {HOST}/32 dev lo")
    place.ip("gateway", f"route add {NETWORK} via {LAN[4]} metric 50")


async def decrypted(place: Place) -> set[str]:
    """Where a packet from the far site for the network's host arrives."""
    source = "10.2.0.20"
    await asyncio.to_thread(
        place.run, "far", "ip", "addr", "replace", f"{source}/32", "dev", "lo"
    )
    return await asyncio.to_thread(place.arrivals, "far", HOST, source=source)


@pytest.mark.parametrize("lifetime", ["valid_lft 60 preferred_lft 60", ""])
def test_a_lease_or_an_unasked_address_that_went_leaves_no_trace(
    place: Place, tmp_path: Path, lifetime: str
) -> None:
    behind_the_lan(place)

    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        assert await decrypted(place) == {"lan"}
        address = "10.50.0.9/24 dev wan0"
        await asyncio.to_thread(place.ip, "gateway", f"addr add {address} {lifetime}")
        await asyncio.sleep(0.5)
        assert await decrypted(place) != {"lan"}
        await asyncio.to_thread(place.ip, "gateway", f"addr del {address}")
        await asyncio.sleep(0.3)
        assert await decrypted(place) == set(), "it may come back"
        await asyncio.sleep(2 * KEPT)
        assert await decrypted(place) == {"lan"}

    guarded(place, with_the_network(tmp_path), tmp_path, body)


def test_a_network_that_moved_behind_a_router_is_reached_after_a_reload(
    place: Place, tmp_path: Path
) -> None:
    """Its interface is down since: a route of its own says that it lies elsewhere."""
    config = with_the_network(tmp_path)
    place.ip(
        "gateway",
        "link add vlan50 type veth peer name trunk",
        "link set trunk up",
        "link set vlan50 up",
        "addr add 10.50.0.254/24 dev vlan50",
    )

    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        await asyncio.to_thread(
            place.ip,
            "gateway",
            "addr del 10.50.0.254/24 dev vlan50",
            "link set vlan50 down",
        )
        await asyncio.to_thread(behind_the_lan, place)
        await asyncio.sleep(2 * KEPT)
        assert await decrypted(place) == set(), "no operator said so"
        await fencing.settle(config, is_asked=True)
        await asyncio.sleep(2 * KEPT)
        assert await decrypted(place) == {"lan"}

    guarded(place, config, tmp_path, body)


def test_a_reload_while_the_lan_is_away_does_not_open_it(
    place: Place, tmp_path: Path
) -> None:
    """Neither is it forgotten for being away for long."""
    config = with_the_network(tmp_path)
    place.ip("wan", f"addr add {HOST}/32 dev lo")
    place.ip(
        "gateway",
        "link add vlan50 type veth peer name trunk",
        "link set trunk up",
        "link set vlan50 up",
        "addr add 10.50.0.254/24 dev vlan50",
        f"route add default via {WAN[4]}",
    )

    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        await asyncio.to_thread(
            place.ip,
            "gateway",
            "addr del 10.50.0.254/24 dev vlan50",
            "link set vlan50 down",
        )
        await asyncio.sleep(2 * KEPT)
        assert await decrypted(place) == set()
        await fencing.settle(config, is_asked=True)
        await asyncio.sleep(2 * KEPT)
        assert await decrypted(place) == set()

    guarded(place, config, tmp_path, body)


@pytest.mark.parametrize(
    ("network", "other"), [(NETWORK, LAN[4]), ("fd00:50::/64", LAN[6])]
)
def test_why_a_network_is_away(place: Place, network: str, other: str) -> None:
    def body() -> None:
        assert not is_to_return(network, ("none0",))
        place.ip(
            "gateway", "link add vlan50 type veth peer name trunk", "link set trunk up"
        )
        assert is_to_return(network, ("none0", "vlan50"))
        place.ip("gateway", f"route add unreachable {network} metric 4294901760")
        assert is_to_return(network, ("vlan50",))
        place.ip("gateway", f"route add {network} via {other}")
        assert not is_to_return(network, ("vlan50",))
        place.ip("gateway", f"route del {network} via {other}")
        place.ip("gateway", "link set vlan50 up")
        assert not is_to_return(network, ("vlan50",))
        # Without carrier: the other end of the cable is down.
        place.ip("wan", "link set eth0 down")
        assert is_to_return(network, ("wan0",))

    made_inside(place.name("gateway"), body)
