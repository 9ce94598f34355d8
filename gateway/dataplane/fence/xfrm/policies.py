"""Policies that block, as XFRM requests, and what a dump says of them."""

import struct
from typing import Final, NamedTuple

from gateway.dataplane.netlink.rtnetlink import walk
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.messages import HEADER_SIZE, build
from gateway.dataplane.xfrm.structs import (
    unpack_address,
    xfrm_mark,
    xfrm_userpolicy_info,
)
from gateway.host.marks import OUTER_MASK

PRIORITY: Final = 0x0051_5900
"""Behind all of ESP's own policies (`gateway.dataplane.esp.rules`), and before those of
a key daemon beside us, which start near 0x0006_0000 times a prefix length or higher."""

MARK: Final = {"v": 0, "m": OUTER_MASK}
"""They are for packets without a mark of ours, so not for those around a tunnel. And a
mark makes them other policies than ESP's own, which may have the same selector."""

OUTWARD: Final = c.XFRM_POLICY_OUT
DIRECTIONS: Final = (c.XFRM_POLICY_IN, c.XFRM_POLICY_FWD, OUTWARD)

_ANY: Final = {4: "0.0.0.0/0", 6: "::/0"}
_SELECTOR: Final = struct.Struct("=16s16s8xHBB")
_RANK: Final = struct.Struct("=I4xBB")
_XFRMA_MARK: Final = 21
_XFRMA_IF_ID: Final = 31


class Key(NamedTuple):
    """What tells one of them from the others.

    Attributes:
        direction: XFRM_POLICY_IN, _FWD or _OUT.
        prefix: The network at the peer, ``10.2.0.0/16``.
    """

    direction: int
    prefix: str


def creation(key: Key, *, allows: bool) -> bytearray:
    """Return a request that makes a policy so, whether or not it is there."""
    info = {
        "sel": _selector(key),
        "priority": PRIORITY,
        "dir": key.direction,
        "action": c.XFRM_POLICY_ALLOW if allows else c.XFRM_POLICY_BLOCK,
    }
    return build(c.XFRM_MSG_UPDPOLICY, {"info": info}, {"XFRMA_MARK": MARK})


def deletion(key: Key) -> bytearray:
    """Return a request that deletes a policy."""
    info = {"sel": _selector(key), "dir": key.direction}
    return build(c.XFRM_MSG_DELPOLICY, {"info": info}, {"XFRMA_MARK": MARK})


def dump() -> bytearray:
    """Return a request for all policies there are."""
    return build(c.XFRM_MSG_GETPOLICY, {})


def read(message: bytes) -> tuple[Key, bool] | None:
    """Return which policy of ours it is, and whether it allows; None for others'."""
    rank = HEADER_SIZE + xfrm_userpolicy_info.offset_of("priority")
    priority, direction, action = _RANK.unpack_from(message, rank)
    if priority != PRIORITY:
        return None
    parts = dict(walk(message, HEADER_SIZE + xfrm_userpolicy_info.size()))
    if parts.get(_XFRMA_MARK) != xfrm_mark.pack(MARK) or _XFRMA_IF_ID in parts:
        return None
    daddr, saddr, family, length_d, length_s = _SELECTOR.unpack_from(
        message, HEADER_SIZE
    )
    address, length = (daddr, length_d) if direction == OUTWARD else (saddr, length_s)
    prefix = f"{unpack_address(address, family)}/{length}"
    return Key(direction, prefix), action == c.XFRM_POLICY_ALLOW


def _selector(key: Key) -> dict[str, object]:
    version = 6 if ":" in key.prefix else 4
    anything = _ANY[version]
    outward = key.direction == OUTWARD
    source, destination = (anything, key.prefix) if outward else (key.prefix, anything)
    saddr, _, length_s = source.partition("/")
    daddr, _, length_d = destination.partition("/")
    return {
        "saddr": saddr,
        "prefixlen_s": int(length_s),
        "daddr": daddr,
        "prefixlen_d": int(length_d),
        "family": 10 if version == 6 else 2,  # noqa: PLR2004  # of IPv6
    }
