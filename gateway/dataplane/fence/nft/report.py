"""A report of each tunnel, from a table that was read."""

from bisect import bisect_left
from typing import Final

from gateway.dataplane.fence.base import FenceState, Passage, TunnelFence
from gateway.dataplane.fence.nft.addresses import ADDRESS_SIZE
from gateway.dataplane.fence.nft.changes import Grant
from gateway.dataplane.fence.nft.counters import FenceCounters
from gateway.dataplane.fence.nft.standing import Standing, Wanted
from gateway.dataplane.fence.partition import Prefix, Range

FOREVER: Final = 1e9
"""Seconds shown of an element without an end, as only somebody else adds one."""


def report(found: Standing, counters: FenceCounters, now: float) -> FenceState:
    """Return the state of every tunnel that the table names."""
    ranges = {
        version: sorted(found.ranges["out", version], key=lambda each: each.first)
        for version in ADDRESS_SIZE
    }
    names = {each.tunnel for every in found.ranges.values() for each in every}
    granted: dict[str, float] = {}
    for prefix, passes in found.passes.items():
        tunnel = _owner(prefix, ranges[prefix.version])
        left = min(max(passes.values(), default=now) - now, FOREVER)
        granted[tunnel] = max(granted.get(tunnel, 0.0), left)
    return FenceState(
        present=True,
        tunnels={
            name: TunnelFence(*counters.of(name), max(granted.get(name, 0.0), 0.0))
            for name in sorted(names)
        },
    )


def grants_found(found: Standing, wanted: Wanted) -> dict[str, Grant]:
    """Return what an earlier process granted, for each tunnel that is wanted."""
    grants: dict[str, Grant] = {}
    for name, prefixes in wanted.prefixes.items():
        passes = [
            item for prefix in prefixes for item in found.passes.get(prefix, {}).items()
        ]
        if not passes:
            continue
        devices = sorted({each.device for each, _ in passes if each.device})
        reqid = max(each.reqid for each, _ in passes)
        ends_at = min(end for _, end in passes)
        grants[name] = Grant(Passage(tuple(devices), reqid), ends_at)
    return grants


def _owner(prefix: Prefix, ranges: list[Range]) -> str:
    """Return the tunnel that has the first range in a prefix, empty if none has."""
    bits = 8 * ADDRESS_SIZE[prefix.version]
    last = prefix.first + (1 << bits - prefix.length) - 1
    position = bisect_left(ranges, prefix.first, key=lambda each: each.last)
    if position < len(ranges) and ranges[position].first <= last:
        return ranges[position].tunnel
    return ""
