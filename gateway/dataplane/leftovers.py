"""Removal of all that is ours in the kernel: for an uninstallation."""

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from gateway.dataplane.esp.database import Database
from gateway.dataplane.esp.rules import Purpose, Rule
from gateway.dataplane.fence.open import open_fence
from gateway.dataplane.refusals import kernel_call
from gateway.errors import PlaneUnsupportedError
from gateway.host import marks
from gateway.units import plural

ALIAS_PREFIX: Final = "qgw:"
"""Start of the alias of every interface that we made."""

Say = Callable[[str], None]


def remove_leftovers(say: Say) -> None:
    """Remove interfaces, routes, rules, SAs, policies; the fence goes last.

    Args:
        say: Is told of each kind that was there, in words.

    Raises:
        DataPlaneError: The kernel refused something; what was removed stays so.
    """
    _remove_links_and_routes(say)
    with suppress(PlaneUnsupportedError):  # a kernel without XFRM holds none of it
        _remove_ipsec(say)
    with closing(open_fence()) as fence:
        if fence.read().present:
            fence.remove()
            say("the fence")


def _remove_links_and_routes(say: Say) -> None:
    with kernel_call("remove what is ours"), IPRoute() as route:
        links = [
            link
            for link in route.get_links()
            if (link.get_attr("IFLA_IFALIAS") or "").startswith(ALIAS_PREFIX)
        ]
        for link in links:
            with suppress(NetlinkError):  # it went with another one
                route.link("del", index=link["index"])
        rules = [
            rule
            for rule in (*route.get_rules(2), *route.get_rules(10))
            if rule.get_attr("FRA_PRIORITY") == marks.RULE_PRIORITY
            and rule.get_attr("FRA_TABLE") == marks.ROUTE_TABLE
        ]
        for rule in rules:
            route.rule(
                "del",
                family=rule["family"],
                priority=marks.RULE_PRIORITY,
                table=marks.ROUTE_TABLE,
            )
        for family in (2, 10):
            route.flush_routes(family=family, table=marks.ROUTE_TABLE)
    if links:
        say(plural(len(links), "interface"))
    if rules:
        say(f"routing table {marks.ROUTE_TABLE} and its rules")


def _remove_ipsec(say: Say) -> None:
    with closing(Database()) as database:
        found = database.take_inventory()
        rules = [policy.rule for each in found.policies.values() for policy in each]
        rules += [Rule(Purpose.PASS, *key) for key in found.passing]
        database.delete_policies(rules)
        database.delete(
            each.association for many in found.associations.values() for each in many
        )
    if rules or found.associations:
        say("SAs and policies")
