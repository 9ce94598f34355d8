"""Passes: sets of a network with a device, or of a network with a reqid.

A packet's address, cut to the length of a configured prefix, together with its device
or reqid, is looked up in a hash table for that length. So a grant is one element for
each prefix, thousands of them cost a packet no more than one, and nft can print it all.
Sets of ranges cannot hold two things at this speed, and maps to chains make the kernel
check the whole table at each grant (docs/adr/0206).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.dataplane.fence.base import Passage
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft import expressions as e
from gateway.dataplane.fence.nft.addresses import (
    ADDRESS_SIZE,
    VERSIONS,
    address,
    is_version,
)
from gateway.dataplane.fence.nft.attributes import (
    MAX_NESTED,
    long_number,
    nested,
    read_attributes,
    read_number,
    text,
    userdata,
    walk,
)
from gateway.dataplane.fence.nft.connection import NftConnection
from gateway.dataplane.fence.nft.objects import (
    TABLE,
    element,
    elements_message,
    rule_message,
    set_message,
)
from gateway.dataplane.fence.partition import Prefix

IFNAME_SIZE: Final = 16
"""Bytes of a device's name as the kernel compares it, zeros behind it."""

_REQID_SIZE: Final = 4
SECOND_REGISTER: Final = {4: c.NFT_REG32_01, 6: c.NFT_REG_2}
"""Where what follows an address is loaded, so that both lie side by side."""

_NAME_KEYS: Final = {"out": c.NFT_META_OIFNAME, "in": c.NFT_META_IIFNAME}
_POLICIES: Final = {"out": c.XFRM_POLICY_OUT, "in": c.XFRM_POLICY_IN}

# Numbers by which nft knows how to print a key; the kernel does not look at them.
ADDRESS_TYPES: Final = {4: 7, 6: 8}
_TYPE_INTEGER: Final = 4
TYPE_IFNAME: Final = 41
TYPE_BITS: Final = 6
_EXPR_PAYLOAD, _EXPR_CONCAT, _EXPR_XFRM = 7, 13, 27
_DESTINATIONS: Final = {4: (12, 12), 6: (13, 9)}
"""Header and field by which nft knows a destination address."""

_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class PassSet:
    """One set.

    Attributes:
        version: IP version.
        length: Length of the prefixes in it.
        by_device: Whether it says by which devices; else under which reqids.
    """

    version: int
    length: int
    by_device: bool

    @property
    def name(self) -> str:
        """Its name in the table: ``pass4-16``, ``sa6-48``."""
        return f"{'pass' if self.by_device else 'sa'}{self.version}-{self.length}"


@dataclass(frozen=True, slots=True)
class Pass:
    """One element: a prefix, and one way that its packets may take.

    Attributes:
        prefix: The prefix.
        device: A device's name, or empty.
        reqid: A reqid, 0 with a device.
    """

    prefix: Prefix
    device: str = ""
    reqid: int = 0

    @property
    def set(self) -> PassSet:
        """The set it belongs to."""
        return PassSet(
            self.prefix.version, self.prefix.length, by_device=bool(self.device)
        )

    @property
    def key(self) -> bytes:
        """The element's key."""
        first = self.prefix.first.to_bytes(ADDRESS_SIZE[self.prefix.version])
        if self.device:
            return first + self.device.encode().ljust(IFNAME_SIZE, b"\0")
        return first + e.native(self.reqid)


def passes_of(prefixes: Iterable[Prefix], passage: Passage) -> frozenset[Pass]:
    """Return the elements that let prefixes take a passage."""
    return frozenset(
        each
        for prefix in prefixes
        for each in (
            *(Pass(prefix, device=device) for device in passage.devices),
            *((Pass(prefix, reqid=passage.reqid),) if passage.reqid else ()),
        )
    )


def pass_sets(prefixes: Iterable[Prefix]) -> tuple[PassSet, ...]:
    """Return the sets that prefixes need; the longest of each version come first."""
    lengths = {(prefix.version, prefix.length) for prefix in prefixes}
    return tuple(
        PassSet(version, length, by_device)
        for version in VERSIONS
        for length in sorted(
            (length for each, length in lengths if each == version), reverse=True
        )
        for by_device in (True, False)
    )


def parse_set_name(name: str) -> PassSet | None:
    """Return the set that has this name, None if none of ours has it."""
    _, _, length = name.partition("-")
    for version in VERSIONS:
        for by_device in (True, False):
            if length.isdecimal() and int(length) <= 8 * ADDRESS_SIZE[version]:
                each = PassSet(version, int(length), by_device)
                if each.name == name:
                    return each
    return None


def new_pass_set(each: PassSet) -> bytes:
    """Return what makes a set, if it is not there."""
    second_type, size, notes = (
        (TYPE_IFNAME, IFNAME_SIZE, userdata((0, e.native(_EXPR_CONCAT)), (1, b"")))
        if each.by_device
        else (_TYPE_INTEGER, _REQID_SIZE, _type_of_reqids(each.version))
    )
    return set_message(
        each.name,
        ADDRESS_TYPES[each.version] << TYPE_BITS | second_type,
        ADDRESS_SIZE[each.version] + size,
        flags=c.NFT_SET_TIMEOUT,
        notes=userdata((0, e.native(0)), (3, notes)),
    )


def _type_of_reqids(version: int) -> bytes:
    """Return nft's note of ``typeof ip daddr . ipsec in reqid``."""
    header, field = _DESTINATIONS[version]
    where = userdata((0, e.native(header)), (1, e.native(field)))
    state = userdata(
        (0, e.native(c.NFT_XFRM_KEY_REQID)), (1, e.native(0)), (2, e.native(0))
    )
    both = userdata(
        (0, userdata((0, e.native(_EXPR_PAYLOAD)), (1, where))),
        (1, userdata((0, e.native(_EXPR_XFRM)), (1, state))),
    )
    return userdata((0, e.native(_EXPR_CONCAT)), (1, both))


def prefix_mask(version: int, length: int) -> bytes:
    """Return the bits that the addresses of a network share, set."""
    size = ADDRESS_SIZE[version]
    bits = 8 * size
    return ((1 << bits) - (1 << bits - length)).to_bytes(size)


def pass_rule(chain: str, direction: str, each: PassSet) -> bytes:
    """Return the rule that accepts what a set names."""
    bits = 8 * ADDRESS_SIZE[each.version]
    mask = prefix_mask(each.version, each.length)
    register = SECOND_REGISTER[each.version]
    way = (
        e.meta(_NAME_KEYS[direction], register)
        if each.by_device
        else e.xfrm_reqid(_POLICIES[direction], register)
    )
    return rule_message(
        chain,
        *is_version(each.version),
        way,  # first: a packet without an SA needs no more of a rule about SAs
        address(direction, each.version),
        *((e.masked(mask),) if each.length < bits else ()),
        e.in_set(each.name),
        e.verdict(c.NF_ACCEPT),
    )


def add_passes(passes: Iterable[Pass], seconds: float) -> Iterator[bytes]:
    """Yield what lets packets pass for a time, from now on.

    Kernels since 6.12 give an element that is there the new time; older ones leave
    it the old one.
    """
    milliseconds = max(1, round(seconds * _MILLISECONDS))
    times = long_number(c.NFTA_SET_ELEM_TIMEOUT, milliseconds) + long_number(
        c.NFTA_SET_ELEM_EXPIRATION, milliseconds
    )
    return _messages(c.NFT_MSG_NEWSETELEM, passes, times)


def delete_passes(passes: Iterable[Pass]) -> Iterator[bytes]:
    """Yield what takes elements away; the kernel refuses if one of them is gone."""
    return _messages(c.NFT_MSG_DELSETELEM, passes, b"")


def read_passes(dump: Iterable[bytes], of: PassSet) -> dict[Pass, float]:
    """Return the elements of a set as the kernel dumped it, and seconds left."""
    found: dict[Pass, float] = {}
    size = ADDRESS_SIZE[of.version]
    for message in dump:
        elements = read_attributes(message).get(c.NFTA_SET_ELEM_LIST_ELEMENTS, b"")
        for _, content in walk(elements):
            parts = read_attributes(content)
            key = read_attributes(parts.get(c.NFTA_SET_ELEM_KEY, b"")).get(
                c.NFTA_DATA_VALUE, b""
            )
            left = math.inf  # of one that somebody else added without a time
            if c.NFTA_SET_ELEM_EXPIRATION in parts:
                expiration = parts[c.NFTA_SET_ELEM_EXPIRATION]
                left = read_number(expiration) / _MILLISECONDS
            prefix = Prefix(of.version, read_number(key[:size]), of.length)
            rest = key[size:]
            each = (
                Pass(prefix, device=rest.rstrip(b"\0").decode(errors="replace"))
                if of.by_device
                else Pass(prefix, reqid=e.read_native(rest))
            )
            found[each] = left
    return found


def seconds_left(connection: NftConnection, each: Pass) -> float | None:
    """Ask the kernel how long an element still has, None if it is not there."""
    body = connection.get(
        c.NFT_MSG_GETSETELEM,
        text(c.NFTA_SET_ELEM_LIST_TABLE, TABLE),
        text(c.NFTA_SET_ELEM_LIST_SET, each.set.name),
        nested(c.NFTA_SET_ELEM_LIST_ELEMENTS, element(each.key)),
    )
    return read_passes([body] if body else [], each.set).get(each)


def _messages(
    command: int, passes: Iterable[Pass], belongings: bytes
) -> Iterator[bytes]:
    """Yield messages with as many elements as one attribute holds."""
    by_set: dict[PassSet, list[bytes]] = {}
    for each in passes:
        by_set.setdefault(each.set, []).append(element(each.key, belongings))
    for belongs, elements in by_set.items():
        step = MAX_NESTED // max(map(len, elements))
        for start in range(0, len(elements), step):
            part = elements[start : start + step]
            yield elements_message(command, belongs.name, *part)
