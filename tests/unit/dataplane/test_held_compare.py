"""What is wanted against what is there: nothing is overlooked, nothing is invented."""

from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.held.compare import (
    ChangedLink,
    MissingAddress,
    MissingLink,
    MissingRoute,
    MissingRule,
    SurplusRoute,
    Surroundings,
    compare,
    identify,
    own_guards,
    routes_of,
    source_of,
    surroundings,
    thrown,
)
from gateway.dataplane.held.restored import loss_of
from gateway.dataplane.held.snapshot import FoundAddress, FoundLink, Snapshot
from gateway.dataplane.held.spans import contains, covers, span_of, text_of
from gateway.dataplane.held.wanted import (
    GUARD_METRIC,
    DesiredState,
    Route,
    WantedLink,
    WantedTunnel,
)
from gateway.dataplane.netlink import rtnetlink as rt

LINK = WantedLink("qgw:paris", "qgw1", "xfrm", mtu=1400, if_id=7)
TUNNEL = WantedTunnel(
    name="paris",
    link="qgw:paris",
    holders=("qgw:paris",),
    addresses=("10.9.0.1/30",),
    prefixes=("10.0.0.0/8", "fd00:2::/64"),
    local=("10.1.0.0/16",),
)
FOUND = FoundLink(5, "qgw1", "qgw:paris", "xfrm", 1400, 7, is_up=True)
LAN = FoundAddress(2, "10.7.0.1/24", rt.IFA_F_PERMANENT)
LEASE = FoundAddress(2, "10.8.0.9/24", 0)
ALL = AcceptedNetworks()


def wanted() -> DesiredState:
    return DesiredState({LINK.alias: LINK}, {TUNNEL.name: TUNNEL})


def satisfied(accepted: AcceptedNetworks = ALL) -> Snapshot:
    """Return a snapshot in which all is as it should be."""
    addresses = (FoundAddress(5, "10.9.0.1/30", rt.IFA_F_PERMANENT), LAN, LEASE)
    around = surroundings(addresses, frozenset({5}), accepted)
    routes = (
        *own_guards(TUNNEL),
        *routes_of(TUNNEL, 5, around),
        *thrown([TUNNEL], around),
    )
    return Snapshot({5: FOUND}, addresses, routes)


def test_nothing_is_done_where_all_is_right() -> None:
    assert compare(wanted(), satisfied(), {}, ALL) == []


def test_networks_of_our_own_are_sent_past_unless_they_came_by_lease() -> None:
    passed = {r.prefix for r in satisfied().routes if r.kind == rt.RTN_THROW}
    assert passed == {"10.1.0.0/16", "10.7.0.0/24"}


def test_networks_that_nobody_accepted_are_not_sent_past() -> None:
    accepted = AcceptedNetworks()
    accepted.accept(["10.6.0.0/24"])
    passed = {r.prefix for r in satisfied(accepted).routes if r.kind == rt.RTN_THROW}
    assert passed == {"10.1.0.0/16"}
    (gone,) = compare(wanted(), satisfied(), {}, accepted)
    assert isinstance(gone, SurplusRoute)
    assert gone.route.prefix == LAN.address.replace("0.1/", "0.0/")
    accepted.accept(["10.7.0.0/24"])
    assert compare(wanted(), satisfied(), {}, accepted) == []


def test_own_addresses_are_guarded_while_they_are_away() -> None:
    both = replace(TUNNEL, addresses=("10.9.0.1/30", "fd00:9::1/126"))
    guards = list(own_guards(both))
    assert [guard.prefix for guard in guards] == ["10.9.0.1/32", "fd00:9::1/128"]
    assert {guard.kind for guard in guards} == {rt.RTN_UNREACHABLE}


def test_a_link_that_is_gone_takes_what_hangs_on_it_along() -> None:
    found = satisfied()
    differences = compare(wanted(), replace(found, links={}, addresses=()), {}, ALL)
    assert MissingLink(LINK) in differences
    assert not [d for d in differences if isinstance(d, MissingAddress)]


def test_a_link_is_found_by_index_alias_or_if_id_whatever_its_name() -> None:
    links = {LINK.alias: LINK}
    named = replace(FOUND, name="vpn0")
    assert identify(links, {5: named}, {}) == {LINK.alias: named}
    bare = replace(named, alias="")
    assert identify(links, {5: bare}, {}) == {LINK.alias: bare}
    assert identify(links, {5: replace(bare, if_id=8)}, {}) == {}
    dummy = replace(LINK, kind="dummy", if_id=0)
    lost = FoundLink(5, "vpn0", "", "dummy", 1400, 0, is_up=True)
    assert identify({LINK.alias: dummy}, {5: lost}, {LINK.alias: 5}) != {}
    assert identify({LINK.alias: dummy}, {5: lost}, {}) == {}


def test_each_change_of_a_link_is_seen() -> None:
    for found in (
        replace(FOUND, name="vpn0"),
        replace(FOUND, alias=""),
        replace(FOUND, mtu=1280),
        replace(FOUND, is_up=False),
    ):
        differences = compare(wanted(), replace(satisfied(), links={5: found}), {}, ALL)
        assert ChangedLink(LINK, found) in differences


def test_rules_that_are_gone() -> None:
    found = replace(satisfied(), rules=frozenset())
    assert compare(wanted(), found, {}, ALL) == [MissingRule(f) for f in rt.FAMILIES]


def test_what_nobody_wants_goes_once_all_have_spoken() -> None:
    old = Route("10.66.0.0/16", device=5)
    foreign = old._replace(is_ours=False)
    for route, is_settled, goes in (
        (old, True, True),
        (old, False, False),
        (foreign, False, True),
    ):
        found = replace(satisfied(), routes=(*satisfied().routes, route))
        differences = compare(wanted(), found, {}, ALL, is_settled=is_settled)
        assert differences == ([SurplusRoute(route)] if goes else [])


def test_the_source_is_an_inside_address_or_one_of_the_site() -> None:
    around = Surroundings(hosts=(("10.1.0.9", span_of("10.1.0.9")),))
    assert source_of(TUNNEL, "10.2.0.0/16", around) == "10.9.0.1"
    bare = replace(TUNNEL, addresses=())
    assert source_of(bare, "10.2.0.0/16", around) == "10.1.0.9"
    assert source_of(bare, "fd00:2::/64", around) == ""
    assert source_of(bare, "10.2.0.0/16", Surroundings()) == ""


def test_an_address_that_is_not_usable_yet_is_no_source() -> None:
    tentative = FoundAddress(2, "fd00:1::1/64", rt.IFA_F_TENTATIVE)
    assert surroundings([tentative], frozenset(), ALL).hosts == ()


@given(st.data())
def test_whatever_is_taken_away_is_missed_and_put_back_right(
    data: st.DataObject,
) -> None:
    """Take any of it away, or change it; do what is said; all is as it was."""
    full = satisfied()
    kept_routes = data.draw(st.lists(st.sampled_from(full.routes), unique=True))
    kept_addresses = data.draw(st.lists(st.sampled_from(full.addresses), unique=True))
    rules = data.draw(st.frozensets(st.sampled_from(rt.FAMILIES)))
    surplus = data.draw(
        st.lists(st.builds(Route, st.sampled_from(["10.3.0.0/16", "10.0.0.0/8"])))
    )
    host = tuple(a for a in full.addresses if a.index != 5)
    addresses = tuple(dict.fromkeys((*kept_addresses, *host)))
    routes = {r.key: r for r in (*kept_routes, *surplus)}
    damaged = Snapshot({5: FOUND}, addresses, tuple(routes.values()), rules)
    for difference in compare(wanted(), damaged, {}, ALL):
        assert loss_of(difference, {5: "qgw1"}).what
        match difference:
            case MissingRoute(_, route):
                routes[route.key] = route
            case SurplusRoute(route):
                del routes[route.key]
            case MissingAddress(_, index, address):
                found = FoundAddress(index, address, rt.IFA_F_PERMANENT)
                addresses = (*addresses, found)
            case MissingRule(family):
                rules = rules | {family}
            case _:
                raise AssertionError(difference)
    healed = Snapshot({5: FOUND}, addresses, tuple(routes.values()), rules)
    assert compare(wanted(), healed, {}, ALL) == []
    assert {r.key for r in healed.routes} == {r.key for r in full.routes}


networks = st.one_of(
    st.ip_addresses(v=4).flatmap(
        lambda a: st.integers(0, 32).map(lambda n: ip_network((a, n), strict=False))
    ),
    st.ip_addresses(v=6).flatmap(
        lambda a: st.integers(0, 128).map(lambda n: ip_network((a, n), strict=False))
    ),
)


@given(networks, networks)
def test_spans_say_what_the_standard_library_says(one: object, other: object) -> None:
    a, b = span_of(str(one)), span_of(str(other))
    assert ip_network(text_of(a)) == one
    same = getattr(one, "version", 0) == getattr(other, "version", 0)
    inside = same and ip_network(str(other)).subnet_of(ip_network(str(one)))  # type: ignore[arg-type]  # same version
    assert contains(a, b) == inside
    assert covers(a, b) == (inside and a != b)


def test_guards_stand_without_an_interface() -> None:
    routes = list(routes_of(TUNNEL, None, Surroundings()))
    assert {r.metric for r in routes} == {GUARD_METRIC}
    assert [r.prefix for r in routes] == list(TUNNEL.prefixes)
