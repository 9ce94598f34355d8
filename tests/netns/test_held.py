"""What others take out of the kernel's routing is back within a second, and said."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator

import pytest
from lab.gateway import INNER, INNER6, NETS, Gateway
from lab.netns import run

from gateway.dataplane.held.patience import FIRST_PAUSE
from tests.netns.labs import Lab, edit, until

WITHIN = 1.0
"""Seconds until all is back."""

SLACK = 1.0
"""Seconds more that a ping takes on a busy machine."""

ALL_TABLES = ("route", "show", "table", "all")


def ip(end: Gateway, *arguments: str) -> str:
    """Run `ip` at one end, as an administrator would."""
    return run("ip", "-n", end.namespace.name, *arguments)


def devices(end: Gateway) -> list[str]:
    """Return the names of the interfaces that are the gateway's."""
    listed = ip(end, "-o", "-d", "link", "show")
    return [
        line.split(":")[1].strip().partition("@")[0]
        for line in listed.splitlines()
        if "alias qgw:" in line
    ]


def _addresses(end: Gateway, name: str) -> list[str]:
    """Return an interface's addresses, none if it was just renamed or removed."""
    try:
        return ip(end, "-o", "address", "show", "dev", name).splitlines()
    except RuntimeError:
        return []


def picture(end: Gateway) -> list[str]:
    """Return all that is held: links, addresses, routes of our table, rules."""
    links = [
        re.sub(r"^\d+: |qlen \d+|mode DEFAULT.*", "", line)
        for line in ip(end, "-o", "link", "show").splitlines()
        if "alias qgw:" in line
    ]
    addresses = [
        " ".join(line.split()[1:4])
        for name in devices(end)
        for line in _addresses(end, name)
        if "fe80" not in line
    ]
    # Each rotation leads the routes to the other of two devices.
    routes = [
        re.sub(r"dev qgw-wg\d", "dev qgw-wg", line)
        for family in ("-4", "-6")
        for line in ip(end, family, *ALL_TABLES).splitlines()
        if "table 5157" in line
    ]
    rules = [
        line
        for family in ("-4", "-6")
        for line in ip(end, family, "rule").splitlines()
        if line.startswith("5157:")
    ]
    return sorted(links) + sorted(addresses) + sorted(routes) + sorted(rules)


def flush_table(end: Gateway) -> None:
    for family in ("-4", "-6"):
        ip(end, family, "route", "flush", "table", "5157")


def delete_rules(end: Gateway) -> None:
    for family in ("-4", "-6"):
        ip(end, family, "rule", "delete", "pref", "5157")


def flush_addresses(end: Gateway) -> None:
    for name in devices(end):
        ip(end, "address", "flush", "dev", name)


def take_links_down(end: Gateway) -> None:
    for name in devices(end):
        ip(end, "link", "set", name, "down")


def change_mtu(end: Gateway) -> None:
    for name in devices(end):
        ip(end, "link", "set", name, "mtu", "1290")


def clear_alias(end: Gateway) -> None:
    for name in devices(end):
        ip(end, "link", "set", name, "alias", "")


def rename(end: Gateway) -> None:
    """Rename at once: a kernel before 6.2 wants the device down for it."""
    for number, name in enumerate(devices(end)):
        ip(end, "link", "set", name, "down", "name", f"vpn{number}")


def replace_routes(end: Gateway) -> None:
    """Lead the prefix elsewhere within our own table."""
    for prefix in NETS["b"]:
        family = "-6" if ":" in prefix else "-4"
        ip(end, family, "route", "replace", "blackhole", prefix, "table", "5157")


def add_better_routes(end: Gateway) -> None:
    """Lead the peer's host elsewhere within our own table."""
    ip(end, "route", "add", "blackhole", INNER["b"], "table", "5157")
    ip(end, "-6", "route", "add", "blackhole", INNER6["b"], "table", "5157")


INTERFERENCES: dict[str, tuple[Callable[[Gateway], None], str]] = {
    "table flushed": (flush_table, "route 10.72.0.0/24 in table 5157"),
    "rules deleted": (delete_rules, "the IPv4 rule for table 5157"),
    "addresses flushed": (flush_addresses, "address "),
    "links down": (take_links_down, ": up"),
    "another MTU": (change_mtu, "which was 1290"),
    "alias cleared": (clear_alias, ": its alias"),
    "renamed": (rename, "its name, which was vpn0"),
    "routes replaced": (replace_routes, "route fd72::/64 in table 5157"),
    "better routes": (add_better_routes, "a foreign route 10.72.0.1/32"),
}


@pytest.mark.parametrize("kind", INTERFERENCES)
def test_it_is_back_within_a_second_and_said_once(lab: Lab, kind: str) -> None:
    interfere, words = INTERFERENCES[kind]
    lab.start()
    lab.next()  # both devices of WireGuard have their MTU by now
    before = picture(lab.a)
    interfere(lab.a)
    ended = time.monotonic()
    while picture(lab.a) != before:
        assert time.monotonic() < ended + WITHIN + SLACK, set(before) ^ set(
            picture(lab.a)
        )
        time.sleep(0.02)
    assert lab.ping()
    until(lambda: words in lab.a.log.read_text(), f"it is said: {words}")
    said = lab.a.log.read_text()
    lines = [line for line in said.splitlines() if "is restored" in line]
    assert len(lines) == len({line[24:] for line in lines})
    lab.next()


def site_addresses(letter: str) -> tuple[str, str]:
    return f"{INNER[letter]}/32", f"{INNER6[letter]}/128"


@pytest.fixture
def bare(lab: Lab) -> Iterator[Lab]:
    """Two gateways without inside addresses: their sites' are on interfaces."""
    for end in lab.ends:
        edit(end, r"^addresses = .*$", "")
        for address in site_addresses(end.letter):
            ip(end, "address", "add", address, "dev", "lo")
    lab.start()
    yield lab
    for end in lab.ends:
        for address in site_addresses(end.letter):
            ip(end, "address", "delete", address, "dev", "lo")


def test_a_gateways_own_packets_come_from_its_site(bare: Lab) -> None:
    """Without inside addresses and without a word about the source."""
    for end, far in (bare.ends, reversed(bare.ends)):
        for inner in (INNER, INNER6):
            target = inner[far.letter]
            end.namespace.run("ping", "-q", "-c", "2", "-i", "0.1", "-W", "1", target)


def test_a_lan_address_that_goes_and_comes_again(bare: Lab) -> None:
    """It is the source of the gateway's own packets; IPv4 takes its routes along."""
    bare.next()
    before = picture(bare.a)
    for _ in range(2):
        ip(bare.a, "address", "delete", f"{INNER['a']}/32", "dev", "lo")
        until(
            lambda: any(
                line.startswith("10.72.0.0/24 dev") and "src" not in line
                for line in picture(bare.a)
            ),
            "a route without the source",
            WITHIN + SLACK,
        )
        ip(bare.a, "address", "add", f"{INNER['a']}/32", "dev", "lo")
        until(lambda: picture(bare.a) == before, "all as it was", WITHIN + SLACK)
    assert bare.ping(), picture(bare.a)


def test_devices_deleted_come_back_with_new_keys(lab: Lab) -> None:
    lab.start()
    before = lab.newest()
    for name in devices(lab.a):
        with contextlib.suppress(RuntimeError):  # being restored already
            ip(lab.a, "link", "delete", name)
    ended = time.monotonic()
    lab.in_force(after=before)
    assert time.monotonic() < ended + 2 * WITHIN + SLACK
    assert lab.ping()
    assert "is restored" in lab.a.log.read_text()


def test_somebody_who_fights_is_said_and_left_alone_for_a_while(lab: Lab) -> None:
    lab.start()

    def has_rule() -> bool:
        rules = [line for line in picture(lab.a) if line.startswith("5157:")]
        return len(rules) == 2  # one a family

    began = 0.0
    for _ in range(5):
        until(has_rule, "the rule is there", WITHIN + SLACK)
        began = time.monotonic()
        delete_rules(lab.a)
    until(has_rule, "the rule is there", WITHIN + SLACK)
    until(
        lambda: "somebody keeps taking away the IPv4 rule" in lab.a.log.read_text(),
        "it is said",
    )
    delete_rules(lab.a)
    until(has_rule, "another attempt")
    # The pause began when the last one was put back, so not before it was deleted.
    assert time.monotonic() - began >= FIRST_PAUSE
    assert lab.ping()


def test_a_remote_prefix_over_the_own_lan(lab: Lab) -> None:
    """10.0.0.0/8 at the peer covers networks here, reached once an operator says so."""
    edit(
        lab.a, r"^remote_subnets = .*$", 'remote_subnets = ["10.0.0.0/8", "fd72::/64"]'
    )
    ip(lab.a, "link", "add", "lan", "type", "veth", "peer", "name", "lan-host")
    for name in ("lan", "lan-host"):
        ip(lab.a, "link", "set", name, "up")
    ip(lab.a, "address", "add", "10.50.0.1/16", "dev", "lan")
    lab.start()
    try:
        assert "dev lan" in ip(lab.a, "route", "get", "10.50.9.9")
        assert "dev lan" not in ip(lab.a, "route", "get", "10.60.9.9")
        assert lab.ping()
        ip(lab.a, "address", "delete", "10.50.0.1/16", "dev", "lan")
        ip(lab.a, "address", "add", "10.60.0.1/16", "dev", "lan")
        time.sleep(WITHIN)
        assert "dev lan" not in ip(lab.a, "route", "get", "10.60.9.9"), "unasked"
        answer = lab.a.call("reload")
        assert answer["changed"] == ["local networks"]
        assert answer["details"]["local networks"].startswith("10.60.0.0/16 now ")
        (warning,) = answer["warnings"]
        assert warning.startswith("10.60.0.0/16, to which this host is connected, ")
        until(
            lambda: "dev lan" in ip(lab.a, "route", "get", "10.60.9.9"),
            "a network that was connected since, and accepted",
            WITHIN + SLACK,
        )
        assert "dev lan" not in ip(lab.a, "route", "get", "10.50.9.9")
        time.sleep(WITHIN)
        assert "10.60.0.0/16 was missing" not in (said := lab.a.log.read_text())
        assert "the way past table 5157 for" not in said, "nobody took it"
    finally:
        ip(lab.a, "link", "delete", "lan")


def test_a_full_tunnel_leaves_its_own_packets_outside(lab: Lab) -> None:
    """0.0.0.0/0 and ::/0, a default route beside them, and the peer within."""
    everything = 'remote_subnets = ["0.0.0.0/0", "::/0"]'
    edit(lab.a, r"^remote_subnets = .*$", everything)
    ip(lab.a, "route", "add", "default", "via", "192.0.2.2")
    try:
        lab.start()
        assert lab.ping()
        assert "table 5157" in ip(lab.a, "route", "get", "198.51.100.9")
        assert "table 5157" in ip(lab.a, "route", "get", "2001:db8::9")
        marked = ip(lab.a, "route", "get", "192.0.2.2", "mark", "0x51570000")
        assert "table 5157" not in marked
        flush_table(lab.a)
        until(
            lambda: "table 5157" in ip(lab.a, "route", "get", "198.51.100.9"),
            "all leads into the tunnel again",
            WITHIN + SLACK,
        )
        lab.next()
        lab.next()
        assert lab.ping()
    finally:
        ip(lab.a, "route", "delete", "default")
