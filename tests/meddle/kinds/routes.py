"""Routes, rules and tables that somebody adds, changes or takes away."""

from lab.two_sites import (
    NET,
    NET6,
    PC,
    PC6,
    ROUTER,
    ROUTER6,
    ROUTER_TOO,
    WAN,
)

from tests.meddle.kind import FLOWS, Spot, Steps, free, kind

TABLE = "5157"
FOREIGN = "77"
"""A table of somebody else's."""


def _added(at: Spot, family: str, *prefixes: str) -> Steps:
    """Have routes by the router in table main for a while."""
    via = ROUTER[at.letter] if family == "-4" else ROUTER6[at.letter]
    for prefix in prefixes:
        at.ip(family, "route", "add", prefix, "via", via, "dev", WAN)
    yield FLOWS
    for prefix in prefixes:
        at.ip(family, "route", "del", prefix, "via", via, "dev", WAN)


@kind()
def more_specific_route(at: Spot) -> Steps:
    """DHCP option 121 can push it."""
    yield from _added(at, "-4", f"{PC[at.peer]}/32")


@kind()
def more_specific_route_ipv6(at: Spot) -> Steps:
    """A router advertisement can bring it."""
    yield from _added(at, "-6", f"{PC6[at.peer]}/128")


@kind()
def halves_of_a_remote_prefix(at: Spot) -> Steps:
    """Two routes, each longer than ours."""
    base = NET[at.peer].removesuffix("0/24")
    yield from _added(at, "-4", f"{base}0/25", f"{base}128/25")


@kind()
def halves_of_everything(at: Spot) -> Steps:
    """What another VPN client does in place of a default route."""
    yield from _added(at, "-4", "0.0.0.0/1", "128.0.0.0/1")


@kind()
def halves_of_everything_ipv6(at: Spot) -> Steps:
    """The same for IPv6."""
    yield from _added(at, "-6", "::/1", "8000::/1")


@kind()
def blackhole_for_a_remote_prefix(at: Spot) -> Steps:
    """An administrator's precaution, in table main."""
    at.ip("route", "add", "blackhole", NET[at.peer], "metric", "1")
    yield FLOWS
    at.ip("route", "del", "blackhole", NET[at.peer], "metric", "1")


@kind()
def default_route_changes(at: Spot) -> Steps:
    """The provider's second router takes over."""
    at.ip("route", "replace", "default", "via", ROUTER_TOO[at.letter], "dev", WAN)
    yield FLOWS
    at.ip("route", "replace", "default", "via", ROUTER[at.letter], "dev", WAN)


@kind()
def default_routes_lost(at: Spot) -> Steps:
    """For a second the gateway reaches nobody."""
    at.ip("route", "del", "default")
    at.ip("-6", "route", "del", "default")
    yield free(1.0)
    at.side.restore_wan()


@kind(last_word=True)
def routes_of_a_prefix_flushed(at: Spot) -> Steps:
    """Everywhere, ours and the guard behind it."""
    at.ip("route", "flush", "table", "all", "root", NET[at.peer])
    yield FLOWS


@kind(last_word=True)
def routes_of_a_prefix_flushed_ipv6(at: Spot) -> Steps:
    """The same for IPv6."""
    at.ip("-6", "route", "flush", "table", "all", "root", NET6[at.peer])
    yield FLOWS


@kind(last_word=True)
def our_routes_flushed(at: Spot) -> Steps:
    """By the protocol number, in every table."""
    for family in ("-4", "-6"):
        at.ip(family, "route", "flush", "table", "all", "proto", "181", check=False)
    yield FLOWS


@kind(last_word=True)
def our_table_flushed(at: Spot) -> Steps:
    """IPv4 and IPv6."""
    for family in ("-4", "-6"):
        at.ip(family, "route", "flush", "table", TABLE, check=False)
    yield FLOWS


@kind(last_word=True)
def our_rule_deleted(at: Spot) -> Steps:
    """IPv4 and IPv6."""
    for family in ("-4", "-6"):
        at.ip(family, "rule", "del", "pref", TABLE)
    yield FLOWS


@kind(last_word=True)
def rules_flushed(at: Spot) -> Steps:
    """All but that for local addresses, and those of every host put back."""
    for family in ("-4", "-6"):
        at.ip(family, "rule", "flush")
        at.ip(family, "rule", "add", "pref", "32766", "lookup", "main")
    at.ip("rule", "add", "pref", "32767", "lookup", "default")
    yield FLOWS


def _rule_above(at: Spot, family: str, prefix: str, via: str) -> Steps:
    at.ip(family, "route", "add", "default", "via", via, "dev", WAN, "table", FOREIGN)
    at.ip(family, "rule", "add", "pref", "100", "to", prefix, "lookup", FOREIGN)
    # The administrator's word goes above ours: what he sends outside is stopped.
    yield free(1.0)
    at.ip(family, "rule", "del", "pref", "100")
    at.ip(family, "route", "flush", "table", FOREIGN)


@kind()
def rule_above_ours(at: Spot) -> Steps:
    """To a table of somebody else's."""
    yield from _rule_above(at, "-4", NET[at.peer], ROUTER[at.letter])


@kind()
def rule_above_ours_ipv6(at: Spot) -> Steps:
    """The same for IPv6."""
    yield from _rule_above(at, "-6", NET6[at.peer], ROUTER6[at.letter])


@kind()
def rule_for_all_above_ours(at: Spot) -> Steps:
    """Every packet goes by another table, as another VPN's client has it."""
    at.ip("route", "add", "default", "via", ROUTER[at.letter],
          "dev", WAN, "table", FOREIGN)  # fmt: skip
    at.ip("rule", "add", "pref", "90", "lookup", FOREIGN)
    yield free(1.0)
    at.ip("rule", "del", "pref", "90")
    at.ip("route", "flush", "table", FOREIGN)


@kind(needs="vrf")
def wan_in_a_vrf(at: Spot) -> Steps:
    """The link to the router is moved into a VRF and back."""
    at.ip("link", "add", "vrf9", "type", "vrf", "table", "9")
    at.ip("link", "set", "vrf9", "up")
    at.ip("link", "set", WAN, "master", "vrf9")
    yield free(1.0)
    at.ip("link", "set", WAN, "nomaster")
    at.ip("link", "del", "vrf9")
    at.side.restore_wan()
