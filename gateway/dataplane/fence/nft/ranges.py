"""Tunnels' ranges of addresses, as elements of interval sets.

An interval is two elements: its first address, with all that belongs to it, and the
address behind its last, flagged as an end. The last address of all needs no end.
"""

from collections.abc import Iterable, Iterator
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

FENCED: Final = {(d, v): f"{d}{v}" for d in DIRECTIONS for v in VERSIONS}
"""Sets of all addresses that belong to a tunnel, by direction and IP version. Each
element counts what it stopped and names its tunnel."""

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


def new_fenced_set(direction: str, version: int) -> bytes:
    """Return what makes a set, if it is not there."""
    counter = (text(c.NFTA_EXPR_NAME, "counter"), nested(c.NFTA_EXPR_DATA))
    return set_message(
        FENCED[direction, version],
        _ADDRESS_TYPES[version],
        ADDRESS_SIZE[version],
        extra=(nested(c.NFTA_SET_EXPR, *counter),),
        flags=c.NFT_SET_INTERVAL,
        notes=_NETWORK_ORDER,
    )


def drop_rule(chain: str, direction: str, version: int) -> bytes:
    """Return the rule that drops what a set names; its elements count."""
    return rule_message(
        chain,
        *is_version(version),
        address(direction, version),
        e.in_set(FENCED[direction, version]),
        e.verdict(c.NF_DROP),
    )


def foreign_rule(chain: str, direction: str, version: int) -> bytes:
    """Return the rule that accepts what belongs to no tunnel, with one look."""
    return rule_message(
        chain,
        *is_version(version),
        address(direction, version),
        e.in_set(FENCED[direction, version], no=True),
        e.verdict(c.NF_ACCEPT),
        comment="of no tunnel",
    )


def add_ranges(
    ranges: Iterable[Range], version: int, directions: Iterable[str] = DIRECTIONS
) -> Iterator[bytes]:
    """Yield what puts ranges behind the fence."""
    return _messages(c.NFT_MSG_NEWSETELEM, ranges, version, directions)


def delete_ranges(
    ranges: Iterable[Range], version: int, directions: Iterable[str] = DIRECTIONS
) -> Iterator[bytes]:
    """Yield what takes them away, all of which are there."""
    return _messages(c.NFT_MSG_DELSETELEM, ranges, version, directions)


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


def _messages(
    command: int, ranges: Iterable[Range], version: int, directions: Iterable[str]
) -> Iterator[bytes]:
    """Yield messages with as many elements as one attribute holds."""
    names = [FENCED[direction, version] for direction in directions]
    elements: list[bytes] = []
    length = 0
    for each in ranges:
        encoded = _element(each, version)
        if length + len(encoded) > MAX_NESTED:
            yield from (elements_message(command, name, *elements) for name in names)
            elements, length = [], 0
        elements.append(encoded)
        length += len(encoded)
    if elements:
        yield from (elements_message(command, name, *elements) for name in names)


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
