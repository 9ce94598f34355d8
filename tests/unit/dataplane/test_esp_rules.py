"""Which policies a tunnel gets, and which of them win."""

from dataclasses import replace

import pytest

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.esp.associations import MIN_SPI, decode_spi
from gateway.dataplane.esp.overhead import tunnel_mtu
from gateway.dataplane.esp.probe import probe_target
from gateway.dataplane.esp.rules import Purpose, Rule, reqid_of, rules_of
from gateway.dataplane.xfrm import constants as c
from gateway.errors import DataPlaneError

SPEC = TunnelSpec(
    name="paris",
    index=7,
    interface="qgw-paris",
    addresses=("10.9.0.1/30",),
    local_subnets=("10.1.0.0/16",),
    remote_subnets=("10.2.0.0/16", "fd00:2::/64"),
)


def of(purpose: Purpose, rules: tuple[Rule, ...]) -> list[tuple[int, str, str]]:
    return [
        (r.direction, r.source, r.destination) for r in rules if r.purpose is purpose
    ]


def test_whatever_goes_to_the_peer_is_sent_whoever_sends_it() -> None:
    rules = rules_of(SPEC, interface=False)
    assert of(Purpose.SEND, rules) == [
        (c.XFRM_POLICY_OUT, "0.0.0.0/0", "10.2.0.0/16"),
        (c.XFRM_POLICY_OUT, "::/0", "fd00:2::/64"),
        (c.XFRM_POLICY_OUT, "0.0.0.0/0", "10.9.0.0/30"),
    ]


def test_whatever_claims_to_come_from_the_peer_must_have() -> None:
    rules = rules_of(SPEC, interface=False)
    for prefix, everything in (("10.2.0.0/16", "0.0.0.0/0"), ("fd00:2::/64", "::/0")):
        for direction in (c.XFRM_POLICY_IN, c.XFRM_POLICY_FWD):
            assert (direction, prefix, everything) in of(Purpose.RECEIVE, rules)


def test_an_interface_takes_everything_and_the_cable_nothing() -> None:
    rules = rules_of(SPEC, interface=True)
    assert {r.if_id for r in rules if r.purpose is Purpose.SEND} == {reqid_of(SPEC)}
    assert (c.XFRM_POLICY_IN, "10.2.0.0/16", "0.0.0.0/0") in of(Purpose.REFUSE, rules)
    assert {r.if_id for r in rules if r.purpose is Purpose.REFUSE} == {0}
    assert not [r for r in rules if r.if_id == 0 and r.direction == c.XFRM_POLICY_OUT]


def test_own_networks_inside_the_peers_stay_local_and_win() -> None:
    spec = replace(SPEC, remote_subnets=("10.0.0.0/8",))
    rules = rules_of(spec, interface=False)
    assert (c.XFRM_POLICY_OUT, "0.0.0.0/0", "10.1.0.0/16") in of(Purpose.PASS, rules)
    passing = [r for r in rules if r.destination == "10.1.0.0/16"]
    sending = [r for r in rules if r.destination == "10.0.0.0/8"]
    assert passing[0].priority() < sending[0].priority()


def test_the_longer_prefix_wins_and_passing_wins_a_draw() -> None:
    long = Rule(Purpose.SEND, c.XFRM_POLICY_OUT, "0.0.0.0/0", "10.2.3.0/24")
    short = replace(long, destination="10.2.0.0/16")
    same = replace(long, purpose=Purpose.PASS)
    assert same.priority() < long.priority() < short.priority()


def test_reqids_are_apart() -> None:
    assert len({reqid_of(replace(SPEC, index=i)) for i in range(1, 65536)}) == 65535


@pytest.mark.parametrize(
    ("path", "outer_ipv6", "encap", "ipv6", "expected"),
    [
        (1500, False, False, False, 1446),
        (1500, True, False, False, 1426),
        (1500, False, True, False, 1438),
        (1500, True, True, True, 1418),
        (1280, True, False, True, 1280),
        (1280, True, False, False, 1206),
        (400, False, False, False, 576),
    ],
)
def test_mtu(
    path: int, outer_ipv6: bool, encap: bool, ipv6: bool, expected: int
) -> None:
    assert tunnel_mtu(path, outer_ipv6=outer_ipv6, encap=encap, ipv6=ipv6) == expected


@pytest.mark.parametrize(
    ("addresses", "remotes", "target"),
    [
        (("10.9.0.1/30",), ("10.2.0.0/16",), "10.9.0.2"),
        (("10.9.0.2/30",), ("10.2.0.0/16",), "10.9.0.1"),
        (("10.9.0.0/31",), ("10.2.0.0/16",), "10.9.0.1"),
        (("10.9.0.1/32",), ("10.2.0.0/16",), "10.2.0.1"),
        ((), ("fd00::/64",), "fd00::1"),
        ((), ("10.2.3.4/32",), "10.2.3.4"),
        ((), ("0.0.0.0/0",), "192.0.2.1"),
        ((), (), None),
    ],
)
def test_probes_go_behind_the_peer(
    addresses: tuple[str, ...], remotes: tuple[str, ...], target: str | None
) -> None:
    spec = replace(SPEC, addresses=addresses, remote_subnets=remotes)
    assert probe_target(spec) == target


def test_offers_of_a_hostile_peer() -> None:
    assert decode_spi(MIN_SPI.to_bytes(4)) == MIN_SPI
    for offer in (b"", b"\0\0\0\xff", b"\0\0\0\0", b"12345", b"123"):
        with pytest.raises(DataPlaneError):
            decode_spi(offer)
