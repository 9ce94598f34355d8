"""Policies as XFRM requests, and what the kernel answers of them."""

import socket
import struct
from dataclasses import dataclass

from gateway.dataplane.esp.associations import Association
from gateway.dataplane.esp.rules import (
    MAX_PRIORITY,
    PRIORITY_BASE,
    PolicyKey,
    Purpose,
    Rule,
)
from gateway.dataplane.netlink.rtnetlink import walk
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.messages import HEADER_SIZE, build
from gateway.dataplane.xfrm.structs import (
    unpack_address,
    xfrm_user_tmpl,
    xfrm_userpolicy_info,
)


def policy_request(
    message_type: int, rule: Rule, reqid: int, active: Association | None
) -> bytearray:
    """Return a NEWPOLICY or UPDPOLICY request.

    Args:
        message_type: XFRM_MSG_NEWPOLICY refuses to replace, XFRM_MSG_UPDPOLICY does.
        rule: The policy.
        reqid: The tunnel's.
        active: The SA to send with; None refuses to send.
    """
    attributes: dict[str, object] = {}
    if rule.purpose is not Purpose.PASS:
        # A refusing policy has no use for a template, but carries the reqid in
        # it, by which it is known for ours after a restart.
        attributes["XFRMA_TMPL"] = [_template(rule, reqid, active)]
    if rule.if_id:
        attributes["XFRMA_IF_ID"] = rule.if_id
    refuses = rule.purpose is Purpose.REFUSE or (
        rule.purpose is Purpose.SEND and active is None
    )
    info = {
        "sel": rule.selector(),
        "priority": rule.priority(),
        "dir": rule.direction,
        "action": c.XFRM_POLICY_BLOCK if refuses else c.XFRM_POLICY_ALLOW,
    }
    return build(message_type, {"info": info}, attributes)


def policy_deletion(rule: Rule) -> bytearray:
    """Return a DELPOLICY request."""
    attributes = {"XFRMA_IF_ID": rule.if_id} if rule.if_id else {}
    info = {"sel": rule.selector(), "dir": rule.direction}
    return build(c.XFRM_MSG_DELPOLICY, {"info": info}, attributes)


def _template(rule: Rule, reqid: int, active: Association | None) -> dict[str, object]:
    template: dict[str, object] = {
        "id": {"proto": socket.IPPROTO_ESP},
        "family": rule.family,
        "reqid": reqid,
        "mode": c.XFRM_MODE_TUNNEL,
    }
    if rule.purpose is Purpose.SEND and active is not None:
        template["family"] = active.family
        template["saddr"] = active.source
        template["id"] = {
            "daddr": active.destination,
            "spi": active.spi,
            "proto": socket.IPPROTO_ESP,
        }
    return template


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A policy seen in a dump.

    Attributes:
        key: As `Rule.key`.
        priority: Its priority.
        is_allowed: Whether it lets through, encrypted or not.
        reqid: That of its template, 0 if it has none.
        spi: SPI that it sends with, 0 if it names none or refuses.
    """

    key: PolicyKey
    priority: int
    is_allowed: bool
    reqid: int = 0
    spi: int = 0

    @property
    def is_passing(self) -> bool:
        """Whether it is one of ours that let packets through as they are."""
        ours = PRIORITY_BASE <= self.priority <= MAX_PRIORITY
        return self.is_allowed and not self.reqid and ours

    @property
    def rule(self) -> Rule:
        """A rule of the same key."""
        direction, source, destination, if_id = self.key
        return Rule(Purpose.REFUSE, direction, source, destination, if_id)


def expected_policy(rule: Rule, reqid: int, active: Association | None) -> FoundPolicy:
    """Return what a dump says of a policy as `policy_request` makes it."""
    sends = rule.purpose is Purpose.SEND and active is not None
    return FoundPolicy(
        key=rule.key,
        priority=rule.priority(),
        is_allowed=sends or rule.purpose in {Purpose.PASS, Purpose.RECEIVE},
        reqid=0 if rule.purpose is Purpose.PASS else reqid,
        spi=active.spi if sends and active is not None else 0,
    )


def read_policy(message: bytes) -> FoundPolicy:
    """Read a policy of a dump; raw, since a hub's restart reads tens of thousands."""
    daddr, saddr, family, length_d, length_s = _SELECTOR.unpack_from(message, _INFO)
    priority, direction, action = _PRIORITY.unpack_from(message, _INFO + _LIFETIMES)
    allowed = action == c.XFRM_POLICY_ALLOW
    reqid = if_id = 0
    spi = b""
    for number, payload in walk(message, _INFO + xfrm_userpolicy_info.size()):
        if number == _XFRMA_TMPL and len(payload) >= xfrm_user_tmpl.size():
            spi, reqid = _TEMPLATE.unpack_from(payload)
        elif number == _XFRMA_IF_ID:
            (if_id,) = _IF_ID.unpack(payload)
    source = f"{unpack_address(saddr, family)}/{length_s}"
    destination = f"{unpack_address(daddr, family)}/{length_d}"
    return FoundPolicy(
        key=(direction, source, destination, if_id),
        priority=priority,
        is_allowed=allowed,
        reqid=reqid,
        spi=int.from_bytes(spi) if allowed else 0,
    )


_INFO = HEADER_SIZE
_SELECTOR = struct.Struct("=16s16s8xHBB")
_LIFETIMES = xfrm_userpolicy_info.offset_of("priority")
_PRIORITY = struct.Struct("=I4xBB")
_TEMPLATE = struct.Struct("=16x4s24xI")
_IF_ID = struct.Struct("=I")
_XFRMA_TMPL = 5
_XFRMA_IF_ID = 31
