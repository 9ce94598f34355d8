"""What this host's settings keep tunnels from doing, as the kernel's files say."""

import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Endpoint, GatewayConfig
from gateway.dataplane.host import check_host

ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010071CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth1\t007100CB\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)
"""203.0.113.0/24 by eth0; the same by eth1, whose route is down; a default by eth0."""

NETWORKS = 'local_subnets = ["10.1.0.0/16"]\nremote_subnets = ["10.2.0.0/16"]\n'
NETWORKS_6 = 'local_subnets = ["fd01::/64"]\nremote_subnets = ["fd02::/64"]\n'


def settings(folder: Path, **values: int) -> Path:
    """Write files as under /proc/sys/net; names have ``__`` for slashes."""
    defaults = {
        "ipv4__ip_forward": 1,
        "ipv4__conf__all__forwarding": 1,
        "ipv4__conf__all__rp_filter": 0,
        "ipv4__conf__eth0__forwarding": 1,
        "ipv4__conf__eth0__rp_filter": 0,
        "ipv4__conf__lo__forwarding": 1,
        "ipv6__conf__all__forwarding": 1,
    }
    for name, value in (defaults | values).items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (folder / "route").write_text(ROUTES)
    return folder


def configured(folder: Path, *tunnels: str) -> GatewayConfig:
    """Load a configuration with tunnels t0, t1, ... of these lines."""
    text = '[gateway]\nidentity = "identity.key"\n'
    for number, lines in enumerate(tunnels):
        text += (
            f'[tunnels.t{number}]\npeer = "peers/{number}.pub"\nqkd = "off"\n'
            f'interface = "qgw{number}"\nplane = "esp"\n'
        )
        text += lines if "endpoint" in lines else f'endpoint = "192.0.2.1"\n{lines}'
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_config(path)


def found(folder: Path, config: GatewayConfig, **values: int) -> list[str]:
    """Return text and hint of each finding, one after the other."""
    tree = settings(folder, **values)
    findings = check_host(config, tree, tree / "route", (tree / "resolv.conf",))
    return [line for one in findings for line in (one.text, one.hint)]


OFF = {"ipv4__ip_forward": 0, "ipv4__conf__eth0__forwarding": 0}


def test_a_host_that_forwards_is_right(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS, NETWORKS_6)
    assert found(tmp_path, config) == []


def test_forwarding_is_off(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS)
    assert found(tmp_path, config, **OFF) == [
        (
            "net.ipv4.ip_forward = 0: this host forwards no IPv4 packet between its "
            "networks and tunnel t0"
        ),
        (
            "echo net.ipv4.ip_forward=1 >> /etc/sysctl.d/90-qgw.conf "
            "&& systemctl restart systemd-sysctl"
        ),
    ]


def test_ipv6_has_a_switch_of_its_own(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS, NETWORKS_6)
    assert found(tmp_path, config, ipv6__conf__all__forwarding=0) == [
        (
            "net.ipv6.conf.all.forwarding = 0: this host forwards no IPv6 packet "
            "between its networks and tunnel t1"
        ),
        (
            "echo net.ipv6.conf.all.forwarding=1 >> /etc/sysctl.d/90-qgw.conf "
            "&& systemctl restart systemd-sysctl"
        ),
    ]


def test_an_interface_may_forward_alone(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS)
    assert found(tmp_path, config, ipv4__ip_forward=0) == []


LAN = ROUTES + "lan.7\t0005010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
"""10.1.5.0/24 by lan.7 beside."""


@pytest.mark.parametrize(
    ("name", "way"), [("lan.7", "into"), ("qgw0", "out of"), ("qgw-wg1", "out of")]
)
def test_an_interface_may_forward_nothing_alone(
    tmp_path: Path, name: str, way: str
) -> None:
    config = configured(tmp_path, NETWORKS)
    tree = settings(tmp_path, **{f"ipv4__conf__{name}__forwarding": 0})
    (tree / "route").write_text(LAN)
    (finding,) = check_host(config, tree, tree / "route", (tree / "resolv.conf",))
    assert finding.kind == "forwarding-off"
    assert finding.text == (
        f"net.ipv4.conf.{name}.forwarding = 0: this host forwards no IPv4 packet that "
        f"comes in by {name} {way} tunnel t0"
    )
    assert f"net/ipv4/conf/{name}/forwarding=1" in finding.hint


def test_interfaces_that_lead_to_no_site_need_not_forward(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS)
    assert found(tmp_path, config, ipv4__conf__eth0__forwarding=0) == []
    assert found(tmp_path, config, ipv4__conf__mgmt__forwarding=0) == []
    inside_only = 'addresses = ["10.9.0.1/30"]\nremote_subnets = ["10.9.0.0/30"]\n'
    only = configured(tmp_path, inside_only)
    assert found(tmp_path, only, ipv4__conf__qgw0__forwarding=0) == []


@pytest.mark.parametrize(
    "lines",
    [
        'addresses = ["10.9.0.1/30"]\nremote_subnets = ["10.9.0.0/30"]\n',
        'local_subnets = ["10.1.0.5/32"]\nremote_subnets = ["10.2.0.0/16"]\n',
        NETWORKS + "enabled = false\n",
    ],
    ids=["inside network only", "a host, not a network", "not brought up"],
)
def test_what_needs_no_forwarding(tmp_path: Path, lines: str) -> None:
    assert found(tmp_path, configured(tmp_path, lines), **OFF) == []


def test_a_hub_names_a_few_tunnels(tmp_path: Path) -> None:
    tunnels = [f'remote_subnets = ["10.{n}.0.0/16"]\n' for n in range(5)]
    text, _ = found(tmp_path, configured(tmp_path, *tunnels), **OFF)
    assert text.endswith("its networks and tunnels t0, t1, t2 and 2 more")


def test_settings_that_cannot_be_read_are_no_finding(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS, NETWORKS_6)
    assert check_host(config, tmp_path / "none", tmp_path / "no route") == ()


def inside(folder: Path) -> GatewayConfig:
    """Return one tunnel whose peer is inside its remote prefix."""
    config = configured(folder, 'remote_subnets = ["203.0.113.0/24"]\n')
    tunnel = replace(config.tunnels["t0"], endpoint=Endpoint("203.0.113.2", 51810))
    return replace(config, tunnels={"t0": tunnel})


@pytest.mark.parametrize("where", ["all", "eth0"])
def test_a_strict_filter_and_a_peer_inside_a_remote_prefix(
    tmp_path: Path, where: str
) -> None:
    config = inside(tmp_path)
    values = {f"ipv4__conf__{where}__rp_filter": 1}
    assert found(tmp_path, config, **values) == [
        (
            "rp_filter is strict on eth0: the kernel drops what the peer of tunnel t0 "
            "sends, for the peer's address is inside a remote prefix"
        ),
        (
            "echo net/ipv4/conf/eth0/rp_filter=2 >> /etc/sysctl.d/90-qgw.conf "
            "&& systemctl restart systemd-sysctl"
        ),
    ]


def test_a_loose_filter_on_the_interface_is_enough(tmp_path: Path) -> None:
    values = {"ipv4__conf__all__rp_filter": 1, "ipv4__conf__eth0__rp_filter": 2}
    assert found(tmp_path, inside(tmp_path), **values) == []


def test_a_strict_filter_harms_no_peer_outside(tmp_path: Path) -> None:
    config = configured(tmp_path, NETWORKS)
    assert found(tmp_path, config, ipv4__conf__all__rp_filter=1) == []


def test_a_hub_is_checked_quickly(tmp_path: Path) -> None:
    config = inside(tmp_path)
    tunnel = config.tunnels["t0"]
    tunnels = {
        f"t{n}": replace(
            tunnel,
            name=f"t{n}",
            endpoint=Endpoint(f"192.0.{n % 250}.{n // 250}", 51810),
            remote_subnets=(ip_network(f"10.{n // 250}.{n % 250}.0/24"),),
        )
        for n in range(5000)
    }
    hub = replace(config, tunnels=tunnels | {"last": tunnel})
    began = time.process_time()
    text, _ = found(tmp_path, hub, ipv4__conf__all__rp_filter=1)
    assert "tunnel t0" in text
    # Some 30 ms; each peer against each prefix would be 10 s.
    assert time.process_time() - began < 3.0


EVERYTHING = 'remote_subnets = ["0.0.0.0/0", "::/0"]\n'
NAMED = 'endpoint = "hq.example.org"\n'


@pytest.mark.parametrize(
    ("tunnel", "servers", "covered"),
    [
        (NAMED + EVERYTHING, ["9.9.9.9", "2620:fe::fe"], "9.9.9.9, 2620:fe::fe"),
        (NAMED + EVERYTHING, ["9.9.9.9", "203.0.113.7"], None),  # on the link of eth0
        (NAMED + EVERYTHING, ["127.0.0.53"], None),
        (NAMED + EVERYTHING, [], None),
        (NAMED + EVERYTHING + 'local_subnets = ["9.9.9.0/24"]\n', ["9.9.9.9"], None),
        (NAMED + 'remote_subnets = ["10.2.0.0/16"]\n', ["10.2.0.53"], "10.2.0.53"),
        (NAMED + 'remote_subnets = ["10.2.0.0/16"]\n', ["9.9.9.9"], None),
        ('endpoint = "192.0.2.1"\n' + EVERYTHING, ["9.9.9.9"], None),
    ],
)
def test_a_nameserver_that_only_the_tunnel_leads_to(
    tmp_path: Path, tunnel: str, servers: list[str], covered: str | None
) -> None:
    lines = ["# made by hand", "search example.org", "nameserver", "options rotate"]
    lines += [f"nameserver {server}" for server in servers]
    (tmp_path / "resolv.conf").write_text("\n".join(lines) + "\n")
    findings = found(tmp_path, configured(tmp_path, tunnel))
    if covered is None:
        assert findings == []
    else:
        assert findings == [
            (
                f"nameserver {covered} is inside a remote prefix: hq.example.org "
                "cannot be resolved before tunnel t0 is up"
            ),
            "give endpoint as an address, or write the name into /etc/hosts",
        ]


def test_the_first_file_with_nameservers_counts(tmp_path: Path) -> None:
    tree = settings(tmp_path)
    config = configured(tmp_path, NAMED + EVERYTHING)
    files = (tree / "missing", tree / "resolved", tree / "resolv.conf")
    files[1].write_text("nameserver 9.9.9.9\n")
    files[2].write_text("nameserver 127.0.0.53\n")
    (finding,) = check_host(config, tree, tree / "route", files)
    assert finding.kind == "nameserver-covered"
