"""Other firewalls beside the fence: their starts, reloads and ends leave it."""

import shutil
from pathlib import Path

import pytest

from gateway.dataplane.fence.nft.fence import NftFence
from tests.kernel.fence.place import DEVICE, LAN, NAME, REMOTE, Place
from tests.kernel.fence.test_fence_changes import timeless

MARKER = "== another step =="

NFTABLES = """
for turn in 1 2; do
  nft -f {folder}/nftables.conf
  step
done
nft flush ruleset
step
"""

RULESET = """
flush ruleset
table inet filter {
  chain input { type filter hook input priority filter; policy accept;
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ip daddr 10.2.0.0/16 accept
  }
  chain output { type filter hook output priority filter; policy accept;
  }
}
"""

# What docker makes, and what it does when it starts again.
DOCKER = """
for turn in 1 2; do
  iptables -P FORWARD DROP
  iptables -N DOCKER-USER || iptables -F DOCKER-USER
  iptables -I FORWARD -j DOCKER-USER
  iptables -A DOCKER-USER -j RETURN
  iptables -t nat -N DOCKER || iptables -t nat -F DOCKER
  iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
  iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
  iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 80 \
    -j DNAT --to-destination 172.17.0.2:80
  step
done
iptables -F
iptables -t nat -F
iptables-save > {folder}/saved
iptables-restore < {folder}/saved
step
"""

UFW = """
cp -r /etc/ufw {folder}/etc-ufw
cp /etc/default/ufw {folder}/default-ufw
mount --bind {folder}/etc-ufw /etc/ufw
mount --bind {folder}/default-ufw /etc/default/ufw
ufw --force enable
step
ufw allow 51810:51812/udp
ufw reload
step
ufw --force reset
step
"""

FIREWALLD = """
mkdir -p /run/dbus {folder}/bus {folder}/firewalld
mount --bind {folder}/bus /run/dbus
mount --bind {folder}/firewalld /etc/firewalld
dbus-daemon --system --nofork --nopidfile &
bus=$!
for turn in $(seq 50); do [ -S /run/dbus/system_bus_socket ] && break; sleep 0.1; done
firewalld --nofork --nopid >/dev/null 2>&1 &
daemon=$!
for turn in $(seq 300); do firewall-cmd --state && break; sleep 0.2; done
firewall-cmd --state
step
firewall-cmd --permanent --add-port=51810-51812/udp
firewall-cmd --reload
step
firewall-cmd --complete-reload
step
kill $daemon
wait $daemon || true
step
kill $bus
"""

PROGRAMS = {
    "nftables": (NFTABLES, ()),
    "docker": (DOCKER, ("iptables",)),
    "ufw": (UFW, ("ufw", "iptables")),
    "firewalld": (FIREWALLD, ("firewalld", "dbus-daemon")),
}

# Debian's package starts the daemon: setup does not install it on your machine.
STARTS = pytest.mark.may_skip("installing firewalld starts it on this machine")
KINDS = [
    pytest.param(kind, marks=[STARTS] if kind == "firewalld" else [])
    for kind in PROGRAMS
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_others_leave_the_fence_as_it_is(
    place: Place, fence: NftFence, tmp_path: Path, kind: str
) -> None:
    script, programs = PROGRAMS[kind]
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: run scripts/setup test")
    if "flags owner" not in place.listing() and "flush" in script:
        pytest.skip("this kernel's tables have no owners: needs Linux 6.9")
    (tmp_path / "nftables.conf").write_text(RULESET)
    fence.grant(NAME, DEVICE, 3600)
    before = timeless(place.listing())
    step = f'step() {{ echo "{MARKER}"; nft list table inet qgw; }}\n'
    said = place.run(
        "gateway",
        "sh",
        "-c",
        "set -eu; " + step + script.format(folder=tmp_path),
        timeout=150,
    )
    listings = said.split(MARKER)[1:]
    assert len(listings) >= 3
    for listed in listings:
        table = listed[: listed.index("\n}\n") + 2]
        assert timeless(table) == before
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}
    place.divert()
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    assert place.arrivals("lan", REMOTE[4]) == set()


@pytest.mark.parametrize("way", ["rp_filter", "rule"])
def test_a_source_of_our_site_from_outside_is_for_the_host_to_refuse(
    place: Place, fence: NftFence, way: str
) -> None:
    """As docs/troubleshooting.md says; what Debian sets is not enough."""
    fence.grant(NAME, DEVICE, 60)
    place.ip("far", "addr add 10.2.0.11/32 dev lo")
    place.ip("wan", f"addr add {LAN[4]}/32 dev lo")

    def forged() -> set[str]:
        return place.arrivals("wan", "10.2.0.11", source=LAN[4])

    def strictness(value: int) -> None:
        setting = f"net.ipv4.conf.wan0.rp_filter={value}"
        place.run("gateway", "sysctl", "-qw", setting)

    strictness(2)
    assert forged() == {"far"}
    if way == "rp_filter":
        strictness(1)
    else:
        chain = "{ type filter hook forward priority 0; policy accept; }"
        place.nft(f"add table inet filter; add chain inet filter forward {chain}")
        place.nft(
            'insert rule inet filter forward iifname "wan0" ip saddr 10.1.0.0/16 drop'
        )
    assert forged() == set()
    assert place.arrivals("lan", "10.2.0.11") == {"far"}
