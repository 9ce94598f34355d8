"""Policies as XFRM requests, and what the kernel answers of them."""

import socket
from dataclasses import dataclass

from gateway.dataplane.esp.associations import Association
from gateway.dataplane.esp.rules import MAX_PRIORITY, PRIORITY_BASE, Purpose, Rule
from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm.messages import build, parse_message


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
        rule: Its selector and direction; SEND for outward policies, RECEIVE else.
        reqid: That of its template, 0 if it has none.
        spi: SPI that it sends with, 0 if it names none or refuses.
        is_passing: Whether it is one of ours that let packets through as they are.
    """

    rule: Rule
    reqid: int
    spi: int
    is_passing: bool


def read_policy(message: bytes) -> FoundPolicy:
    """Read whose policy an answer is about and what it sends with."""
    parsed = parse_message(message)
    info = parsed["info"]
    selector = info["sel"]
    templates = parsed.get_attr("XFRMA_TMPL") or []
    allowed = info["action"] == c.XFRM_POLICY_ALLOW
    outward = info["dir"] == c.XFRM_POLICY_OUT
    return FoundPolicy(
        Rule(
            Purpose.SEND if outward else Purpose.RECEIVE,
            info["dir"],
            f"{selector['saddr']}/{selector['prefixlen_s']}",
            f"{selector['daddr']}/{selector['prefixlen_d']}",
            parsed.get_attr("XFRMA_IF_ID") or 0,
        ),
        templates[0]["reqid"] if templates else 0,
        templates[0]["id"]["spi"] if templates and allowed else 0,
        allowed and not templates and PRIORITY_BASE <= info["priority"] <= MAX_PRIORITY,
    )
