"""A gateway boots: the early unit refuses before the network is up, the daemon grants.

The machines' processes go on; what a boot does is done to them: all that the gateway
keeps in the kernel is gone, and its units start in their order.
"""

import pytest
from lab.clear_text import ClearText
from lab.netns import run

from tests.systemd.behind import PC, reaches
from tests.systemd.conftest import MARKER, PATIENCE, Site, wait_up
from tests.systemd.machine import Machine, wait_until
from tests.underload.findings import never

pytestmark = pytest.mark.timeout(900)


def forget(machine: Machine) -> None:
    """End the daemon and what outlives it, and empty the kernel of both."""
    machine.run("systemctl", "stop", "qgwd", "qgw-fence", "qgw-keeper")
    machine.shell("pgrep -x wireguard-go | xargs -r kill")
    wait_until(
        lambda: bool(machine.run("pgrep", "wireguard-go", check=False).returncode),
        PATIENCE,
        "wireguard-go lives on",
    )
    machine.shell(
        "nft flush ruleset; ip xfrm state flush; ip xfrm policy flush\n"
        "for family in -4 -6; do\n"
        "  ip $family rule del pref 5157 || true\n"
        "  ip $family route flush table 5157 || true\n"
        "done\n"
        "for device in $(ls /sys/class/net | grep ^qgw); do ip link del $device; done"
    )
    gone = machine.shell("ip -br link; ip rule; nft list ruleset")
    assert "qgw" not in gone
    assert "5157" not in gone


def test_hosts_reach_each_other_after_a_boot(site: Site, wire: ClearText) -> None:
    router = {"a": "203.0.113.2", "b": "203.0.113.1"}
    for machine in site.both:
        forget(machine)
        machine.run("systemctl", "start", "qgw-fence")
        # Without a fence, what the other site's hosts are sent would leave by this.
        run("ip", "-n", machine.namespace.name, "route", "add", "default",
            "via", router[machine.name])  # fmt: skip
    pattern = MARKER.hex()
    asked = ("ping", "-q", "-c", "5", "-i", "0.2", "-W", "1", "-p", pattern[:32])
    said = site.pcs["a"].run(*asked, PC["b"], check=False)
    assert "0 received" in said
    never(list(wire.examples), "frames in clear")
    for machine in site.both:
        machine.run("systemctl", "start", "qgwd")
    wait_up(*site.both)
    assert reaches(site.pcs["a"], PC["b"])
    assert reaches(site.pcs["b"], PC["a"])
    site.pcs["a"].run(*asked, PC["b"])
    never(list(wire.examples), "frames in clear")


def test_the_capture_would_see_it(site: Site, wire: ClearText) -> None:
    pattern = MARKER.hex()[:32]
    site.a.run("ping", "-q", "-c", "3", "-i", "0.2", "-p", pattern, "203.0.113.2")
    wait_until(
        lambda: wire.total >= 3, PATIENCE, f"{wire.frames} and none with the marker"
    )


def test_the_early_unit_is_enabled_and_comes_first(site: Site) -> None:
    for machine in site.both:
        assert machine.show("qgw-fence", "UnitFileState") == "enabled"
        before = machine.show("qgw-fence", "Before").split()
        assert {"network-pre.target", "qgwd.service"} <= set(before)
