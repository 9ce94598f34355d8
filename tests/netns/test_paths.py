"""IPv6, names, addresses that change, and several peers at one port."""

import time

import pytest
from lab.gateway import INNER, INNER6, LINK, PORT, Gateway
from lab.netns import Namespace, run

from gateway.config.identity_files import (
    write_private_identity,
    write_public_identity,
)
from gateway.crypto.identity import (
    encode_private,
    encode_public,
    generate_identity,
)
from gateway.keystore.master_key import create_master_key
from gateway.sources.simulated.seed import create_seed
from tests.netns.labs import (
    TUNNEL,
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


@pytest.mark.lossless
def test_ipv6_outside_and_inside() -> None:
    with hosts("v6", ipv6=True) as pair, make_lab(pair) as lab:
        lab.start()
        assert lab.a.tunnel()["endpoint"] == f"[{pair[1].address}]:{PORT}"
        assert ping(pair[0], INNER6["a"], INNER6["b"])
        assert ping(pair[1], INNER6["b"], INNER6["a"])
        with lab.traffic(4.0) as result:  # IPv4 inside
            lab.next()
        assert result["lost"] == 0


def test_ipv6_inside_ipv4(lab: Lab) -> None:
    lab.start()
    assert ping(lab.a.namespace, INNER6["a"], INNER6["b"])
    assert ping(lab.b.namespace, INNER6["b"], INNER6["a"])


def test_a_name_whose_address_changes(lab: Lab) -> None:
    names = lab.folder / "hosts"
    names.write_text("127.0.0.1 localhost\n192.0.2.2 peer-b.test\n")
    lab.a.binds = ((names, "/etc/hosts"),)
    edit(lab.a, "^endpoint = .*", f'endpoint = "peer-b.test:{PORT}"')
    lab.start()
    assert lab.a.tunnel()["endpoint"] == f"192.0.2.2:{PORT}"
    lab.b.stop()
    before = lab.newest()
    host = lab.b.namespace
    move(host, "192.0.2.22")
    try:
        names.write_text("127.0.0.1 localhost\n192.0.2.22 peer-b.test\n")
        lab.b.start()
        lab.b.wait_ready()
        lab.watcher.wait_in_force(30.0, after=before)
        assert lab.a.tunnel()["endpoint"] == f"192.0.2.22:{PORT}"
        assert lab.ping()
    finally:
        move(host, host.address)


def move(host: Namespace, address: str) -> None:
    """Give a host another address, as after a lease has ended."""
    run("ip", "-n", host.name, "-4", "addr", "flush", "dev", host.device)
    run("ip", "-n", host.name, "addr", "add", f"{address}/24", "dev", host.device)


def test_a_name_that_does_not_exist(lab: Lab) -> None:
    names = lab.folder / "hosts"
    names.write_text("127.0.0.1 localhost\n")
    lab.a.binds = ((names, "/etc/hosts"),)
    edit(lab.a, "^endpoint = .*", f'endpoint = "peer-b.test:{PORT}"')
    for end in reversed(lab.ends):
        end.start()
    lab.a.wait_ready()
    until(lambda: failure(lab.a), "the failure")
    assert failure(lab.a).startswith("cannot resolve peer-b.test: ")
    assert "DNS" in lab.a.tunnel()["hint"]
    names.write_text("192.0.2.2 peer-b.test\n")
    lab.in_force()


def test_a_branch_that_moves_is_followed(lab: Lab) -> None:
    edit(lab.b, "^endpoint = .*", "")
    lab.start()
    host = lab.a.namespace
    for new in ("192.0.2.11", "192.0.2.1"):
        before = lab.newest()
        move(host, new)
        moved = time.monotonic()
        lab.in_force(before)
        until(lambda at=new: lab.b.tunnel()["endpoint"] == f"{at}:{PORT}", "the move")  # type: ignore[misc]
        until(lambda: lab.ping(0, count=1) and lab.ping(1, count=1), "traffic", 10.0)
        assert time.monotonic() - moved < 12.0
        assert all(state(end) == "up" for end in lab.ends)


def add_spoke(lab: Lab, host: Namespace) -> Gateway:
    """Make a third gateway with a tunnel of its own to the second."""
    hub = lab.b
    spoke = Gateway("c", host, lab.folder / "g" / "c")
    spoke.folder.mkdir(mode=0o700)
    identity = generate_identity(1)
    write_private_identity(spoke.folder / "identity", encode_private(identity))
    public = encode_public(identity.public)
    write_public_identity(hub.folder / "c.pub", public)
    hub_public = (lab.a.folder / "peer.pub").read_text()
    write_public_identity(spoke.folder / "peer.pub", hub_public)
    create_master_key(spoke.folder / "master-key")
    create_seed(spoke.folder / "seed")
    seed = hub.folder / "seed-c"
    seed.touch(mode=0o600)
    seed.write_bytes((spoke.folder / "seed").read_bytes())
    text = (lab.a.folder / "gateway.toml").read_text()
    text = text.replace("10.71.", "10.73.").replace("fd71:", "fd73:")
    text = text.replace(LINK, "link-c").replace(f"tunnels.{TUNNEL}", "tunnels.spoke")
    path = spoke.folder / "gateway.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    own = (hub.folder / "gateway.toml").read_text()
    link = own[own.index("[links.") : own.index("[tunnels.")]
    tunnel = own[own.index("[tunnels.") :]
    link = link.replace(LINK, "link-c").replace('"seed"', '"seed-c"')
    for old, new in (
        (f"tunnels.{TUNNEL}", "tunnels.spoke"),
        (LINK, "link-c"),
        ("peer.pub", "c.pub"),
        (f"192.0.2.1:{PORT}", f"{host.address}:{PORT}"),
        ("10.71.", "10.73."),
        ("fd71:", "fd73:"),
    ):
        tunnel = tunnel.replace(old, new)
    (hub.folder / "gateway.toml").write_text(own + link + tunnel)
    return spoke


@pytest.mark.lossless
def test_a_hub_with_two_branches_over_one_port(lab: Lab) -> None:
    host = lab.join_host("c", "192.0.2.3")
    spoke = add_spoke(lab, host)
    try:
        spoke.start()
        lab.start()
        spoke.wait_ready()
        until(
            lambda: (
                spoke.call("tunnel.show", name="spoke")["in_force"]["peer"]
                and lab.b.call("tunnel.show", name="spoke")["in_force"]["local"]
            ),
            "the second tunnel",
        )
        assert len(status(lab.b)["listen"]) == 1
        assert ping(host, "10.73.0.1", INNER["b"])
        # One branch goes: the other notices nothing.
        with lab.traffic(4.0) as result:
            spoke.kill()
            assert lab.b.call("tunnel.down", name="spoke")["state"] == "down"
            lab.next()
        assert result["lost"] == 0
        assert not ping(host, "10.73.0.1", INNER["b"])
        assert lab.b.call("tunnel.up", name="spoke")
        spoke.start()
        spoke.wait_ready()
        until(lambda: ping(host, "10.73.0.1", INNER["b"]), "the branch's return")
        # Different tunnels never share a key.
        key_ids = {
            lab.b.call("tunnel.show", name=name)["key_id"] for name in (TUNNEL, "spoke")
        }
        assert len(key_ids) == 2
    finally:
        spoke.stop()
        spoke.end_children()
