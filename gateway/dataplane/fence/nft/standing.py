"""The table as it stands in the kernel, and as it shall stand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.dataplane.fence.base import FencePlan
from gateway.dataplane.fence.homes import home_prefixes
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.addresses import VERSIONS
from gateway.dataplane.fence.nft.attributes import (
    read_attributes,
    read_number,
    read_text,
    text,
)
from gateway.dataplane.fence.nft.connection import NftConnection
from gateway.dataplane.fence.nft.frame import CHAINS, FIXED_SETS
from gateway.dataplane.fence.nft.homes import (
    HomeElement,
    HomeSet,
    home_elements,
    home_sets,
    parse_home_set,
    read_homes,
)
from gateway.dataplane.fence.nft.in_use import sets_in_use
from gateway.dataplane.fence.nft.objects import TABLE
from gateway.dataplane.fence.nft.passes import (
    Pass,
    PassSet,
    parse_set_name,
    pass_sets,
    read_passes,
)
from gateway.dataplane.fence.nft.ranges import FENCED, FoundRanges, Names, read_ranges
from gateway.dataplane.fence.partition import (
    Prefix,
    Range,
    fenced_ranges,
    passing_prefixes,
)

Ranges = Mapping[tuple[str, int], frozenset[Range]]
"""What belongs to tunnels, by direction and IP version."""

NOTHING: Final[Ranges] = {key: frozenset() for key in FENCED}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan means for the table.

    Attributes:
        ranges: What belongs to tunnels.
        prefixes: What each tunnel may let pass once it is granted.
        sets: The pass sets that those prefixes need.
        homes: Local networks and their devices.
        home_sets: The sets that those need.
        ports: Our UDP ports.
        names: Every tunnel.
    """

    ranges: Ranges
    prefixes: Mapping[str, tuple[Prefix, ...]]
    sets: tuple[PassSet, ...]
    homes: frozenset[HomeElement]
    home_sets: tuple[HomeSet, ...]
    ports: tuple[int, ...]
    names: frozenset[str]


def wanted_of(plan: FencePlan, before: FencePlan | None) -> Wanted:
    """Return what the table must hold for one plan, or for two at once."""
    plans = (plan,) if before is None else (plan, before)
    prefixes = passing_prefixes(plan, before)
    ranges = {each: frozenset(fenced_ranges(plan, before, each)) for each in VERSIONS}
    homes = home_elements(home_prefixes(*(each.homes for each in plans)))
    return Wanted(
        ranges={key: ranges[key[1]] for key in FENCED},
        prefixes=prefixes,
        sets=pass_sets(prefix for each in prefixes.values() for prefix in each),
        homes=homes,
        home_sets=home_sets(homes),
        ports=tuple(sorted({port for each in plans for port in each.ports})),
        names=frozenset(tunnel.name for each in plans for tunnel in each.tunnels),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells at a glance whether the table is as we left it.

    Attributes:
        handle: The kernel's number of the table, another one once it is made anew.
        use: How many chains and sets it has.
        flags: Whether it sleeps, and whether somebody owns it.
        rules: The kernel's numbers of its rules, other ones once they are replaced.
    """

    handle: int
    use: int
    flags: int
    rules: tuple[int, ...]


@dataclass(slots=True)
class Standing:
    """What the kernel holds, as read or as left.

    Attributes:
        ranges: Elements of the sets of ranges.
        names: Those of the sets of ranges that rules use.
        passes: Grants by prefix, with their ends in monotonic seconds.
        sets: Pass sets.
        homes: Local networks and their devices.
        home_sets: Their sets.
        strange_chains: Chains that are not ours.
        strange_sets: Sets that are not ours.
        all_sets: Names of all sets, where they were read.
        counted: What the ranges' counters showed.
    """

    ranges: Ranges = field(default_factory=lambda: dict(NOTHING))
    names: Names = field(default_factory=dict)
    passes: dict[Prefix, dict[Pass, float]] = field(default_factory=dict)
    sets: frozenset[PassSet] = frozenset()
    homes: frozenset[HomeElement] = frozenset()
    home_sets: frozenset[HomeSet] = frozenset()
    strange_chains: tuple[str, ...] = ()
    strange_sets: tuple[str, ...] = ()
    all_sets: frozenset[str] = frozenset()
    counted: Mapping[tuple[str, int], list[FoundRanges]] = field(default_factory=dict)

    def all_passes(self) -> Iterator[tuple[Pass, float]]:
        """Yield every grant and its end."""
        for passes in self.passes.values():
            yield from passes.items()


def read_identity(connection: NftConnection) -> Identity | None:
    """Read whose and how large the table is, None if there is none.

    Raises:
        NftError: The kernel refused.
    """
    body = connection.get(c.NFT_MSG_GETTABLE, text(c.NFTA_TABLE_NAME, TABLE))
    if body is None:
        return None
    parts = read_attributes(body)
    rules = connection.dump(c.NFT_MSG_GETRULE, text(c.NFTA_RULE_TABLE, TABLE))
    return Identity(
        handle=read_number(parts.get(c.NFTA_TABLE_HANDLE, b"")),
        use=read_number(parts.get(c.NFTA_TABLE_USE, b"")),
        flags=read_number(parts.get(c.NFTA_TABLE_FLAGS, b"")),
        rules=tuple(
            read_number(read_attributes(rule).get(c.NFTA_RULE_HANDLE, b""))
            for rule in rules
        ),
    )


def read_standing(connection: NftConnection, now: float) -> Standing | None:
    """Read all of the table but its rules, None if there is none.

    Raises:
        NftError: The kernel refused, or the table went while it was read.
    """
    if read_identity(connection) is None:
        return None
    chains = frozenset(_names(connection, c.NFT_MSG_GETCHAIN, c.NFTA_CHAIN_NAME))
    # Sets without a name go with the rules that use them.
    names = frozenset(
        name
        for name in _names(connection, c.NFT_MSG_GETSET, c.NFTA_SET_NAME)
        if not name.startswith("__")
    )
    in_use = _names_in_use(connection)
    sets = frozenset(filter(None, map(parse_set_name, names)))
    homes = frozenset(filter(None, map(parse_home_set, names)))
    ours = (
        FIXED_SETS
        | frozenset(in_use.values())
        | {each.name for each in sets}
        | {each.name for each in homes}
    )
    counted = {
        key: read_ranges(_elements(connection, name), key[1])
        for key, name in in_use.items()
    }
    return Standing(
        ranges={
            key: frozenset(each.range for each in counted.get(key, ()))
            for key in FENCED
        },
        names=in_use,
        passes=_read_passes(connection, sets, now),
        sets=sets,
        homes=frozenset(
            found
            for each in homes
            for found in read_homes(_elements(connection, each.name), each)
        ),
        home_sets=homes,
        strange_chains=tuple(sorted(chains - CHAINS)),
        strange_sets=tuple(sorted(names - ours)),
        all_sets=names,
        counted=counted,
    )


def _names(connection: NftConnection, command: int, name: int) -> Iterator[str]:
    """Yield the names of chains or sets of the table."""
    # The table's name is attribute 1 of both.
    for body in connection.dump(command, text(c.NFTA_SET_TABLE, TABLE)):
        parts = read_attributes(body)
        if read_text(parts.get(c.NFTA_SET_TABLE, b"")) == TABLE:
            yield read_text(parts.get(name, b""))


def _names_in_use(connection: NftConnection) -> dict[tuple[str, int], str]:
    rules = connection.dump(c.NFT_MSG_GETRULE, text(c.NFTA_RULE_TABLE, TABLE))
    in_use = sets_in_use(rules)
    return {
        key: name for key, names in FENCED.items() for name in names if name in in_use
    }


def _read_passes(
    connection: NftConnection, sets: Iterable[PassSet], now: float
) -> dict[Prefix, dict[Pass, float]]:
    found: dict[Prefix, dict[Pass, float]] = {}
    for each in sets:
        for key, left in read_passes(_elements(connection, each.name), each).items():
            found.setdefault(key.prefix, {})[key] = now + left
    return found


def _elements(connection: NftConnection, name: str) -> list[bytes]:
    return connection.dump(
        c.NFT_MSG_GETSETELEM,
        text(c.NFTA_SET_ELEM_LIST_TABLE, TABLE),
        text(c.NFTA_SET_ELEM_LIST_SET, name),
    )
