"""Devices by which packets that came out of a tunnel may leave to a network here.

Two kinds of hash tables for each length of prefix: ``site4-24`` has the networks,
``home4-24`` each with a device that holds it. What a tunnel's peer sent to a network of
the first, and leaves by a device that the second does not name with it, is dropped.
Neither has times: they hold without grants, and without the daemon.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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
    read_attributes,
    read_number,
    userdata,
    walk,
)
from gateway.dataplane.fence.nft.objects import (
    element,
    elements_message,
    rule_message,
    set_message,
)
from gateway.dataplane.fence.nft.passes import (
    ADDRESS_TYPES,
    IFNAME_SIZE,
    SECOND_REGISTER,
    TYPE_BITS,
    TYPE_IFNAME,
    prefix_mask,
)
from gateway.dataplane.fence.nft.ranges import Names
from gateway.dataplane.fence.partition import Prefix

_NETWORK_ORDER = userdata((0, e.native(2)))


@dataclass(frozen=True, slots=True, order=True)
class HomeSet:
    """One set.

    Attributes:
        version: IP version.
        length: Length of the prefixes in it.
        by_device: Whether each is with a device.
    """

    version: int
    length: int
    by_device: bool

    @property
    def name(self) -> str:
        """Its name in the table: ``site4-24``, ``home6-64``."""
        return f"{'home' if self.by_device else 'site'}{self.version}-{self.length}"


@dataclass(frozen=True, slots=True)
class HomeElement:
    """One element.

    Attributes:
        prefix: A local network.
        device: A device that holds it; empty for the network itself.
    """

    prefix: Prefix
    device: str = ""

    @property
    def set(self) -> HomeSet:
        """The set it belongs to."""
        return HomeSet(self.prefix.version, self.prefix.length, bool(self.device))

    @property
    def key(self) -> bytes:
        """The element's key."""
        first = self.prefix.first.to_bytes(ADDRESS_SIZE[self.prefix.version])
        if not self.device:
            return first
        return first + self.device.encode().ljust(IFNAME_SIZE, b"\0")


def home_elements(homes: Mapping[Prefix, Iterable[str]]) -> frozenset[HomeElement]:
    """Return the elements of both kinds of sets."""
    return frozenset(
        HomeElement(prefix, device)
        for prefix, devices in homes.items()
        for device in ("", *devices)
    )


def home_sets(elements: Iterable[HomeElement]) -> tuple[HomeSet, ...]:
    """Return the sets that elements need, in a fixed order."""
    return tuple(sorted({each.set for each in elements}))


def parse_home_set(name: str) -> HomeSet | None:
    """Return the set that has this name, None if none of ours has it."""
    _, _, length = name.partition("-")
    for version in VERSIONS:
        for by_device in (True, False):
            if length.isdecimal() and int(length) <= 8 * ADDRESS_SIZE[version]:
                each = HomeSet(version, int(length), by_device)
                if each.name == name:
                    return each
    return None


def new_home_set(each: HomeSet) -> bytes:
    """Return what makes a set, if it is not there."""
    kind, size = ADDRESS_TYPES[each.version], ADDRESS_SIZE[each.version]
    if each.by_device:
        kind, size = kind << TYPE_BITS | TYPE_IFNAME, size + IFNAME_SIZE
    return set_message(
        each.name,
        kind,
        size,
        notes=userdata((0, e.native(0))) if each.by_device else _NETWORK_ORDER,
    )


def home_rules(chain: str, sets: Iterable[HomeSet], names: Names) -> list[bytes]:
    """Return the rules that drop what leaves by another device.

    The address that it came from is looked up last: that look-up counts for a tunnel.
    """
    return [
        rule_message(
            chain,
            *is_version(site.version),
            *_network(site),
            e.in_set(site.name),
            *_network(site),
            e.meta(c.NFT_META_OIFNAME, SECOND_REGISTER[site.version]),
            e.in_set(HomeSet(site.version, site.length, by_device=True).name, no=True),
            address("in", site.version),
            e.in_set(names["in", site.version]),
            e.verdict(c.NF_DROP),
        )
        for site in sets
        if not site.by_device
    ]


def _network(site: HomeSet) -> tuple[bytes, ...]:
    """Load the network that a packet is for."""
    mask = prefix_mask(site.version, site.length)
    bits = 8 * ADDRESS_SIZE[site.version]
    cut = (e.masked(mask),) if site.length < bits else ()
    return (address("out", site.version), *cut)


def add_homes(elements: Iterable[HomeElement]) -> Iterator[bytes]:
    """Yield what adds elements."""
    return _messages(c.NFT_MSG_NEWSETELEM, elements)


def delete_homes(elements: Iterable[HomeElement]) -> Iterator[bytes]:
    """Yield what takes elements away, all of which are there."""
    return _messages(c.NFT_MSG_DELSETELEM, elements)


def read_homes(dump: Iterable[bytes], of: HomeSet) -> Iterator[HomeElement]:
    """Yield the elements of a set as the kernel dumped it."""
    size = ADDRESS_SIZE[of.version]
    for message in dump:
        elements = read_attributes(message).get(c.NFTA_SET_ELEM_LIST_ELEMENTS, b"")
        for _, content in walk(elements):
            parts = read_attributes(content)
            key = read_attributes(parts.get(c.NFTA_SET_ELEM_KEY, b"")).get(
                c.NFTA_DATA_VALUE, b""
            )
            device = key[size:].rstrip(b"\0").decode(errors="replace")
            prefix = Prefix(of.version, read_number(key[:size]), of.length)
            yield HomeElement(prefix, device)


def _messages(command: int, elements: Iterable[HomeElement]) -> Iterator[bytes]:
    """Yield messages with as many elements as one attribute holds."""
    by_set: dict[HomeSet, list[bytes]] = {}
    for each in elements:
        by_set.setdefault(each.set, []).append(element(each.key))
    for belongs, encoded in by_set.items():
        step = MAX_NESTED // max(map(len, encoded))
        for start in range(0, len(encoded), step):
            yield elements_message(
                command, belongs.name, *encoded[start : start + step]
            )
