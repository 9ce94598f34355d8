"""ESP where the kernel has xfrm interfaces: `scripts/in-vm` brings one that does."""

import time
from collections.abc import Iterator

import pytest

from tests.kernel.esp.sites import Pair, Tap, Traffic, make_pair, missing_esp
from tests.kernel.esp.test_esp_contract import packet_arrives

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(240)]

SLOW = 20.0
"""Seconds; the machine may be emulated, and then everything takes 25 times longer."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    if reason := missing_esp():
        pytest.skip(reason)
    with make_pair() as pair:
        if not pair.near.plane._devices.has_xfrm:
            pytest.skip("no xfrm interfaces here: run scripts/in-vm .venv/bin/pytest")
        yield pair


def rotate(pair: Pair) -> None:
    pair.prepare()
    pair.activate()
    pair.wait_in_force(SLOW)
    pair.retire(pair.epoch - 1)


def test_an_interface_carries_and_shows_nothing(pair: Pair) -> None:
    rotate(pair)
    assert "xfrm if_id 0x51570007" in pair.near.ip("-d", "link", "show", "qgw-paris")
    with Tap(pair) as tap, Traffic(pair, 0.02) as traffic:
        for _ in range(3):
            rotate(pair)
        pair.near.restart()
        rotate(pair)
    assert min(traffic.sent) > 10
    assert (traffic.lost, traffic.refused) == (0, [0, 0])
    assert (tap.leaks, tap.udp) == (0, 0)
    assert tap.esp >= sum(traffic.sent)


def test_it_fails_closed(pair: Pair) -> None:
    with Tap(pair) as tap:
        pair.near.send_once(pair.far.inner)
        rotate(pair)
        for site in pair.sites:
            site.call(site.plane.block, "paris")
        assert not packet_arrives(pair.near, pair.far)
        # Without its interface the prefix is refused, not sent by the default route.
        pair.near.ip("route", "add", "default", "via", pair.far.outer)
        pair.near.ip("link", "delete", "qgw-paris")
        assert not pair.near.send_once(pair.far.inner, pair.near.inner)
    assert tap.leaks == 0


def test_clear_text_that_claims_to_come_from_the_peer_is_refused(pair: Pair) -> None:
    rotate(pair)
    pair.far.call(pair.far.plane.remove_tunnel, "paris")
    pair.far.ip("route", "add", "10.1.0.0/24", "via", pair.near.outer)
    with Tap(pair) as tap:
        assert not packet_arrives(pair.far, pair.near, pair.far.inner)
    assert tap.leaks == 1


def test_the_kernel_expires_keys_of_a_dead_daemon(pair: Pair) -> None:
    pair.lifetime = 8
    rotate(pair)
    time.sleep(10)
    with Tap(pair) as tap:
        assert not packet_arrives(pair.near, pair.far)
    assert pair.near.read_state().blocked
    assert (tap.leaks, tap.esp) == (0, 0)


def test_removal_leaves_nothing(pair: Pair) -> None:
    rotate(pair)
    pair.near.call(pair.near.plane.remove_tunnel, "paris")
    assert pair.near.ip("xfrm", "state") + pair.near.ip("xfrm", "policy") == ""
    assert pair.near.routes() == ""
    assert "qgw-paris" not in pair.near.ip("link")
