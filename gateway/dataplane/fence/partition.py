"""Addresses and their tunnels: prefixes in, ranges that are apart out.

As in routing, the longest prefix decides. What is connected here, and what the whole
protocol needs, is in no range although a shorter remote prefix covers it. Pure.
"""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.dataplane.fence.base import FencePlan

NEVER_REFUSED: Final = (
    "0.0.0.0/32",  # a source that has no address yet
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/127",  # no address yet; loopback
    "fe80::/10",
    "ff00::/8",
)
"""Networks without which a host cannot get an address nor find its neighbours: link
local, multicast, broadcast (RFC 6890). A remote prefix inside one of them counts."""

_EXEMPT: Final = ""
_FAMILIES: Final = {4: (socket.AF_INET, 32), 6: (socket.AF_INET6, 128)}


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses that one tunnel owns.

    Attributes:
        first: The first address, as a number.
        last: The last one.
        tunnel: The tunnel's name.
    """

    first: int
    last: int
    tunnel: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A network.

    Attributes:
        version: 4 or 6.
        first: Its first address, as a number.
        length: Bits that all its addresses share.
    """

    version: int
    first: int
    length: int


def fenced_ranges(
    plan: FencePlan, before: FencePlan | None, version: int
) -> tuple[Range, ...]:
    """Return the ranges of an IP version that the fence guards, in order.

    Args:
        plan: What counts.
        before: What is guarded too where `plan` guards nothing.
        version: 4 or 6.
    """
    ranges = _ranges(plan, version)
    if before is not None:
        ranges = _overlay(ranges, _ranges(before, version))
    return tuple(_joined(ranges))


def fenced_prefixes(
    plan: FencePlan, before: FencePlan | None
) -> dict[str, tuple[str, ...]]:
    """Return the same of both IP versions, by tunnel, as few prefixes as can be."""
    found: dict[str, list[str]] = {}
    for version, (family, bits) in _FAMILIES.items():
        for each in fenced_ranges(plan, before, version):
            prefixes = found.setdefault(each.tunnel, [])
            for one in _prefixes_of(each, version):
                address = socket.inet_ntop(family, one.first.to_bytes(bits // 8))
                prefixes.append(f"{address}/{one.length}")
    return {tunnel: tuple(prefixes) for tunnel, prefixes in found.items()}


def passing_prefixes(
    plan: FencePlan, before: FencePlan | None
) -> dict[str, tuple[Prefix, ...]]:
    """Return what each tunnel may let pass, as few prefixes as can be.

    Exempt networks are left in: what is not refused may pass by any way. So these are
    the configured prefixes, less what longer ones give to other tunnels.
    """
    found: dict[str, list[Prefix]] = {}
    for version in (4, 6):
        ranges = _ranges(plan, version, exempt=False)
        if before is not None:
            ranges = _overlay(ranges, _ranges(before, version, exempt=False))
        for each in _joined(ranges):
            prefixes = found.setdefault(each.tunnel, [])
            prefixes.extend(_prefixes_of(each, version))
    return {tunnel: tuple(prefixes) for tunnel, prefixes in found.items()}


def _prefixes_of(each: Range, version: int) -> Iterator[Prefix]:
    """Cut a range into networks, each as large as its place and its end allow."""
    _, bits = _FAMILIES[version]
    first = each.first
    while first <= each.last:
        by_place = (first & -first).bit_length() - 1 if first else bits
        by_end = (each.last - first + 1).bit_length() - 1
        spare = min(by_place, by_end)
        yield Prefix(version, first, bits - spare)
        first += 1 << spare


def _ranges(plan: FencePlan, version: int, *, exempt: bool = True) -> list[Range]:
    """Return one plan's ranges.

    Prefixes either nest or are apart, so one pass in order, with those still open on
    a stack, finds for each address the longest that holds it.
    """
    found: list[Range] = []
    is_open: list[Range] = []
    position = 0
    for prefix in _prefixes(plan, version, exempt=exempt):
        while is_open and is_open[-1].last < prefix.first:
            position = _close(is_open.pop(), position, found)
        if is_open and position < prefix.first:
            found.append(Range(position, prefix.first - 1, is_open[-1].tunnel))
        position = max(position, prefix.first)
        is_open.append(prefix)
    while is_open:
        position = _close(is_open.pop(), position, found)
    return [each for each in found if each.tunnel != _EXEMPT]


def _close(prefix: Range, position: int, found: list[Range]) -> int:
    """Note what is left of a prefix; return where the next range begins."""
    if position <= prefix.last:
        found.append(Range(position, prefix.last, prefix.tunnel))
    return max(position, prefix.last + 1)


def _prefixes(plan: FencePlan, version: int, *, exempt: bool) -> list[Range]:
    """Return every prefix once, shorter ones before those inside them.

    A prefix that is remote and ours at once is remote: only what is strictly longer
    is exempt.
    """
    owners: dict[str, str] = {}
    for tunnel in plan.tunnels:
        for prefix in tunnel.remote:
            owners.setdefault(prefix, tunnel.name)
    if exempt:
        own = (prefix for tunnel in plan.tunnels for prefix in tunnel.local)
        for prefix in (*own, *plan.exempt, *NEVER_REFUSED):
            owners.setdefault(prefix, _EXEMPT)
    mark = ":" if version == 6 else "."  # noqa: PLR2004  # of IPv6
    ranges = [
        _range(prefix, version, owner)
        for prefix, owner in owners.items()
        if mark in prefix
    ]
    ranges.sort(key=lambda each: (each.first, -each.last))
    return ranges


def _range(prefix: str, version: int, owner: str) -> Range:
    """Return a prefix's addresses; `ip_network` takes ten times as long."""
    family, bits = _FAMILIES[version]
    address, _, length = prefix.partition("/")
    spare = bits - int(length)
    first = int.from_bytes(socket.inet_pton(family, address)) >> spare << spare
    return Range(first, first + (1 << spare) - 1, owner)


def _overlay(over: list[Range], under: list[Range]) -> list[Range]:
    """Return both lists, of `under` only what `over` leaves free."""
    found = list(over)
    upper = iter(over)
    current = next(upper, None)
    for each in under:
        first = each.first
        while current is not None and current.last < first:
            current = next(upper, None)
        while current is not None and current.first <= each.last:
            if first < current.first:
                found.append(Range(first, current.first - 1, each.tunnel))
            first = current.last + 1
            if first > each.last:
                break
            current = next(upper, None)
        if first <= each.last:
            found.append(Range(first, each.last, each.tunnel))
    found.sort(key=lambda each: each.first)
    return found


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Yield the ranges, with neighbours of one tunnel made one."""
    last: Range | None = None
    for each in ranges:
        if last is None:
            last = each
        elif last.tunnel == each.tunnel and last.last + 1 == each.first:
            last = Range(last.first, each.last, last.tunnel)
        else:
            yield last
            last = each
    if last is not None:
        yield last
