"""Who owns an address: against a table that is looked through from end to end."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.partition import (
    NEVER_REFUSED,
    Prefix,
    Range,
    fenced_ranges,
    passing_prefixes,
)


def networks(version: int, start: int, spread: int, lengths: tuple[int, int]) -> Any:
    """Return prefixes that are near each other, so that they often nest."""
    kind = {4: IPv4Network, 6: IPv6Network}[version]
    return st.builds(
        lambda bits, length: str(kind((start | bits << spread, length), strict=False)),
        st.integers(0, 7),
        st.integers(*lengths),
    )


V4 = networks(4, 0x0A00_0000, 22, (4, 14)) | st.sampled_from(
    ["0.0.0.0/0", "10.0.0.0/8", "255.255.255.255/32", "240.0.0.0/4"]
)
V6 = networks(6, 0xFD << 120, 110, (4, 20)) | st.sampled_from(
    ["::/0", "fd00::/8", "fe80::/16", "ff00::/8"]
)
PREFIX = V4 | V6
SIZES = {4: 32, 6: 128}
TUNNEL = st.builds(
    FencedTunnel,
    st.sampled_from(["a", "b", "c"]),
    st.lists(PREFIX, max_size=4).map(tuple),
    st.lists(PREFIX, max_size=2).map(tuple),
)
PLAN = st.builds(
    FencePlan,
    st.lists(TUNNEL, max_size=3, unique_by=lambda tunnel: tunnel.name).map(tuple),
    st.lists(PREFIX, max_size=3).map(tuple),
)


def owner(plan: FencePlan, number: int, version: int) -> str | None:
    """Look for the longest prefix, as routing does; an exempt one owns nothing."""
    best: tuple[int, int, str] = (-1, 0, "")
    remote = [(p, t.name) for t in plan.tunnels for p in t.remote]
    own = [(p, "") for t in plan.tunnels for p in t.local]
    own += [(p, "") for p in (*plan.exempt, *NEVER_REFUSED)]
    for order, (prefix, name) in enumerate([*remote, *own]):
        network = ip_network(prefix)
        spare = SIZES[version] - network.prefixlen
        if network.version == version and (
            number >> spare == int(network.network_address) >> spare
        ):
            # Of two equal ones the first counts: a remote one, if there is one.
            best = max(best, (network.prefixlen, -order, name))
    return best[2] or None


def edges(plans: list[FencePlan], version: int) -> set[int]:
    """Return every address at which somebody's prefix begins or ends, and the next."""
    top = 2 ** SIZES[version] - 1
    found = {0, top}
    for plan in plans:
        prefixes = [p for t in plan.tunnels for p in (*t.remote, *t.local)]
        for prefix in (*prefixes, *plan.exempt):
            network = ip_network(prefix)
            if network.version == version:
                first, last = network.network_address, network.broadcast_address
                found |= {max(int(first) - 1, 0), int(first)}
                found |= {int(last), min(int(last) + 1, top)}
    return found


def holder(ranges: tuple[Range, ...], number: int) -> str | None:
    (*found,) = (each.tunnel for each in ranges if each.first <= number <= each.last)
    assert len(found) <= 1, "ranges are apart"
    return found[0] if found else None


@pytest.mark.parametrize("version", [4, 6])
@settings(max_examples=60)
@given(PLAN)
def test_the_longest_prefix_owns_an_address(version: int, plan: FencePlan) -> None:
    ranges = fenced_ranges(plan, None, version)
    for number in edges([plan], version):
        assert holder(ranges, number) == owner(plan, number, version)


@pytest.mark.parametrize("version", [4, 6])
@settings(max_examples=60)
@given(PLAN, PLAN)
def test_two_plans_refuse_what_either_does(
    version: int, plan: FencePlan, before: FencePlan
) -> None:
    ranges = fenced_ranges(plan, before, version)
    for number in edges([plan, before], version):
        expected = owner(plan, number, version) or owner(before, number, version)
        assert holder(ranges, number) == expected


@pytest.mark.parametrize("version", [4, 6])
@settings(max_examples=60)
@given(PLAN, st.none() | PLAN)
def test_ranges_are_in_order_apart_and_joined(
    version: int, plan: FencePlan, before: FencePlan | None
) -> None:
    ranges = fenced_ranges(plan, before, version)
    for each in ranges:
        assert 0 <= each.first <= each.last < 2 ** SIZES[version]
    for left, right in pairwise(ranges):
        assert left.last < right.first
        assert (left.tunnel, left.last + 1) != (right.tunnel, right.first)


@pytest.mark.parametrize("version", [4, 6])
@settings(max_examples=60)
@given(PLAN, st.none() | PLAN)
def test_what_is_refused_may_pass_for_its_owner_alone(
    version: int, plan: FencePlan, before: FencePlan | None
) -> None:
    passing = passing_prefixes(plan, before)
    ranges = fenced_ranges(plan, before, version)
    remote = [ip_network(p) for tunnel in plan.tunnels for p in tunnel.remote]
    blocks = [
        (int(each.network_address), SIZES[version] - each.prefixlen)
        for each in remote
        if each.version == version
    ]
    for number in edges([plan, *([before] if before else [])], version):
        may_pass = {
            name
            for name, prefixes in passing.items()
            for each in prefixes
            if each.version == version
            and number >> SIZES[version] - each.length
            == each.first >> SIZES[version] - each.length
        }
        assert len(may_pass) <= 1
        refused = holder(ranges, number)
        is_new = owner(plan, number, version) is not None
        # What the new plan exempts may pass by whatever way it leaves open.
        if is_new or all(number >> spare != each >> spare for each, spare in blocks):
            assert refused is None or may_pass == {refused}


def test_configured_prefixes_stay_as_they_are() -> None:
    plan = FencePlan(
        (FencedTunnel("a", ("0.0.0.0/0", "::/0"), ("10.1.0.0/16",)),), ("fd00::/64",)
    )
    assert passing_prefixes(plan, None) == {"a": (Prefix(4, 0, 0), Prefix(6, 0, 0))}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", None),  # our own LAN inside a wide remote prefix
        ("10.2.2.3", "a"),
        ("10.3.2.3", "b"),  # a longer prefix of another tunnel
        ("192.168.7.1", None),
        ("169.254.1.1", None),
        ("224.0.0.18", None),
        ("255.255.255.255", None),
        ("203.0.113.9", None),
    ],
)
def test_examples(address: str, expected: str | None) -> None:
    plan = FencePlan(
        (
            FencedTunnel("a", ("10.0.0.0/8",), ("10.1.0.0/16", "10.3.0.0/16")),
            FencedTunnel("b", ("10.3.0.0/16",)),
        ),
        exempt=("192.168.0.0/16", "10.0.0.0/8"),
    )
    number = int(ip_address(address))
    assert holder(fenced_ranges(plan, None, 4), number) == expected
