"""Real packets through real SAs: none lost, none in clear."""

import time

import pytest

from tests.kernel.cable import ping
from tests.kernel.esp.sites import Layout, Pair, hosts_behind, make_pair
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import Traffic

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(2 * TEST_LIMIT)]

ROTATIONS = 20
BETWEEN = 0.1

SHORT = [
    Layout(),
    Layout(inner6=True, encap=True),
    Layout(outer6=True, inner6=True),
]
"""Both families outside and inside, and ESP in UDP, once at least."""

EVERY = [
    Layout(outer6=outer6, inner6=inner6, encap=encap)
    for outer6 in (False, True)
    for inner6 in (False, True)
    for encap in (False, True)
]
LAYOUTS = [
    pytest.param(
        layout, marks=() if layout in SHORT else pytest.mark.long, id=str(layout)
    )
    for layout in EVERY
]


def test_twenty_rotations_lose_nothing_and_show_nothing(pair: Pair) -> None:
    pair.rotate()
    with Tap(pair) as tap, Traffic(pair) as traffic:
        for _ in range(ROTATIONS):
            time.sleep(BETWEEN)
            pair.rotate()
    assert min(traffic.sent) > ROTATIONS * BETWEEN / traffic.interval / 5
    assert (traffic.lost, traffic.refused) == (0, [0, 0])
    assert tap.esp >= sum(traffic.sent)
    assert (tap.leaks, tap.udp) == (0, 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_family_outside_and_inside(layout: Layout) -> None:
    with make_pair(layout) as pair:
        pair.rotate()
        with Tap(pair) as tap, Traffic(pair) as traffic:
            for _ in range(3):
                time.sleep(BETWEEN)
                pair.rotate()
        assert min(traffic.sent) > 0
        assert (traffic.lost, tap.leaks) == (0, 0)
        carriers = tap.udp if layout.encap else tap.esp
        assert carriers >= sum(traffic.sent)
        assert bool(tap.esp) != layout.encap


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_largest_packet_fits_and_one_byte_more_does_not(layout: Layout) -> None:
    with make_pair(layout) as pair:
        pair.rotate()
        mtu = pair.near.call(pair.near.plane.describe, "paris").mtu
        assert mtu is not None
        overhead = 8 + (40 if layout.inner6 else 20)
        assert ping(pair.near.namespace, pair.far.inner, mtu - overhead)
        assert not ping(pair.near.namespace, pair.far.inner, mtu - overhead + 1)


def test_packets_forwarded_between_networks(pair: Pair) -> None:
    """Not only the gateways' own packets: those of hosts behind them."""
    pair.rotate()
    with hosts_behind(pair) as (near_host, far_address), Tap(pair) as tap:
        for _ in range(3):
            assert ping(near_host, far_address)
            pair.rotate()
    assert tap.esp >= 6
    assert tap.protocols[1] == 0
