"""``scripts/install`` taken off, put on again, and put over an older release."""

import pytest

from tests.systemd.conftest import CLONE, PATIENCE, Site, leave_as_found, wait_up
from tests.systemd.machine import wait_until
from tests.systemd.test_keeper import has_owners

pytestmark = pytest.mark.timeout(900)

UNITS = "/etc/systemd/system"


def test_taking_it_off_leaves_nothing_and_it_can_be_put_on_again(site: Site) -> None:
    wait_up(*site.both)
    site.b.shell(f"systemctl disable --now qgwd; {CLONE}/scripts/install --uninstall")
    assert "qgw" not in site.b.shell("nft list ruleset; ip -br link; ls /run /opt")
    assert "qgw" not in site.b.shell(f"find {UNITS} /usr/local/bin; ps -e -o comm")
    site.b.shell(f"cd {CLONE} && scripts/install")
    site.b.run("systemctl", "enable", "--now", "qgw-fence", "qgwd")
    leave_as_found(site)


def test_a_release_without_a_keeper_is_replaced(site: Site) -> None:
    wait_up(*site.both)
    site.b.shell(
        f"systemctl stop qgw-keeper; rm {UNITS}/qgw-keeper.service\n"
        "systemctl daemon-reload; systemctl restart qgwd"
    )
    wait_up(site.b)
    site.b.shell(f"cd {CLONE} && scripts/install")
    site.b.run("systemctl", "restart", "qgwd")
    leave_as_found(site)
    if has_owners():
        assert site.b.show("qgw-keeper", "ActiveState") == "active"
        site.b.shell("systemctl stop qgwd; nft flush ruleset")
        assert "drop" in site.b.shell("nft list table inet qgw")
        site.b.run("systemctl", "start", "qgwd")
        leave_as_found(site)
    wait_until(
        lambda: site.b.show("qgw-fence", "ActiveState") == "active", PATIENCE, "no unit"
    )
