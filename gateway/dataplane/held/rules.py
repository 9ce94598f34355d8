"""The rule that leads packets to our own routing table, one for each family."""

import errno

from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.netlink.rtnetlink import FAMILIES, rule_request
from gateway.dataplane.refusals import kernel_call
from gateway.host import marks


def ensure_rules(connection: NetlinkConnection) -> None:
    """Make the rules that are not there.

    Raises:
        DataPlaneError: The kernel refused; an IPv6 that is switched off is no reason.
    """
    for family in FAMILIES:
        request = rule_creation(family)
        with kernel_call(f"add the rule for table {marks.ROUTE_TABLE}"):
            for error in connection.send([request]):
                if error.errno not in {errno.EEXIST, errno.EAFNOSUPPORT}:
                    raise error


def rule_creation(family: int) -> bytearray:
    """Return a request for the rule of a family."""
    return rule_request(
        family,
        priority=marks.RULE_PRIORITY,
        table=marks.ROUTE_TABLE,
        mark=marks.OUTER_MARK,
        mask=marks.OUTER_MASK,
        protocol=marks.ROUTE_PROTOCOL,
    )
