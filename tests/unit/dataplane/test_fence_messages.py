"""Bytes to the kernel and back; that they mean something the kernel's tests show."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import (
    HEADER_SIZE,
    attribute,
    nested,
    read_attributes,
    walk,
)
from gateway.dataplane.fence.nft.changes import Grant, changes, passes_wanted, whole
from gateway.dataplane.fence.nft.connection import split
from gateway.dataplane.fence.nft.counters import FenceCounters
from gateway.dataplane.fence.nft.in_use import sets_in_use
from gateway.dataplane.fence.nft.objects import (
    TABLE,
    delete_set,
    delete_table,
    flush_chain,
    in_table,
    new_table,
)
from gateway.dataplane.fence.nft.passes import (
    PassSet,
    add_passes,
    parse_set_name,
    pass_rule,
    pass_sets,
    passes_of,
    read_passes,
)
from gateway.dataplane.fence.nft.ranges import (
    FIRST,
    FoundRanges,
    add_ranges,
    drop_rule,
    foreign_rule,
    other_names,
    read_ranges,
)
from gateway.dataplane.fence.nft.standing import Standing, wanted_of
from gateway.dataplane.fence.partition import Prefix, Range

NEW_ELEMENT = bytes((c.NFT_MSG_NEWSETELEM, c.NFNL_SUBSYS_NFTABLES))
SIZES = {4: 32, 6: 128}
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)


def bodies(messages: list[bytes]) -> list[bytes]:
    """Return the attributes of messages as the kernel would hand them back."""
    return [
        body[HEADER_SIZE - 16 :]
        for message in messages
        for _, _, body, _, _ in split(message)
    ]


@st.composite
def ranges(draw: st.DrawFn, version: int) -> list[Range]:
    top = 2 ** SIZES[version] - 1
    points = draw(st.lists(st.integers(0, top), unique=True, max_size=20))
    points = sorted(points)
    return [
        Range(first, last, draw(NAMES))
        for first, last in zip(points[::2], points[1::2], strict=False)
    ]


@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(st.just(v), ranges(v))))
def test_ranges_come_back(case: tuple[int, list[Range]]) -> None:
    version, wanted = case
    sent = list(add_ranges(wanted, version, ("out4",)))
    assert [each.range for each in read_ranges(bodies(sent), version)] == wanted


def test_many_elements_take_several_messages() -> None:
    name = "a-tunnel-with-a-long-name-indeed"
    wanted = [Range(2 * n, 2 * n, name) for n in range(9000)]
    sent = list(add_ranges(wanted, 6, ("in6",)))
    assert len(sent) > 10
    assert [each.range for each in read_ranges(bodies(sent), 6)] == wanted


@given(
    st.sampled_from([4, 6]).flatmap(
        lambda v: st.builds(
            lambda length, bits: Prefix(
                v, bits >> SIZES[v] - length << SIZES[v] - length, length
            ),
            st.integers(0, SIZES[v]),
            st.integers(0, 2 ** SIZES[v] - 1),
        )
    ),
    st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_passes_come_back(prefix: Prefix, devices: list[str], reqid: int) -> None:
    wanted = passes_of([prefix], Passage(tuple(devices), reqid))
    assert len(wanted) == len(set(devices)) + bool(reqid)
    for each in pass_sets([prefix]):
        assert parse_set_name(each.name) == each
        mine = [one for one in wanted if one.set == each]
        found = read_passes(bodies(list(add_passes(mine, 1.5))), each)
        assert found == dict.fromkeys(mine, 1.5)


def test_names_of_others_are_no_pass_sets() -> None:
    for name in ("out4", "ports", "pass4-33", "pass5-1", "pass4-", "sa6-129", "sa4--1"):
        assert parse_set_name(name) is None
    assert parse_set_name("sa6-0") == PassSet(6, 0, by_device=False)
    assert parse_set_name("pass4-016") is None


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    list(split(raw))
    list(walk(raw))
    read_ranges([raw], 4)
    read_passes([raw], PassSet(6, 64, by_device=True))
    wrapped = nested(
        c.NFTA_SET_ELEM_LIST_ELEMENTS, nested(1, attribute(1, raw)), attribute(1, raw)
    )
    read_ranges([wrapped], 6)
    read_passes([wrapped], PassSet(4, 24, by_device=False))
    assert read_attributes(attribute(5, raw)) == {5: raw}


def test_counters_only_grow() -> None:
    counters = FenceCounters()
    one, two = Range(0, 9, "a"), Range(20, 29, "a")
    for out, inward, totals in (
        ([FoundRanges(one, 3)], [FoundRanges(one, 1)], (3, 1)),
        ([FoundRanges(one, 5), FoundRanges(two, 1)], [FoundRanges(one, 1)], (6, 1)),
        ([FoundRanges(one, 2)], [], (8, 1)),  # made anew: by a reload, or after a flush
        ([], [FoundRanges(one, 4)], (8, 5)),
        ([FoundRanges(one, 1)], [FoundRanges(one, 4)], (9, 5)),
    ):
        counters.note({("out", 4): out, ("in", 4): inward})
        assert counters.of("a") == totals
    assert counters.of("b") == (0, 0)


def test_the_sets_in_use_are_those_that_rules_name() -> None:
    rules = bodies(
        [
            foreign_rule("outward", "out", 4, {("out", 4): "out4-b"}),
            drop_rule("input", "in", 6, {("in", 6): "in6"}),
            pass_rule("outward", "out", PassSet(4, 16, by_device=True)),
        ]
    )
    assert sets_in_use(rules) == {"out4-b", "in6", "pass4-16"}
    assert sets_in_use([b"", b"\x00" * 7, rules[0][:40]]) == set()


def test_names_take_turns() -> None:
    assert other_names({}) == FIRST
    assert other_names(other_names(FIRST)) == FIRST
    assert set(other_names(FIRST).values()).isdisjoint(FIRST.values())


@given(st.from_regex(r"[a-z][a-z-]{0,30}", fullmatch=True))
def test_a_request_about_another_table_is_the_same_but_for_its_name(name: str) -> None:
    asked = [new_table(0), delete_table(), flush_chain("outward"), delete_set("x")]
    asked += add_ranges([Range(1, 5, "a-b")], 4, ["out4"])
    for request in asked:
        moved = in_table(request, name)
        ((_, table), *rest) = walk(moved[HEADER_SIZE:])
        assert table == name.encode() + b"\0"
        assert rest == list(walk(request[HEADER_SIZE:]))[1:]
        assert int.from_bytes(moved[:4], sys.byteorder) == len(moved)
        assert len(moved) % 4 == 0
        assert moved[4:HEADER_SIZE] == request[4:HEADER_SIZE]
        assert in_table(moved, TABLE) == request


@pytest.mark.parametrize("is_there", [True, False])
def test_grants_get_the_time_that_is_left_when_they_are_sent(*, is_there: bool) -> None:
    now = 100.0
    plan = FencePlan((FencedTunnel("a-b", ("10.2.0.0/16",)),))
    wanted = wanted_of(plan, None)
    passes = passes_wanted(wanted, {"a-b": Grant(Passage(("wg0",)), 130.0)}, now)
    step = (
        changes(Standing(names=FIRST), wanted, passes, lambda: now, frame=True)
        if is_there
        else whole(Standing(), wanted, passes, lambda: now)
    )
    now = 107.0  # so long it took to encode and to fill sets
    (each,) = wanted.sets[:1]
    dump = [
        body
        for request, body in zip(step.swapping(), bodies(step.swapping()), strict=True)
        if each.name.encode() in request and NEW_ELEMENT in request[:6]
    ]
    assert list(read_passes(dump, each).values()) == [23.0]
