"""What others take from ESP tunnels is back, over policies and over interfaces."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.dataplane.esp import EspPlane
from gateway.dataplane.esp.devices import TRIAL_IF_ID
from gateway.dataplane.held.monitor import Monitor
from gateway.dataplane.held.restored import Loss, Restoration, Scope
from tests.kernel.esp.sites import Layout, Pair, make_pair
from tests.kernel.gateways import Site
from tests.kernel.tap import Tap
from tests.kernel.traffic import packet_arrives

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(240)]

DEVICE = "qgw-paris"


def restored(site: Site[EspPlane]) -> Restoration:
    """Compare once, as the daemon does after a notification."""
    return site.call(site.plane.restore)


def said(found: Restoration) -> str:
    return "; ".join(loss.what for loss in found.restored)


def rename(site: Site[EspPlane]) -> None:
    site.ip("link", "set", DEVICE, "down")
    site.ip("link", "set", DEVICE, "name", "vpn0")
    site.ip("link", "set", "vpn0", "up")


def down_and_up(site: Site[EspPlane]) -> None:
    site.ip("link", "set", DEVICE, "down")
    site.ip("link", "set", DEVICE, "up")


INTERFERENCES: dict[str, tuple[Callable[[Site[EspPlane]], object], str]] = {
    "policies flushed": (lambda s: s.ip("xfrm", "policy", "flush"), "IPsec policies"),
    "route deleted": (
        lambda s: s.ip(
            "route", "delete", "10.2.0.0/24", "table", "5157", "dev", DEVICE
        ),
        "route 10.2.0.0/24 in table 5157",
    ),
    "table flushed": (
        lambda s: s.ip("route", "flush", "table", "5157"),
        "route 10.2.0.0/24 in table 5157",
    ),
    "rule deleted": (
        lambda s: s.ip("rule", "delete", "pref", "5157"),
        "the IPv4 rule for table 5157",
    ),
    "inside address deleted": (
        lambda s: s.ip("address", "delete", "10.9.0.1/30", "dev", DEVICE),
        f"address 10.9.0.1/30 on {DEVICE}",
    ),
    "interface down": (lambda s: s.ip("link", "set", DEVICE, "down"), ": up"),
    "interface down and up": (down_and_up, "route 10.2.0.0/24 in table 5157"),
    "another MTU": (
        lambda s: s.ip("link", "set", DEVICE, "mtu", "1290"),
        "which was 1290",
    ),
    "alias cleared": (
        lambda s: s.ip("link", "set", DEVICE, "alias", ""),
        "its alias",
    ),
    "interface deleted": (
        lambda s: s.ip("link", "delete", DEVICE),
        f"interface {DEVICE}",
    ),
    "interface renamed": (rename, "its name, which was vpn0"),
}


@pytest.mark.parametrize("kind", INTERFERENCES)
def test_it_is_put_back_and_rotations_go_on(pair: Pair, kind: str) -> None:
    interfere, words = INTERFERENCES[kind]
    pair.rotate()
    assert restored(pair.near) == Restoration()
    before = pair.near.routes()
    with Tap(pair) as tap:
        interfere(pair.near)
        found = restored(pair.near)
        assert words in said(found)
        assert (found.missing, found.keyless) == ({}, set())
        assert restored(pair.near) == Restoration()
        assert pair.near.routes() == before
        assert packet_arrives(pair.near, pair.far, "10.9.0.1")
        pair.rotate()
        assert packet_arrives(pair.far, pair.near)
    assert tap.leaks == 0


def test_a_lan_address_that_goes_and_comes_again(pair: Pair) -> None:
    """It is the source of the gateway's own packets; IPv4 takes its routes along."""
    pair.rotate()
    for _ in range(2):
        for change in ("delete", "add"):
            pair.near.ip("address", change, f"{pair.near.inner}/32", "dev", "lo")
            restored(pair.near)
        assert packet_arrives(pair.near, pair.far, pair.near.inner)
        assert packet_arrives(pair.far, pair.near)


def test_keys_that_are_flushed_are_named(pair: Pair) -> None:
    pair.rotate()
    pair.near.ip("xfrm", "state", "flush")
    found = restored(pair.near)
    assert (found.keyless, found.restored) == ({"paris"}, {})
    pair.rotate()
    assert packet_arrives(pair.near, pair.far)
    assert restored(pair.near).keyless == set()


def test_a_network_that_is_connected_later_stays_reachable(pair: Pair) -> None:
    """10.0.0.0/8 lies at the peer, 10.5.0.0/16 is connected here, then 10.6.0.0/16."""
    near = pair.near
    near.plane._devices.keeper.settle()
    spec = replace(near.spec, remote_subnets=("10.0.0.0/8",))
    near.call(near.plane.update_tunnel, spec)
    for old, new in (("", "10.5.0.1/16"), ("10.5.0.1/16", "10.6.0.1/16")):
        if old:
            near.ip("address", "delete", old, "dev", "cable")
        near.ip("address", "add", new, "dev", "cable")
        restored(near)
        network = new.replace(".1/16", ".0/16")
        assert f"throw {network}" in near.routes()
        assert f"dst {network}" in near.ip("xfrm", "policy") or pair.has_interface
        if old:
            assert "10.5.0.0/16" not in near.routes() + near.ip("xfrm", "policy")
    pair.rotate()
    assert packet_arrives(near, pair.far)


def test_another_name_while_stopped(pair: Pair) -> None:
    pair.rotate()
    near = pair.near
    index = near.ip("-o", "link", "show", DEVICE).partition(":")[0]
    near.spec = replace(near.spec, interface="vpn7")
    near.restart()
    assert near.ip("-o", "link", "show", "vpn7").partition(":")[0] == index
    assert packet_arrives(near, pair.far)


def test_another_name_while_running(pair: Pair) -> None:
    pair.rotate()
    near = pair.near
    near.call(near.plane.update_tunnel, replace(near.spec, interface="vpn7"))
    assert restored(near) == Restoration()
    assert "vpn7" in near.routes()
    assert packet_arrives(near, pair.far)
    pair.rotate()


def test_encapsulation_begins_with_the_next_epoch() -> None:
    with make_pair(Layout(encap=True)) as pair:
        for site in pair.sites:
            plain = replace(site.spec, encap=False)
            site.call(site.plane.update_tunnel, plain)
        pair.rotate()
        with Tap(pair) as tap:
            assert packet_arrives(pair.near, pair.far)
            for site in pair.sites:
                site.call(site.plane.update_tunnel, site.spec)
            assert packet_arrives(pair.near, pair.far)
        assert (tap.esp, tap.udp) == (2, 0)
        pair.rotate()
        with Tap(pair) as tap:
            assert packet_arrives(pair.near, pair.far)
        assert (tap.esp, tap.udp) == (0, 1)


@pytest.mark.over_interface
def test_a_trial_interface_left_behind_proves_that_there_are_some(pair: Pair) -> None:
    near = pair.near
    kind = ("type", "xfrm", "if_id", hex(TRIAL_IF_ID))
    near.ip("link", "add", "qgw0badcafe", *kind)
    plane = EspPlane()
    near.call(plane.open)
    assert plane._devices.has_xfrm
    near.call(plane.close)
    assert "qgw0badcafe" not in near.ip("link")


def test_what_others_do_is_heard_and_our_own_rotations_are_not(pair: Pair) -> None:
    near = pair.near
    pair.rotate()
    ports = (near.plane._devices.keeper.port, *near.plane.ports())
    monitor = near.call(Monitor, ports)
    try:

        def heard() -> Scope:
            time.sleep(0.1)
            found = Scope(0)
            for opened in monitor.sockets:
                found |= monitor.read(opened)
            return found

        heard()  # what was on its way: links are heard of whoever changes them
        pair.rotate()
        assert Scope.XFRM not in heard()
        near.ip("xfrm", "policy", "flush")
        assert Scope.XFRM in heard()
        near.ip("route", "flush", "table", "5157")
        assert Scope.ROUTING in heard()
        near.ip("xfrm", "state", "flush")
        assert Scope.XFRM in heard()
    finally:
        monitor.close()


def test_losses_name_their_tunnel(pair: Pair) -> None:
    pair.near.ip("route", "flush", "table", "5157")
    assert Loss("paris", "route 10.2.0.0/24 in table 5157") in (
        restored(pair.near).restored
    )
