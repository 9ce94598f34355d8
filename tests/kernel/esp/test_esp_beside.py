"""What came out of an ESP tunnel, and what else this host has: no way leads outside."""

import os
import subprocess

import pytest

from gateway.dataplane.esp import EspPlane
from tests.kernel.esp.sites import Pair, hosts_behind
from tests.kernel.gateways import Site
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import packet_arrives

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(TEST_LIMIT)]

FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def lead_everything_outside(pair: Pair) -> Site[EspPlane]:
    """Have the near gateway forward by a default route to the cable; return it."""
    near = pair.near
    near.ip("route", "add", "default", "via", pair.far.outer)

    def forward() -> None:
        with open(FORWARDING, "w") as setting:  # noqa: PTH123  # of this namespace
            setting.write("1")

    near.call(forward)
    return near


def test_what_is_for_a_lan_that_is_gone_goes_nowhere(pair: Pair) -> None:
    with hosts_behind(pair):
        near = lead_everything_outside(pair)
        near.call(near.plane.restore)
        pair.rotate()
        near.ip("link", "set", "lan", "down")
        with Tap(pair) as tap:
            assert pair.far.send_once("10.1.0.130")
        assert tap.leaks == 0
        assert tap.esp >= 1


def test_what_is_for_an_inside_address_that_is_gone_goes_nowhere(pair: Pair) -> None:
    near = lead_everything_outside(pair)
    pair.rotate()
    near.ip("address", "delete", "10.9.0.1/30", "dev", "qgw-paris")
    with Tap(pair) as tap:
        assert pair.far.send_once("10.9.0.1")
    assert tap.leaks == 0
    assert tap.esp >= 1
    near.call(near.plane.restore)
    assert packet_arrives(near, pair.far, "10.9.0.1")


@pytest.mark.may_skip("User-mode Linux has no VRF; the virtual machine has")
def test_a_vrf_beside_it_takes_nothing(pair: Pair) -> None:
    near = lead_everything_outside(pair)
    command = ("ip", "-n", near.namespace, "link", "add", "vrf9", "type", "vrf")
    made = subprocess.run(  # noqa: S603  # the words above
        (*command, "table", "9"), check=False, capture_output=True, env=os.environ
    )
    if made.returncode:
        pytest.skip("this kernel has no VRF: run it in scripts/in-vm")
    near.ip("link", "set", "vrf9", "up")
    near.ip("link", "add", "other", "type", "dummy")
    near.ip("link", "set", "other", "master", "vrf9")
    near.ip("link", "set", "other", "up")
    near.ip("address", "add", "10.2.0.77/24", "dev", "other")
    pair.rotate()
    with Tap(pair) as tap:
        assert packet_arrives(near, pair.far)
        assert packet_arrives(pair.far, near)
        pair.rotate()
        assert packet_arrives(near, pair.far)
    assert tap.leaks == 0
