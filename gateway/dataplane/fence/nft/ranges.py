"""Tunnels' ranges of addresses, as elements of interval sets.

An interval is two elements: its first address, with all that belongs to it, and the
address behind its last, flagged as an end. The last address of all needs no end.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft import expressions as e
from gateway.dataplane.fence.nft.addresses import (
    ADDRESS_SIZE,
    DIRECTIONS,
    VERSIONS,
    address,
    is_version,
)
from gateway.dataplane.fence.nft.attributes import (
    MAX_NESTED,
    attribute,
    nested,
    number,
    read_attributes,
    read_number,
    read_text,
    text,
    userdata,
    walk,
)
from gateway.dataplane.fence.nft.objects import (
    UDATA_COMMENT,
    element,
    elements_message,
    rule_message,
    set_message,
)
from gateway.dataplane.fence.partition import Range

Key = tuple[str, int]
"""Direction and IP version."""

Names = Mapping[Key, str]
"""Names of sets of ranges."""

FENCED: Final = {(d, v): (f"{d}{v}", f"{d}{v}-b") for d in DIRECTIONS for v in VERSIONS}
"""Sets of all addresses that belong to a tunnel, by direction and IP version. Each
element counts what it stopped and names its tunnel. Rules use one of two names; what is
to change is filled in under the other and then used instead (docs/adr/0313)."""

FIRST: Final[Names] = {key: names[0] for key, names in FENCED.items()}

_ADDRESS_TYPES: Final = {4: 7, 6: 8}
_NETWORK_ORDER: Final = userdata((0, e.native(2)))


@dataclass(frozen=True, slots=True)
class FoundRanges:
    """An interval that a dump showed.

    Attributes:
        range: Its addresses, and the tunnel that it names, empty if none.
        packets: What its counter shows.
    """

    range: Range
    packets: int


def other_names(names: Names) -> Names:
    """Return the names that are free while rules use these."""
    return {key: each[names.get(key) == each[0]] for key, each in FENCED.items()}


def filled_sets(
    names: Names, ranges: Mapping[Key, frozenset[Range]]
) -> Iterator[bytes]:
    """Yield what makes sets that are not there, and fills them."""
    for key, name in names.items():
        yield _new_set(name, key[1])
    for version in VERSIONS:
        keys = [key for key in names if key[1] == version]
        # As a rule both directions want the same, which is then encoded once.
        same = len({ranges[key] for key in keys}) == 1
        for group in [keys] if same else [[key] for key in keys]:
            ordered = sorted(ranges[group[0]], key=lambda each: each.first)
            yield from add_ranges(ordered, version, [names[key] for key in group])


def drop_rule(chain: str, direction: str, version: int, names: Names) -> bytes:
    """Return the rule that drops what a set names; its elements count."""
    return rule_message(
        chain,
        *is_version(version),
        address(direction, version),
        e.in_set(names[direction, version]),
        e.verdict(c.NF_DROP),
    )


def foreign_rule(chain: str, direction: str, version: int, names: Names) -> bytes:
    """Return the rule that accepts what belongs to no tunnel, with one look."""
    return rule_message(
        chain,
        *is_version(version),
        address(direction, version),
        e.in_set(names[direction, version], no=True),
        e.verdict(c.NF_ACCEPT),
        comment="of no tunnel",
    )


def add_ranges(
    ranges: Iterable[Range], version: int, names: Iterable[str]
) -> Iterator[bytes]:
    """Yield what fills sets, with as many elements a message as one attribute holds."""
    names = tuple(names)
    elements: list[bytes] = []
    length = 0
    for each in ranges:
        encoded = _element(each, version)
        if length + len(encoded) > MAX_NESTED:
            yield from _additions(names, elements)
            elements, length = [], 0
        elements.append(encoded)
        length += len(encoded)
    if elements:
        yield from _additions(names, elements)


def read_ranges(dump: Iterable[bytes], version: int) -> list[FoundRanges]:
    """Return the intervals of a set as the kernel dumped it, in order."""
    points: list[tuple[int, bool, dict[int, bytes]]] = []
    for message in dump:
        elements = read_attributes(message).get(c.NFTA_SET_ELEM_LIST_ELEMENTS, b"")
        for _, content in walk(elements):
            parts = read_attributes(content)
            key = read_attributes(parts.get(c.NFTA_SET_ELEM_KEY, b""))
            flags = read_number(parts.get(c.NFTA_SET_ELEM_FLAGS, b""))
            points.append(
                (
                    read_number(key.get(c.NFTA_DATA_VALUE, b"")),
                    not flags & c.NFT_SET_ELEM_INTERVAL_END,
                    parts,
                )
            )
    # At one address an end comes before a beginning.
    points.sort(key=lambda point: point[:2])
    top = _top(version)
    found: list[FoundRanges] = []
    for position, (first, is_start, parts) in enumerate(points):
        if is_start:
            after = points[position + 1] if position + 1 < len(points) else None
            last = after[0] - 1 if after is not None else top
            found.append(_found(first, last, parts))
    return found


def _found(first: int, last: int, parts: dict[int, bytes]) -> FoundRanges:
    # One note: a kind, a size, the text.
    tunnel = read_text(parts.get(c.NFTA_SET_ELEM_USERDATA, b"")[2:])
    expression = read_attributes(parts.get(c.NFTA_SET_ELEM_EXPR, b""))
    counter = read_attributes(expression.get(c.NFTA_EXPR_DATA, b""))
    packets = read_number(counter.get(c.NFTA_COUNTER_PACKETS, b""))
    return FoundRanges(Range(first, last, tunnel), packets)


def _new_set(name: str, version: int) -> bytes:
    counter = (text(c.NFTA_EXPR_NAME, "counter"), nested(c.NFTA_EXPR_DATA))
    return set_message(
        name,
        _ADDRESS_TYPES[version],
        ADDRESS_SIZE[version],
        extra=(nested(c.NFTA_SET_EXPR, *counter),),
        flags=c.NFT_SET_INTERVAL,
        notes=_NETWORK_ORDER,
        exclusive=True,
    )


def _additions(names: Iterable[str], elements: Iterable[bytes]) -> Iterator[bytes]:
    return (elements_message(c.NFT_MSG_NEWSETELEM, name, *elements) for name in names)


def _element(each: Range, version: int) -> bytes:
    size = ADDRESS_SIZE[version]
    note = userdata((UDATA_COMMENT, each.tunnel.encode("ascii") + b"\0"))
    start = element(
        each.first.to_bytes(size), attribute(c.NFTA_SET_ELEM_USERDATA, note)
    )
    if each.last == _top(version):
        return start
    end = number(c.NFTA_SET_ELEM_FLAGS, c.NFT_SET_ELEM_INTERVAL_END)
    return start + element((each.last + 1).to_bytes(size), end)


def _top(version: int) -> int:
    return (1 << 8 * ADDRESS_SIZE[version]) - 1
