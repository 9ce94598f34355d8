"""README.md's ruleset for nftables, on two machines that then refuse all else."""

from collections.abc import Iterator

import pytest

from tests.systemd import readme
from tests.systemd.behind import GATE, PC, reaches
from tests.systemd.conftest import PATIENCE, Site, tunnel, wait_up
from tests.systemd.machine import wait_until

pytestmark = pytest.mark.timeout(900)

RULESET = "/etc/nftables.conf"


@pytest.fixture
def walled(site: Site) -> Iterator[Site]:
    """Two machines with the ruleset loaded, as `nft -f` loads it."""
    written = readme.block("policy drop", readme.FIREWALLS)
    for machine, text in zip(
        site.both, (written, readme.swapped(written)), strict=True
    ):
        machine.write(RULESET, text)
        machine.shell(f"nft -f {RULESET}")
    yield site
    for machine in site.both:
        machine.shell("nft delete table inet filter")


def test_hosts_reach_each_other_and_epochs_go_on(walled: Site) -> None:
    before = int(str(tunnel(walled.a)["epoch"]))
    walled.a.run("qgw", "tunnel", "rotate", "a-b")
    wait_until(
        lambda: int(str(tunnel(walled.a)["epoch"])) > before, PATIENCE, "no new epoch"
    )
    wait_up(*walled.both)
    assert reaches(walled.pcs["a"], PC["b"])
    assert reaches(walled.pcs["b"], PC["a"])


def test_the_gateways_reach_each_other_inside(walled: Site) -> None:
    said = walled.a.shell("ping -c 3 -i 0.2 -I 10.255.1.1 10.255.1.2")
    assert "3 received, 0% packet loss" in said


def test_it_refuses_what_it_does_not_name(walled: Site) -> None:
    walled.a.shell("nft list chain inet filter forward | grep -q 'policy drop'")
    walled.pcs["a"].run("ip", "addr", "add", "10.3.0.10/16", "dev", "eth0")
    try:
        asked = ("ping", "-q", "-c", "1", "-W", "1", "-I", "10.3.0.10", GATE["b"])
        assert "0 received" in walled.pcs["a"].run(*asked, check=False)
    finally:
        walled.pcs["a"].run("ip", "addr", "del", "10.3.0.10/16", "dev", "eth0")
