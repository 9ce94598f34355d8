"""Hubs with several addresses, ends that move, and peers inside a remote prefix."""

import time
from collections.abc import Iterator

import pytest
from lab.gateway import INNER, INNER6, PORT
from lab.netns import Namespace, run

from tests.netns.labs import (
    LIFETIME,
    Lab,
    edit,
    failure,
    hosts,
    make_lab,
    ping,
    state,
    status,
    until,
)

SECOND = "192.0.2.22"
"""Another address of the second gateway."""

FIREWALL = """
table inet firewall {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, icmpv6 } accept
    }
}
"""
"""What a branch has: nobody gets in who was not called."""


def add_address(host: Namespace, address: str) -> None:
    """Give a host one more address."""
    run("ip", "-n", host.name, "addr", "add", f"{address}/24", "dev", host.device)


def remove_address(host: Namespace, address: str) -> None:
    """Take an address from a host; others of its network stay."""
    run("ip", "-n", host.name, "addr", "del", f"{address}/24", "dev", host.device)


@pytest.fixture
def calm(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways whose rotations a busy machine does not make fail."""
    with make_lab(pair, interval=5.0, lifetime=15.0) as made:
        yield made


@pytest.fixture
def second_address(calm: Lab) -> Iterator[Lab]:
    """Two gateways; the second has another address."""
    host = calm.b.namespace
    host.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    add_address(host, SECOND)
    yield calm
    remove_address(host, SECOND)


def firewall(host: Namespace, lab: Lab) -> None:
    """Start a stateful firewall."""
    rules = lab.folder / "firewall.nft"
    rules.write_text(FIREWALL)
    host.run("nft", "-f", str(rules))


def test_a_hub_answers_from_the_address_that_was_asked(second_address: Lab) -> None:
    lab, branch = second_address, second_address.a.namespace
    edit(lab.a, "^endpoint = .*", f'endpoint = "{SECOND}:{PORT}"')
    edit(lab.b, "^endpoint = .*", "")
    firewall(branch, lab)
    try:
        lab.start()
        assert lab.a.tunnel()["endpoint"] == f"{SECOND}:{PORT}"
        lab.next()
        assert lab.ping(0)
        assert lab.ping(1)
        assert lab.a.tunnel()["failed_rotations"] == 0
    finally:
        branch.run("nft", "delete", "table", "inet", "firewall")


def test_an_address_to_listen_on_that_comes_later(lab: Lab) -> None:
    port = PORT + 10
    host = lab.b.namespace
    listen = f'listen = ["192.0.2.2:{PORT}", "{SECOND}:{port}"]'
    edit(lab.b, "^listen = .*", listen)
    edit(lab.a, "^endpoint = .*", f'endpoint = "{SECOND}:{port}"')
    edit(lab.b, "^endpoint = .*", "")
    for end in reversed(lab.ends):
        end.start()
    for end in lab.ends:
        end.wait_ready()
    absent = f"{SECOND}, which listen names, is not on this host"
    assert absent in lab.b.tail()
    assert absent in status(lab.b)["warnings"]
    add_address(host, SECOND)
    try:
        lab.in_force()
        assert lab.ping()
        assert lab.a.tunnel()["endpoint"] == f"{SECOND}:{port}"
        until(
            lambda: absent not in status(lab.b)["warnings"],
            "the end of the warning",
            10.0,
        )
        # The first address works beside it.
        edit(lab.a, "^endpoint = .*", f'endpoint = "192.0.2.2:{PORT}"')
        lab.a.call("reload")
        lab.next()
        assert lab.a.tunnel()["endpoint"] == f"192.0.2.2:{PORT}"
        assert lab.ping()
    finally:
        remove_address(host, SECOND)


def test_an_initiator_finds_a_hub_that_moved_there_and_back(
    pair: tuple[Namespace, Namespace],
) -> None:
    # Without keys there is less to say, and what has ended is called elsewhere.
    with make_lab(pair, qkd="off", lifetime=LIFETIME) as lab:
        move_there_and_back(lab)


def move_there_and_back(lab: Lab) -> None:
    lab.start()
    host = lab.b.namespace
    host.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    for old, new in (("192.0.2.2", SECOND), (SECOND, "192.0.2.2")):
        before = lab.newest()
        add_address(host, new)
        remove_address(host, old)
        moved = time.monotonic()
        lab.watcher.wait_in_force(45.0, after=before)
        until(lambda at=new: lab.a.tunnel()["endpoint"] == f"{at}:{PORT}", "the move")  # type: ignore[misc]
        until(lambda: lab.ping(0, count=1) and lab.ping(1, count=1), "traffic", 10.0)
        assert time.monotonic() - moved < 45.0
        assert all(state(end) == "up" for end in lab.ends)


FAR = "203.0.113.9"
"""The second gateway's address beyond the first one's network."""

BEYOND = {"0.0.0.0/0": "198.51.100.9", "::/0": "fd99::9"}
"""By prefix, hosts that only a full tunnel leads to."""


@pytest.fixture
def full_tunnel(calm: Lab) -> Iterator[Lab]:
    """A branch whose tunnel covers everything, and with it the hub's own address."""
    lab = calm
    branch, hub = lab.a.namespace, lab.b.namespace
    for address in (f"{FAR}/32", f"{BEYOND['0.0.0.0/0']}/32", f"{BEYOND['::/0']}/128"):
        run("ip", "-n", hub.name, "addr", "add", address, "dev", "lo")
    run("ip", "-n", branch.name, "route", "add", "default", "via", hub.address)
    # Guards that other tests' configurations left would be more specific.
    for family in ("-4", "-6"):
        branch.run("ip", family, "route", "flush", "table", "5157", check=False)
    edit(lab.a, "^endpoint = .*", f'endpoint = "{FAR}:{PORT}"')
    edit(lab.b, "^endpoint = .*", "")
    edit(lab.b, "^local_subnets = .*", "")
    edit(lab.a, "^remote_subnets = .*", f"remote_subnets = {[*BEYOND]}")
    yield lab
    run("ip", "-n", branch.name, "route", "del", "default", check=False)
    run("ip", "-n", hub.name, "addr", "flush", "dev", "lo", "scope", "global")


def test_a_full_tunnel_covers_its_own_endpoint(full_tunnel: Lab) -> None:
    lab, branch = full_tunnel, full_tunnel.a.namespace
    lab.start()
    assert lab.a.tunnel()["endpoint"] == f"{FAR}:{PORT}"
    for host, source in zip(BEYOND.values(), (INNER["a"], INNER6["a"]), strict=True):
        assert ping(branch, source, host)
    assert ping(lab.b.namespace, INNER["b"], INNER["a"])
    for _ in range(2):  # and while it carries all there is
        lab.next()
    assert lab.a.tunnel()["failed_rotations"] == 0
    # Dead, found again, and everything comes back.
    lab.b.kill()
    until(lambda: state(lab.a) != "up", "the end of the tunnel", 30.0)
    lab.b.start()
    lab.b.wait_ready()
    lab.next()
    assert ping(branch, INNER["a"], BEYOND["0.0.0.0/0"])


def test_a_strict_filter_drops_what_a_covered_peer_sends(full_tunnel: Lab) -> None:
    lab, branch = full_tunnel, full_tunnel.a.namespace
    strict = f"net.ipv4.conf.{branch.device}.rp_filter"
    branch.run("sysctl", "-qw", f"{strict}=1")
    # Which answers a marked packet would not help one that comes without the mark.
    branch.run("sysctl", "-qw", "net.ipv4.conf.all.src_valid_mark=1")
    try:
        for end in reversed(lab.ends):
            end.start()
        for end in lab.ends:
            end.wait_ready()
        until(lambda: failure(lab.a), "a failure", 15.0)
        assert state(lab.a) != "up"
        until(
            lambda: any("rp_filter" in line for line in status(lab.a)["warnings"]),
            "the warning",
        )
        branch.run("sysctl", "-qw", f"{strict}=2")
        lab.in_force()
        assert ping(branch, INNER["a"], BEYOND["0.0.0.0/0"])
    finally:
        branch.run("sysctl", "-qw", f"{strict}=0")
        branch.run("sysctl", "-qw", "net.ipv4.conf.all.src_valid_mark=0")


def test_the_same_over_ipv6() -> None:
    second = "fd00:71::22"
    with hosts("reach6", ipv6=True) as pair, make_lab(pair, lifetime=20.0) as lab:
        branch, hub = pair
        run("ip", "-n", hub.name, "addr", "add", f"{second}/64", "dev", hub.device,
            "nodad")  # fmt: skip
        far = BEYOND["::/0"]
        run("ip", "-n", hub.name, "addr", "add", f"{far}/128", "dev", "lo")
        edit(lab.a, "^endpoint = .*", f'endpoint = "[{second}]:{PORT}"')
        edit(lab.b, "^endpoint = .*", "")
        edit(lab.b, "^local_subnets = .*", "")
        edit(lab.a, "^remote_subnets = .*", f"remote_subnets = {[*BEYOND]}")
        firewall(branch, lab)
        lab.start()
        assert lab.a.tunnel()["endpoint"] == f"[{second}]:{PORT}"
        assert ping(branch, INNER6["a"], far)
        lab.next()
        assert ping(branch, INNER6["a"], far)
