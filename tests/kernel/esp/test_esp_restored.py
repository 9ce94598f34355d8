"""What others take out of the kernel is put back, and traffic goes on with its keys."""

import re

import pytest

from gateway.dataplane.held.restored import Restoration
from tests.kernel.esp.sites import Pair
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import packet_arrives

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(TEST_LIMIT)]

DEVICE = ("dev", "qgw-paris")
LAN = ("10.1.0.1/32", "dev", "lo")

INTERFERENCES: dict[str, list[tuple[str, ...]]] = {
    "inside address deleted": [("address", "delete", "10.9.0.1/30", *DEVICE)],
    "routes flushed": [("route", "flush", "table", "5157")],
    "rule deleted": [("rule", "delete", "pref", "5157")],
    "link down": [("link", "set", *DEVICE, "down")],
    "link down and up": [
        ("link", "set", *DEVICE, "down"),
        ("link", "set", *DEVICE, "up"),
    ],
    "another MTU": [("link", "set", *DEVICE, "mtu", "1290")],
    "alias cleared": [("link", "set", *DEVICE, "alias", "")],
    "renamed": [
        ("link", "set", *DEVICE, "down"),
        ("link", "set", *DEVICE, "name", "vpn0"),
        ("link", "set", "dev", "vpn0", "up"),
    ],
    "interface deleted": [("link", "delete", *DEVICE)],
    "policies flushed": [("xfrm", "policy", "flush")],
}


def restore(pair: Pair) -> Restoration:
    return pair.near.call(pair.near.plane.restore)


def spis_of(pair: Pair) -> list[str]:
    return re.findall(r"spi (\w+)", pair.near.ip("xfrm", "state"))


def expect_carried(pair: Pair) -> None:
    with Tap(pair) as tap:
        assert packet_arrives(pair.near, pair.far)
        assert packet_arrives(pair.far, pair.near)
    assert (tap.leaks, tap.esp) == (0, 2)


@pytest.mark.parametrize("kind", INTERFERENCES)
def test_what_was_taken_is_restored_under_the_same_keys(pair: Pair, kind: str) -> None:
    pair.rotate()
    spis = spis_of(pair)
    for command in INTERFERENCES[kind]:
        pair.near.ip(*command)
    result = restore(pair)
    assert result.restored
    assert not result.keyless
    assert not result.fought
    expect_carried(pair)
    assert not restore(pair).restored
    assert spis_of(pair) == spis
    pair.rotate()
    expect_carried(pair)


def test_a_lan_address_that_goes_and_comes_again(pair: Pair) -> None:
    """It is the source of the gateway's own packets; IPv4 takes its routes along."""
    pair.rotate()
    for _ in range(2):
        pair.near.ip("address", "delete", *LAN)
        restore(pair)
        pair.near.ip("address", "add", *LAN)
        restore(pair)
        expect_carried(pair)


def test_lost_associations_are_said_and_new_keys_heal(pair: Pair) -> None:
    pair.rotate()
    pair.near.ip("xfrm", "state", "flush")
    with Tap(pair) as tap:
        assert restore(pair).keyless == {"paris"}
        # Policies without SAs swallow, whatever carries the tunnel.
        assert not packet_arrives(pair.near, pair.far)
    assert tap.leaks == 0
    pair.rotate()
    expect_carried(pair)
