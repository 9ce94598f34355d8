"""What once sent packets in clear, stopped for ever or was called up: one test each."""

import os
from collections.abc import Iterator

import pytest

from gateway.dataplane.choose import best_plane
from gateway.errors import PlaneUnsupportedError
from tests.meddle.kind import ALL_KINDS
from tests.meddle.kinds.table import OFF, playable
from tests.meddle.laboratory import Laboratory, laboratory
from tests.meddle.runner import Runner, Step

ROWS = {
    "a route more specific than ours, as DHCP pushes it": "more-specific-route",
    "the same for IPv6": "more-specific-route-ipv6",
    "an MTU is reloaded": "mtu-reloaded",
    "an MTU with forty more tunnels": "mtu-reloaded-with-forty-more-tunnels",
    "a carrier's port is taken at the start": "carrier-port-taken-at-start",
    "the peer's file is missing at the start": "peer-file-missing-at-start",
    "hosts send before the daemons are there": "both-hosts-reboot",
    "the routes of a prefix are flushed": "routes-of-a-prefix-flushed",
    "the LAN's address goes and comes": "lan-address-away-and-back",
    "the devices' addresses are flushed": "addresses-of-tunnel-devices-flushed",
    "a prefix is added by a reload": "remote-subnets-reloaded",
    "down and up by an operator": "tunnel-down-and-up",
    "the peer becomes another one": "peer-file-replaced",
    "our own identity becomes another one": "identity-replaced",
    "a static key's content changes": "psk-file-changes",
    "both daemons are dead": "both-daemons-dead-beyond-the-lifetime",
    "both daemons are stopped": "both-daemons-stopped-beyond-the-lifetime",
    "IP protocol 50 is filtered": "esp-filtered-on-the-way",
    "the carriers' ports are filtered": "carrier-ports-filtered-on-the-way",
    "forwarding is off": "forwarding-off-and-on",
    "the peer is called at its second address": "endpoint-reloaded",
    "the interface gets another name by a reload": "interface-reloaded",
    "a user renames the interface": "tunnel-devices-renamed",
    "new ports, one of them taken": "other-ports-one-of-them-taken",
    "a plane that this host lacks": "configuration-names-a-plane-that-is-not-here",
}
"""Each with the kind of interference that it is."""

AT_THE_RESPONDER = frozenset(
    {
        "addresses-of-tunnel-devices-flushed",
        "more-specific-route-ipv6",
        "peer-file-missing-at-start",
        "remote-subnets-reloaded",
        "tunnel-down-and-up",
        "tunnel-devices-renamed",
    }
)
"""Kinds that are played at ``b``; the others are at ``a``."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    """One pair for all; a row that fails leaves a new one."""
    if os.geteuid():
        pytest.skip("needs root: run scripts/test meddle as root")
    try:
        plane = best_plane()
    except PlaneUnsupportedError as error:
        pytest.skip(f"{error.message}: {error.hint}")
    with laboratory(plane, "rows") as made:
        made.start()
        yield made


def rows() -> list[tuple[str, str, str]]:
    """Return what is played here: a row, its kind, and at which end."""
    return [
        (row, name, "b" if name in AT_THE_RESPONDER else "a")
        for row, name in ROWS.items()
        if name not in OFF
    ]


@pytest.mark.parametrize(
    ("row", "name", "letter"),
    [
        pytest.param(*found, id=f"{found[0]} at {found[2]}".replace(" ", "-"))
        for found in rows()
    ],
)
@pytest.mark.may_skip("its plane is another kernel's: the seeded test plays it there")
def test_row(lab: Laboratory, row: str, name: str, letter: str) -> None:
    if name not in playable(lab.plane):
        pytest.skip(f"{name} is for {ALL_KINDS[name].planes}: see test_meddle.py")
    step = Step(1, ALL_KINDS[name], letter, seed=1)
    assert not Runner(lab).run([step], lambda text: None), f"{row}: {step}"


def test_every_row_is_a_kind_that_there_is() -> None:
    assert set(ROWS.values()) <= set(ALL_KINDS)
