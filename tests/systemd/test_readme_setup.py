"""README.md's two hosts in ten minutes: every command, on two booted machines."""

import re

import pytest

from tests.systemd import readme
from tests.systemd.behind import GATE, PC, reaches
from tests.systemd.conftest import KEYS, Site, tunnel
from tests.systemd.machine import Machine

pytestmark = pytest.mark.timeout(900)


def mode_of(machine: Machine, path: str) -> str:
    return machine.run("stat", "-c", "%a %U %G", path).stdout.strip()


def test_installing_starts_nothing(site: Site) -> None:
    assert site.said["a after install"] == "inactive"
    assert site.said["b after install"] == "inactive"


def test_what_is_installed_where(site: Site) -> None:
    for machine in site.both:
        assert machine.shell("readlink -f /usr/local/bin/qgw") == "/opt/qgw/bin/qgw\n"
        assert mode_of(machine, "/etc/qgw") == "750 root qgw"
        assert mode_of(machine, "/etc/qgw/peers") == "750 root qgw"
        assert mode_of(machine, "/etc/qgw/identity.key") == "600 qgw qgw"
        assert mode_of(machine, "/etc/credstore/qgw.master-key") == "600 root root"
        assert mode_of(machine, "/var/lib/qgw") == "700 qgw qgw"
        assert mode_of(machine, "/var/lib/qgw/keys.db") == "600 qgw qgw"
        assert mode_of(machine, "/run/qgw") == "711 qgw qgw"
        assert mode_of(machine, "/run/qgw/view.sock") == "660 qgw qgw-view"
        assert mode_of(machine, "/run/qgw/control.sock") == "660 qgw qgw"
        assert mode_of(machine, "/run/wireguard") == "700 qgw qgw"


def test_both_ends_read_the_same_fingerprint(site: Site) -> None:
    (own,) = re.findall(r"fingerprint: (\S+)", site.said["own"])
    (theirs,) = re.findall(r"fingerprint: (\S+)", site.said["theirs"])
    assert own == theirs
    assert own in site.said["identity"]


def test_root_may_check_what_belongs_to_the_daemon(site: Site) -> None:
    done = site.a.run("qgw", "config", "check")
    assert "no problems" in done.stdout


def test_every_key_is_imported(site: Site) -> None:
    assert str(KEYS) in site.said["fill"]


def test_status_shows_the_tunnel_up(site: Site) -> None:
    line = r"^a-b +up +\S+ +\d+ +fresh "
    assert re.search(line, site.said["qgw status"], re.MULTILINE)
    assert "203.0.113.2" in site.said["qgw tunnel"]
    for machine in site.both:
        assert "qkd" in str(tunnel(machine)["sources"])


def test_ping_goes_through_the_tunnel(site: Site) -> None:
    assert "5 received, 0% packet loss" in site.said["ping -I"]


def test_the_sites_reach_each_other(site: Site) -> None:
    said = site.a.shell("ping -c 5 -i 0.2 -I 10.1.0.1 10.2.0.1")
    assert "5 received, 0% packet loss" in said


def test_a_host_of_each_site_reaches_one_of_the_other(site: Site) -> None:
    assert reaches(site.pcs["a"], PC["b"])
    assert reaches(site.pcs["b"], PC["a"])


def test_a_host_reaches_its_own_gateway(site: Site) -> None:
    for letter, pc in site.pcs.items():
        assert reaches(pc, GATE[letter])


def test_the_journal_can_be_asked_for_one_tunnel(site: Site) -> None:
    said = site.said["journalctl -u"]
    assert "epoch" in said
    assert "data plane" not in said  # which is no tunnel's
    assert "No entries" in site.a.shell("journalctl -u qgwd QGW_TUNNEL=no-such")


def test_the_readme_says_no_more_commands_than_were_run() -> None:
    parts = (
        *("scripts/install", "qgw identity new", "[gateway]"),
        *("sysctl.d", "qgw keystore import", "qgw tunnel show"),
        'source = "etsi014"',  # tests/unit/config/test_readme_kme.py loads it
    )
    assert len(readme.blocks()) == len(parts)


def test_the_host_forwards_and_nothing_is_said_of_it(site: Site) -> None:
    for machine in site.both:
        assert machine.shell("cat /proc/sys/net/ipv4/ip_forward") == "1\n"
        assert "forward" not in machine.run("qgw", "status").stdout
