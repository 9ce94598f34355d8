"""Whole daemons over ESP: a hub with two addresses, and a tunnel that covers it."""

import contextlib
from collections.abc import Iterator

import pytest
from lab.gateway import INNER, PORT
from lab.netns import Namespace, run

from tests.kernel.pace import TEST_LIMIT
from tests.netns.labs import Lab, edit, hosts, make_lab, ping

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * TEST_LIMIT)]

FIRST, SECOND = "192.0.2.2", "192.0.2.22"
FAR, BEYOND = "203.0.113.9", "198.51.100.9"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two hosts; the second has more than one address."""
    with hosts("reached") as made:
        hub = made[1]
        add = ("ip", "-n", hub.name, "addr", "add")
        run(*add, f"{SECOND}/24", "dev", hub.device)
        for far in (FAR, BEYOND):
            run(*add, f"{far}/32", "dev", "lo")
        yield made


@contextlib.contextmanager
def make(pair: tuple[Namespace, Namespace], *, encap: bool) -> Iterator[Lab]:
    """Two gateways over ESP, in UDP or not; the second waits to be called."""
    with make_lab(pair, plane="esp", encap=encap) as made:
        edit(made.b, "^endpoint = .*", "")
        yield made


def associations(host: Namespace) -> set[str]:
    """Return the addresses of a host's SAs."""
    lines = host.run("ip", "xfrm", "state").splitlines()
    return {
        word for line in lines if line.startswith("src") for word in line.split()[1::2]
    }


@pytest.mark.parametrize("encap", [False, True])
def test_associations_have_the_address_that_was_asked(
    pair: tuple[Namespace, Namespace], *, encap: bool
) -> None:
    with make(pair, encap=encap) as lab:
        call_the_second_address(lab)


def call_the_second_address(lab: Lab) -> None:
    branch = lab.a.namespace
    edit(lab.a, "^endpoint = .*", f'endpoint = "{SECOND}:{PORT}"')
    # A firewall at the branch, for a kernel without one: nothing comes from FIRST.
    branch.run("ip", "route", "add", "blackhole", FIRST)
    branch.run("sysctl", "-qw", f"net.ipv4.conf.{branch.device}.rp_filter=1")
    try:
        lab.start()
        lab.next()
        assert lab.ping(0)
        assert lab.ping(1)
        for end in lab.ends:
            assert associations(end.namespace) == {branch.address, SECOND}
    finally:
        branch.run("ip", "route", "del", "blackhole", FIRST)
        branch.run("sysctl", "-qw", f"net.ipv4.conf.{branch.device}.rp_filter=0")


def test_a_full_tunnel_covers_its_own_endpoint(
    pair: tuple[Namespace, Namespace],
) -> None:
    with make(pair, encap=True) as lab:
        cover_the_endpoint(lab)


def cover_the_endpoint(lab: Lab) -> None:
    branch = lab.a.namespace
    run("ip", "-n", branch.name, "route", "add", "default", "via", FIRST)
    edit(lab.a, "^endpoint = .*", f'endpoint = "{FAR}:{PORT}"')
    edit(lab.a, "^remote_subnets = .*", 'remote_subnets = ["0.0.0.0/0"]')
    edit(lab.b, "^local_subnets = .*", "")
    try:
        lab.start()
        assert associations(branch) == {branch.address, FAR}
        assert ping(branch, INNER["a"], BEYOND)
        lab.next()
        assert ping(branch, INNER["a"], BEYOND)
        assert lab.a.tunnel()["failed_rotations"] == 0
    finally:
        run("ip", "-n", branch.name, "route", "del", "default", check=False)
