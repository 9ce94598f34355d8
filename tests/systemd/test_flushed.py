"""Rulesets flushed while no daemon runs, seen from the wire and from the hosts."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from lab.clear_text import ClearText
from lab.netns import run

from tests.systemd.behind import PC
from tests.systemd.conftest import (
    MARKER,
    PATIENCE,
    Site,
    leave_as_found,
    tunnel,
    wait_up,
)
from tests.systemd.machine import wait_until
from tests.systemd.test_keeper import has_owners
from tests.underload.findings import never

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.may_skip("before Linux 6.9 no table outlives its owner"),
]

CONFIG = "/etc/qgw/gateway.toml"
DROP_IN = "/run/systemd/system/qgwd.service.d/dead.conf"

INTERVAL = 2
LIFETIME = 10
"""Seconds, as short as they may be."""

EX_CONFIG = "78"


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note what was measured: shown by -s, and in a report."""

    def note(what: str) -> None:
        record_property("seen", what)
        sys.stdout.write(f"{what}\n")

    return note


@pytest.fixture
def diverted(site: Site) -> Iterator[Site]:
    """Two gateways whose default route leads to where a leak would be seen."""
    if not has_owners():
        pytest.skip("needs Linux 6.9: before, a flush while no daemon runs opens all")
    wait_up(*site.both)
    router = {"a": "203.0.113.2", "b": "203.0.113.1"}
    before = {machine.name: machine.read(CONFIG) for machine in site.both}
    for machine in site.both:
        run("ip", "-n", machine.namespace.name, "route", "add", "default",
            "via", router[machine.name])  # fmt: skip
    yield site
    for machine in site.both:
        run("ip", "-n", machine.namespace.name, "route", "del", "default")
        machine.write(CONFIG, before[machine.name])
        machine.shell(
            f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl stop nftables\n"
            "systemctl reset-failed qgwd || true; systemctl restart qgw-fence qgwd"
        )
    leave_as_found(site)


def pinging(site: Site, seconds: float) -> "subprocess.Popen[str]":
    """Begin to send from one site's host to the other's, 20 times a second."""
    options = ("-D", "-i", "0.05", "-w", str(round(seconds)), "-p", MARKER.hex())
    return site.pcs["a"].spawn(
        ["ping", *options, PC["b"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def answers(process: "subprocess.Popen[str]") -> list[float]:
    """Wait for its end; return when answers came, by the wall clock."""
    said, _ = process.communicate(timeout=PATIENCE)
    return [float(each) for each in re.findall(r"^\[([\d.]+)\].*ttl=", said, re.M)]


def now() -> float:
    """Return the time by the clock that `ping -D` prints."""
    return time.time()  # noqa: TID251  # compared with what another program printed


def frames(wire: ClearText) -> str:
    return f"{wire.total} of {wire.frames.total()} frames in clear"


def test_traffic_ends_with_its_grant_after_both_daemons_were_killed(
    diverted: Site, wire: ClearText, record: Callable[[str], None]
) -> None:
    for machine in diverted.both:
        shorter = f"rotation_interval = {INTERVAL}\nmax_epoch_lifetime = {LIFETIME}\n"
        machine.write(CONFIG, machine.read(CONFIG) + shorter)
        machine.shell(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
        machine.write(DROP_IN, "[Service]\nRestart=no\n")
        machine.shell("systemctl daemon-reload; systemctl reload qgwd")
    begun = int(str(tunnel(diverted.a)["epoch"]))
    wait_until(
        lambda: int(str(tunnel(diverted.a)["epoch"])) > begun + 2, PATIENCE, "no epochs"
    )
    wait_up(*diverted.both)
    sending = pinging(diverted, LIFETIME + 8)
    time.sleep(1)
    for machine in diverted.both:
        machine.run("kill", "-9", str(machine.main_pid()))
    killed_at = now()
    for machine in diverted.both:
        machine.run("nft", "flush", "ruleset")
    flushed_at = now()
    time.sleep(max(killed_at + LIFETIME + 1 - now(), 0))
    for machine in diverted.both:
        assert machine.show("qgwd", "ActiveState") == "failed"
        # Whatever is sent from now on would leave by the default route.
        machine.shell("ip rule del pref 5157")
        machine.run("nft", "flush", "ruleset")
    came = answers(sending)
    seen = f"flushed after {flushed_at - killed_at:.2f} s, ended after "
    record(f"{seen}{came[-1] - killed_at:.2f} s; {frames(wire)}")
    never(list(wire.examples), "frames in clear")
    assert flushed_at < came[-1] < killed_at + LIFETIME + 1


def test_a_reload_of_nftables_after_a_refused_configuration(
    diverted: Site, wire: ClearText, record: Callable[[str], None]
) -> None:
    for machine in diverted.both:
        machine.run("systemctl", "stop", "qgwd")
        machine.run("qgw", "fence", "remove", "--everything")
        machine.write(CONFIG, machine.read(CONFIG) + 'peer = "twice"\n')
        machine.run("systemctl", "restart", "qgw-fence")
        machine.run("systemctl", "start", "qgwd", check=False)
        wait_until(
            lambda machine=machine: (  # type: ignore[misc]  # bound now
                machine.show("qgwd", "ActiveState") == "failed"
            ),
            PATIENCE,
            "a configuration that cannot be read is accepted",
        )
        assert machine.show("qgwd", "ExecMainStatus") == EX_CONFIG
        machine.run("systemctl", "start", "nftables")
    sending = pinging(diverted, 5)
    for _ in range(3):
        time.sleep(1)
        for machine in diverted.both:
            machine.run("systemctl", "reload", "nftables")
    assert answers(sending) == []
    record(frames(wire))
    never(list(wire.examples), "frames in clear")
