"""ESP through the fence: granted by SA and interface, and by nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.errors import PlaneUnsupportedError
from tests.kernel.cable import ping
from tests.kernel.esp.sites import Pair, hosts_behind
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.traffic import packet_arrives

pytestmark = [
    pytest.mark.esp,
    pytest.mark.netns,
    pytest.mark.timeout(TEST_LIMIT),
    pytest.mark.may_skip("User-mode Linux has no nftables; the virtual machine has"),
]

Fences = dict[str, NftFence]


def plan_of(spec: TunnelSpec, outer: str) -> FencePlan:
    joint = "fd00:9::/126" if ":" in outer else "10.9.0.0/30"
    return FencePlan(
        (FencedTunnel(spec.name, (*spec.remote_subnets, joint), spec.local_subnets),)
    )


@pytest.fixture
def fences(pair: Pair) -> Iterator[Fences]:
    """A fence at both ends, loaded, with nothing granted."""
    with ExitStack() as stack:
        made: Fences = {}
        for site in pair.sites:
            try:
                fence = site.call(NftFence)
            except PlaneUnsupportedError as error:
                pytest.skip(f"{error.message}: run it in scripts/in-vm")
            stack.callback(fence.close)
            fence.load(plan_of(site.spec, site.outer))
            made[site.namespace] = fence
        yield made


def grant(pair: Pair, fences: Fences, seconds: float = 600) -> None:
    for site in pair.sites:
        passage = site.call(site.plane.passage, site.spec.name)
        fences[site.namespace].grant(site.spec.name, passage, seconds)


def both_ways(pair: Pair) -> list[bool]:
    return [packet_arrives(pair.near, pair.far), packet_arrives(pair.far, pair.near)]


def test_what_is_granted_passes_and_nothing_else(pair: Pair, fences: Fences) -> None:
    with hosts_behind(pair) as (host, address):
        pair.prepare()
        pair.activate()
        assert both_ways(pair) == [False, False]
        grant(pair, fences)
        assert both_ways(pair) == [True, True]
        assert ping(host, address)
        pair.rotate()
        assert both_ways(pair) == [True, True]
        for site in pair.sites:
            fences[site.namespace].revoke(site.spec.name)
        assert both_ways(pair) == [False, False]
        assert not ping(host, address)


def test_clear_packets_are_refused_although_esp_passes(
    pair: Pair, fences: Fences
) -> None:
    grant(pair, fences)
    pair.rotate()
    assert both_ways(pair) == [True, True]
    # The far end turns attacker: no fence, no policies, routes straight to the cable.
    fences[pair.far.namespace].remove()
    pair.far.call(pair.far.plane.remove_tunnel, "paris")
    pair.far.ip("route", "replace", "10.1.0.0/24", "via", pair.near.outer)
    assert not packet_arrives(pair.far, pair.near, pair.far.inner)
    assert fences[pair.near.namespace].read().tunnels["paris"].dropped_in >= 1
