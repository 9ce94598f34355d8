"""The step from what stands to what shall stand, as the messages of one transaction."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.dataplane.fence.base import Passage
from gateway.dataplane.fence.nft.addresses import DIRECTIONS, VERSIONS
from gateway.dataplane.fence.nft.frame import frame_messages
from gateway.dataplane.fence.nft.homes import add_homes, delete_homes
from gateway.dataplane.fence.nft.objects import delete_chain, delete_set, flush_chain
from gateway.dataplane.fence.nft.passes import (
    Pass,
    add_passes,
    delete_passes,
    passes_of,
)
from gateway.dataplane.fence.nft.ranges import add_ranges, delete_ranges
from gateway.dataplane.fence.nft.standing import Ranges, Standing, Wanted
from gateway.dataplane.fence.partition import Prefix, Range

MARGIN = 0.05
"""Seconds by which our notion of a grant's end may differ from the kernel's, which
counts in ticks of up to 10 ms."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a tunnel was granted.

    Attributes:
        passage: By what its packets may pass.
        ends_at: Until when, monotonic seconds.
    """

    passage: Passage
    ends_at: float


Passes = dict[Prefix, dict[Pass, float]]
"""Elements of the pass sets by prefix, with their ends."""


def passes_wanted(wanted: Wanted, grants: Mapping[str, Grant], now: float) -> Passes:
    """Return the elements that the grants mean."""
    found: Passes = {}
    for name, grant in grants.items():
        if grant.ends_at > now:
            for each in passes_of(wanted.prefixes.get(name, ()), grant.passage):
                found.setdefault(each.prefix, {})[each] = grant.ends_at
    return found


def changes(
    standing: Standing, wanted: Wanted, passes: Passes, now: float, *, frame: bool
) -> Iterator[bytes]:
    """Yield what leads from what stands to what is wanted.

    Args:
        standing: What stands.
        wanted: What shall.
        passes: What `passes_wanted` said.
        now: Monotonic seconds.
        frame: Whether the frame is made anew, in place.
    """
    if frame:
        yield from frame_messages(wanted.ports, wanted.sets, wanted.home_sets)
    yield from _range_changes(standing.ranges, wanted.ranges)
    yield from _pass_changes(standing.passes, passes, now)
    yield from delete_homes(standing.homes - wanted.homes)
    yield from add_homes(wanted.homes - standing.homes)
    yield from map(flush_chain, standing.strange_chains)
    yield from map(delete_chain, standing.strange_chains)
    gone = standing.sets - frozenset(wanted.sets)
    yield from map(delete_set, (each.name for each in sorted(gone)))
    left = standing.home_sets - frozenset(wanted.home_sets)
    yield from map(delete_set, (each.name for each in sorted(left)))
    yield from map(delete_set, standing.strange_sets)


def _range_changes(there: Ranges, wanted: Ranges) -> Iterator[bytes]:
    for version in VERSIONS:
        steps = [
            (there[key] - wanted[key], wanted[key] - there[key])
            for key in ((direction, version) for direction in DIRECTIONS)
        ]
        # As a rule both directions want the same, which is then encoded once.
        same = all(step == steps[0] for step in steps)
        groups = (DIRECTIONS,) if same else tuple((each,) for each in DIRECTIONS)
        for directions, (going, coming) in zip(groups, steps, strict=False):
            yield from delete_ranges(_ordered(going), version, directions)
            yield from add_ranges(_ordered(coming), version, directions)


def _pass_changes(there: Passes, wanted: Passes, now: float) -> Iterator[bytes]:
    """Yield what takes away grants that are no more, and adds those that are new.

    One that is there and ends when it should is not touched.
    """
    going: list[Pass] = []
    for prefix, passes in there.items():
        stay = wanted.get(prefix, {})
        going += [
            each
            for each, ends_at in passes.items()
            if ends_at > now and not _is_same(stay.get(each), ends_at)
        ]
    yield from delete_passes(going)
    coming: dict[float, list[Pass]] = {}
    for prefix, passes in wanted.items():
        stand = there.get(prefix, {})
        for each, ends_at in passes.items():
            if not _is_same(stand.get(each), ends_at):
                coming.setdefault(ends_at, []).append(each)
    for ends_at, new in coming.items():
        yield from add_passes(new, ends_at - now)


def _is_same(wanted: float | None, ends_at: float) -> bool:
    return wanted is not None and abs(wanted - ends_at) <= MARGIN


def _ordered(ranges: Iterable[Range]) -> list[Range]:
    return sorted(ranges, key=lambda each: each.first)
