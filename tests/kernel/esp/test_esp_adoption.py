"""A daemon that comes back finds its tunnels and disturbs nothing."""

import time
from dataclasses import replace

import pytest

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.esp import EspPlane
from gateway.errors import GatewayError, PlaneConflictError
from tests.kernel.esp.sites import Pair
from tests.kernel.gateways import Site
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import Traffic, packet_arrives

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(TEST_LIMIT)]


FOREIGN_POLICY = ("policy", "add", "dir", "out", "priority", "1")


def test_a_restart_interrupts_nothing_and_knows_its_epoch(pair: Pair) -> None:
    pair.rotate()
    with Tap(pair) as tap, Traffic(pair) as traffic:
        for _ in range(5):
            time.sleep(0.1)
            pair.near.restart()
            (epoch,) = pair.near.read_state().epochs
            assert (epoch.epoch, epoch.active) == (pair.epoch, True)
            pair.rotate()
    assert (traffic.lost, traffic.refused, tap.leaks) == (0, [0, 0], 0)
    assert len(pair.near.ip("xfrm", "state").split("src ")) == 3


def test_a_restart_between_prepare_and_activate(pair: Pair) -> None:
    pair.rotate()
    pair.prepare()
    pair.near.restart()
    states = [(e.epoch, e.active) for e in pair.near.read_state().epochs]
    assert states == [(1, True), (2, False)]
    pair.wait_in_force(pair.activate())
    pair.retire(1)
    assert packet_arrives(pair.near, pair.far)


def test_a_restart_while_blocked_stays_blocked(pair: Pair) -> None:
    pair.near.restart()
    with Tap(pair) as tap:
        pair.expect_closed()
    assert pair.near.read_state().blocked
    pair.rotate()
    assert tap.leaks == 0


def test_prefixes_that_changed_while_it_was_away(pair: Pair) -> None:
    pair.rotate()
    pair.near.spec = replace(
        pair.near.spec, remote_subnets=("10.2.0.0/24", "10.77.0.0/16")
    )
    pair.near.restart()
    assert packet_arrives(pair.near, pair.far)
    assert "10.77.0.0/16" in pair.near.ip("xfrm", "policy")
    assert "10.77.0.0/16 dev qgw-paris" in pair.near.routes()
    pair.near.spec = replace(pair.near.spec, remote_subnets=("10.2.0.0/24",))
    pair.near.restart()
    assert "10.77" not in pair.near.ip("xfrm", "policy") + pair.near.routes()
    assert packet_arrives(pair.near, pair.far)


def test_update_changes_prefixes_and_no_keys(pair: Pair) -> None:
    pair.rotate()
    wider = replace(pair.near.spec, remote_subnets=("10.2.0.0/24", "fd00:5::/64"))
    with Traffic(pair) as traffic:
        time.sleep(0.1)
        pair.near.call(pair.near.plane.update_tunnel, wider)
        time.sleep(0.1)
        pair.near.call(pair.near.plane.update_tunnel, pair.near.spec)
        time.sleep(0.1)
    assert traffic.lost == 0
    assert "fd00:5" not in pair.near.ip("xfrm", "policy") + pair.near.routes()


def test_removal_leaves_nothing(pair: Pair) -> None:
    before = pair.far.routes()
    pair.rotate()
    pair.near.call(pair.near.plane.remove_tunnel, "paris")
    assert pair.near.ip("xfrm", "state") + pair.near.ip("xfrm", "policy") == ""
    assert "qgw-paris" not in pair.near.ip("link")
    assert pair.near.routes() == ""
    assert before == pair.far.routes()


def rome(spec: TunnelSpec) -> TunnelSpec:
    """Return a second tunnel beside one."""
    return replace(
        spec,
        name="rome",
        index=99,
        interface="qgw-rome",
        addresses=("10.8.0.1/30",),
        remote_subnets=("10.66.0.0/16",),
    )


def everything(site: Site[EspPlane]) -> list[list[str]]:
    """Return all that a plane could change at a site, but for keys."""
    listed = ("-o link", "-4 -o address", "route", "xfrm policy")
    return [sorted(site.ip(*what.split()).splitlines()) for what in listed] + [
        site.routes().splitlines()
    ]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("link", "add", "qgw-rome", "type", "dummy"), "qgw-rome"),
        (("address", "add", "10.8.0.1/30", "dev", "cable"), "10.8.0.1"),
    ],
)
def test_what_is_not_ours_is_left_and_nothing_half_made(
    pair: Pair, command: tuple[str, ...], word: str
) -> None:
    pair.near.ip(*command)
    before = everything(pair.near)
    with pytest.raises(PlaneConflictError) as caught:
        pair.near.call(pair.near.plane.add_tunnel, rome(pair.near.spec))
    assert word in str(caught.value)
    assert caught.value.hint
    assert everything(pair.near) == before


def test_a_policy_of_somebody_else_is_left(pair: Pair) -> None:
    """Ours meet it only where they are not bound to an interface."""
    near = pair.near
    near.ip("xfrm", *FOREIGN_POLICY, "dst", "10.66.0.0/16")
    before = everything(near)
    if pair.has_interface:
        near.call(near.plane.add_tunnel, rome(near.spec))
        near.call(near.plane.remove_tunnel, "rome")
    else:
        with pytest.raises(PlaneConflictError, match=r"10\.66\.0\.0/16") as caught:
            near.call(near.plane.add_tunnel, rome(near.spec))
        assert caught.value.hint
    assert everything(near) == before


def test_an_update_that_conflicts_leaves_everything(pair: Pair) -> None:
    pair.rotate()
    near = pair.near
    near.ip("address", "add", "10.8.0.1/30", "dev", "cable")
    near.ip("xfrm", *FOREIGN_POLICY, "dst", "10.67.0.0/16")
    before = everything(near)
    prefixes = ("10.2.0.0/24", "10.66.0.0/16", "10.67.0.0/16")
    wider = replace(near.spec, remote_subnets=prefixes)
    taken = replace(near.spec, addresses=(*near.spec.addresses, "10.8.0.1/30"))
    for spec in [taken] if pair.has_interface else [taken, wider]:
        with pytest.raises(PlaneConflictError):
            near.call(near.plane.update_tunnel, spec)
        assert everything(near) == before
        assert packet_arrives(near, pair.far)


def test_indexes_are_checked(pair: Pair) -> None:
    for index in (0, 65536, pair.near.spec.index):
        with pytest.raises(GatewayError):
            pair.near.call(
                pair.near.plane.add_tunnel,
                replace(pair.near.spec, name="rome", index=index, interface="q"),
            )


def test_a_hub_keeps_its_own_lan(pair: Pair) -> None:
    """A remote prefix that covers ours (10/8) must not swallow our own network."""
    spec = replace(pair.near.spec, remote_subnets=("10.0.0.0/8",))
    pair.near.call(pair.near.plane.update_tunnel, spec)
    pair.rotate()
    assert packet_arrives(pair.near, pair.far)
    if not pair.has_interface:
        policies = pair.near.ip("xfrm", "policy", "list", "dir", "out")
        assert "dst 10.1.0.0/24" in policies
    with Tap(pair) as tap:
        assert packet_arrives(pair.near, pair.near)
    assert tap.leaks == 0
