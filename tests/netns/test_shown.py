"""What an operator sees of live daemons: forwarding, counters, devices, monitoring."""

import json
import re
from collections.abc import Iterator

import pytest
from lab.gateway import INNER, NETS
from lab.netns import Namespace

from tests.netns.labs import (
    PORT,
    TUNNEL,
    Gateway,
    Lab,
    edit,
    make_lab,
    plane,
    qgw,
    state,
    status,
    until,
)

IPV4, IPV6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
FIGURES = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")


def kinds(end: Gateway) -> list[str]:
    return [alert["kind"] for alert in end.call("status")["alerts"]]


def forwards(end: Gateway) -> list[str]:
    """Return what is said of forwarding."""
    return [line for line in end.call("status")["warnings"] if "forward" in line]


def health(end: Gateway) -> int:
    """Return the best that `--check` can say: a kernel without a fence is warned of."""
    return 0 if status(end)["fence"]["present"] else 1


def check(end: Gateway, *options: str) -> tuple[int, str]:
    done = qgw(end, "status", "--check", *options)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return done.returncode, line


def test_forwarding_that_is_off_is_warned_of(lab: Lab) -> None:
    host = lab.a.namespace
    for key in (IPV4, IPV6):
        host.run("sysctl", "-qw", f"{key}=0")
    lab.start()
    assert forwards(lab.a) == [
        f"{key} = 0: this host forwards no IPv{version} packet between its networks "
        f"and tunnel {TUNNEL}"
        for version, key in ((4, IPV4), (6, IPV6))
    ]
    code, line = check(lab.a)
    assert code == 1
    assert line.startswith("QGW WARNING - ")
    assert f"{IPV4} = 0: " in line
    for key in (IPV4, IPV6):
        host.run("sysctl", "-qw", f"{key}=1")
    assert forwards(lab.a) == []
    host.run("sysctl", "-qw", f"{IPV4}=0")
    assert len(forwards(lab.a)) == 1


@pytest.fixture
def steady(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways that rotate only when told to."""
    with make_lab(pair, interval=60.0, lifetime=180.0) as made:
        yield made


def test_show_names_what_ip_shows(steady: Lab) -> None:
    lab = steady
    lab.start()
    until(lambda: state(lab.a) == state(lab.b) == "up", "the tunnel")
    shown, peer = lab.a.tunnel(), lab.b.tunnel()
    links = json.loads(lab.a.namespace.run("ip", "-j", "addr"))
    devices = {link["ifname"]: link for link in links}
    assert shown["devices"]
    for device in shown["devices"]:
        real = devices[device["name"]]
        addresses = {f"{a['local']}/{a['prefixlen']}" for a in real["addr_info"]}
        assert device["addresses"]
        assert set(device["addresses"]) <= addresses
        assert device["mtu"] == real["mtu"]
        assert device["up"] == ("UP" in real["flags"])
    assert shown["local_subnets"] == list(NETS["a"])
    assert shown["remote_subnets"] == list(NETS["b"])
    assert shown["peer_address"] == f"{lab.b.namespace.address}:{PORT}"
    assert shown["local_address"] in (None, lab.a.namespace.address)
    (sends,) = (one for one in shown["sessions"] if one["active"])
    (theirs,) = (one for one in peer["sessions"] if one["active"])
    assert sends["peer"].startswith(lab.b.namespace.address)
    if plane() == "esp":
        assert (sends["spi_in"], sends["spi_out"]) == (
            theirs["spi_out"],
            theirs["spi_in"],
        )
    else:
        keys = [device["public_key"] for device in peer["devices"]]
        assert sends["peer_key"] in keys
        ports = [device["port"] for device in peer["devices"]]
        assert int(sends["peer"].rpartition(":")[2]) in ports
    text = qgw(lab.a, "tunnel", "show", TUNNEL).stdout
    assert f"  remote prefixes: {', '.join(NETS['b'])}\n" in text
    assert max(map(len, text.splitlines())) <= 80
    listed = qgw(lab.a, "status").stdout
    assert max(map(len, listed.splitlines())) <= 80


def test_counters_only_grow(steady: Lab) -> None:
    lab = steady
    epoch = lab.start()
    before = dict.fromkeys(FIGURES, 0)
    for turn in range(21):
        assert lab.ping(count=3)
        if turn == 10:
            lab.a.kill()
            lab.a.start()
            lab.a.wait_ready()
            until(lambda: state(lab.a) == "up", "the adopted tunnel")
        elif turn:
            lab.a.call("tunnel.rotate", name=TUNNEL)
            epoch = lab.in_force(epoch)
        shown = lab.a.tunnel()
        for name in FIGURES:
            if shown[name] is None:
                assert plane() != "esp"
                continue
            assert shown[name] >= before[name], (turn, name)
            before[name] = shown[name]
        # Three pings of 84 bytes, sent and answered.
        assert shown["rx_bytes"] >= (turn + 1) * 3 * 84
        assert shown["tx_bytes"] >= (turn + 1) * 3 * 84


def test_monitoring_follows_a_tunnel_down_and_up(lab: Lab) -> None:
    for end in lab.ends:
        for key in (IPV4, IPV6):
            end.namespace.run("sysctl", "-qw", f"{key}=1")
        edit(end, "^rate = .*", "rate = 100.0\nlow_water = 0")
    assert check(lab.a)[0] == 3
    lab.start()
    well = health(lab.a)
    until(lambda: check(lab.a)[0] == well, "a clean bill of health")
    code, line = check(lab.a, "--tunnel", TUNNEL)
    assert code == 0
    assert re.match(
        rf"QGW OK - tunnel {TUNNEL}: up, epoch \d+, in force for \d+s \| ", line
    )
    assert qgw(lab.b, "tunnel", "down", TUNNEL).returncode == 0
    until(lambda: check(lab.a)[0] == 2, "the alarm")
    code, line = check(lab.a)
    assert line.startswith(
        f"QGW CRITICAL - tunnel {TUNNEL}: blocked: the peer took the tunnel down"
    )
    assert check(lab.b)[0] == 1
    assert qgw(lab.b, "tunnel", "up", TUNNEL).returncode == 0
    until(lambda: check(lab.a)[0] == check(lab.b)[0] == well, "health again")
    lab.a.stop()
    code, line = check(lab.a)
    assert code == 3
    assert line.startswith("QGW UNKNOWN - qgwd is not running")


def test_what_the_fence_refuses_is_shown(lab: Lab) -> None:
    """A foreign route leads the prefix elsewhere: refused, counted and said."""
    lab.start()
    if not status(lab.a)["fence"]["present"]:
        pytest.skip("this kernel has no fence: nf_tables is missing")
    until(lambda: state(lab.a) == "up", "the tunnel")
    host, inner = lab.a.namespace, INNER["b"]
    until(lambda: "fence-outward" not in kinds(lab.a), "a quiet fence")
    # Before our own rule, as a policy route of somebody else would be.
    host.run("ip", "route", "add", f"{inner}/32", "dev", host.device, "table", "77")
    host.run("ip", "rule", "add", "to", f"{inner}/32", "pref", "100", "table", "77")
    try:

        def refused() -> bool:
            host.run("ping", "-c", "3", "-i", "0.1", "-W", "1", inner, check=False)
            return "fence-outward" in kinds(lab.a)

        until(refused, "the refusal", 40.0)
    finally:
        host.run("ip", "rule", "del", "pref", "100")
        host.run("ip", "route", "flush", "table", "77")
    assert lab.a.tunnel()["fence"]["dropped_out"] > 0
    assert check(lab.a, "--tunnel", TUNNEL)[0] == 1
