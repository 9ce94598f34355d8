"""The step from what stands to what shall stand, as messages to the kernel."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.dataplane.fence.base import Passage
from gateway.dataplane.fence.nft.frame import FIXED_SETS, frame_messages
from gateway.dataplane.fence.nft.homes import add_homes, delete_homes
from gateway.dataplane.fence.nft.objects import delete_chain, delete_set, flush_chain
from gateway.dataplane.fence.nft.passes import (
    Pass,
    add_passes,
    delete_passes,
    passes_of,
)
from gateway.dataplane.fence.nft.ranges import Names, filled_sets, other_names
from gateway.dataplane.fence.nft.standing import Standing, Wanted
from gateway.dataplane.fence.partition import Prefix

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


@dataclass(frozen=True, slots=True)
class TableStep:
    """What leads from what stands to what is wanted.

    It takes two transactions. While a set changes, a look into it may miss, and with
    that a packet would not be dropped; on some kernels a set that is new is seen as
    empty for a moment, by rules that are as new (docs/adr/0313). So a set of ranges is
    filled while no rule names it. The second changes rules alone, which no packet sees
    halfway; it is the one that counts.

    Attributes:
        filling: Makes and fills sets of ranges under names that are free.
        frame: Has the rules name them; begins the second transaction.
        rest: Returns all else. The kernel counts the time of a grant from when it reads
            it, so this is called when all else is encoded and sent.
        names: The sets of ranges that are in use then.
    """

    filling: list[bytes]
    frame: list[bytes]
    rest: Callable[[], Iterable[bytes]]
    names: Names

    def swapping(self) -> list[bytes]:
        """Return the second transaction, to be sent at once."""
        return [*self.frame, *self.rest()]


def changes(
    standing: Standing,
    wanted: Wanted,
    passes: Passes,
    clock: Callable[[], float],
    *,
    frame: bool,
) -> TableStep:
    """Return the step to what is wanted.

    Args:
        standing: What stands, as it was left.
        wanted: What shall.
        passes: What `passes_wanted` said.
        clock: Monotonic seconds.
        frame: Whether the rules change.
    """
    new = {
        key: name
        for key, name in other_names(standing.names).items()
        if standing.ranges[key] != wanted.ranges[key]
    }
    names = {**standing.names, **new}
    rules: list[bytes] = []
    if frame or new:
        old = FIXED_SETS | {standing.names[key] for key in new}
        rules = frame_messages(wanted.ports, wanted.sets, wanted.home_sets, names, old)

    def rest() -> Iterator[bytes]:
        yield from delete_homes(standing.homes - wanted.homes)
        yield from add_homes(wanted.homes - standing.homes)
        yield from _pass_changes(standing.passes, passes, clock)
        gone = standing.sets - frozenset(wanted.sets)
        yield from map(delete_set, (each.name for each in sorted(gone)))
        left = standing.home_sets - frozenset(wanted.home_sets)
        yield from map(delete_set, (each.name for each in sorted(left)))

    return TableStep(list(filled_sets(new, wanted.ranges)), rules, rest, names)


def whole(
    there: Standing, wanted: Wanted, passes: Passes, clock: Callable[[], float]
) -> TableStep:
    """Return the step that makes all anew in a table that is there, or in an empty one.

    Args:
        there: What stands, by whomever it was made; all of its sets go.
        wanted: What shall stand.
        passes: What `passes_wanted` said.
        clock: Monotonic seconds.
    """
    names = other_names(there.names)
    left_behind = there.all_sets & frozenset(names.values())
    return TableStep(
        [
            *map(delete_set, sorted(left_behind)),
            *filled_sets(names, wanted.ranges),
        ],
        [
            *map(flush_chain, there.strange_chains),
            *map(delete_chain, there.strange_chains),
            *frame_messages(
                wanted.ports,
                wanted.sets,
                wanted.home_sets,
                names,
                there.all_sets - left_behind,
            ),
            *add_homes(wanted.homes),
        ],
        lambda: _pass_changes({}, passes, clock),
        names,
    )


def _pass_changes(
    there: Passes, wanted: Passes, clock: Callable[[], float]
) -> Iterator[bytes]:
    """Yield what takes away grants that are no more, and adds those that are new.

    One that is there and ends when it should is not touched.
    """
    now = clock()
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
        yield from add_passes(new, ends_at - clock())


def _is_same(wanted: float | None, ends_at: float) -> bool:
    return wanted is not None and abs(wanted - ends_at) <= MARGIN
