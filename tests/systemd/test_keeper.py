"""``qgw-keeper``: with no daemon running, what others do to rulesets opens nothing."""

import os
from collections.abc import Iterator

import pytest

from tests.systemd.conftest import PATIENCE, Site, leave_as_found, wait_up
from tests.systemd.machine import Machine, wait_until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.may_skip("before Linux 6.9 no table outlives its owner"),
]

OWNERS_SINCE = (6, 9)
"""Linux, from which on a table may have an owner and outlive it."""

DOWN = """
[Unit]
DefaultDependencies=no
Conflicts=qgwd.service qgw-fence.service qgw-keeper.service nftables.service
"""
"""A target that stops in one transaction what a shutdown stops in one."""


def has_owners() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= OWNERS_SINCE


@pytest.fixture
def alone(site: Site) -> Iterator[Machine]:
    """A machine whose daemon is stopped, and started again afterwards."""
    if not has_owners():
        pytest.skip("needs Linux 6.9: before, qgw-keeper does not start")
    wait_up(site.b)
    site.b.run("systemctl", "stop", "qgwd")
    yield site.b
    site.b.run("systemctl", "restart", "qgw-fence", "qgwd")
    leave_as_found(site)


def flush(machine: Machine) -> None:
    machine.run("nft", "flush", "ruleset")


def assert_stands(machine: Machine) -> None:
    assert "drop" in machine.shell("nft list table inet qgw")


def keeper_pid(machine: Machine) -> str:
    return machine.show("qgw-keeper", "MainPID")


def kill_keeper(machine: Machine) -> None:
    """Kill it, flush while it is dead, and wait until it is back."""
    killed = keeper_pid(machine)
    assert killed != "0"
    machine.shell(f"kill -9 {killed}; nft flush ruleset")
    wait_until(
        lambda: (
            keeper_pid(machine) not in {"0", killed}
            and machine.show("qgw-keeper", "ActiveState") == "active"
        ),
        PATIENCE,
        "the keeper stays dead",
    )
    flush(machine)


def test_it_runs_where_a_table_may_outlive_its_owner(site: Site) -> None:
    wanted = ("yes", "active") if has_owners() else ("no", "inactive")
    for machine in site.both:
        found = [
            machine.show("qgw-keeper", name)
            for name in ("ConditionResult", "ActiveState")
        ]
        assert tuple(found) == wanted


def test_a_reload_and_the_end_of_nftables(alone: Machine) -> None:
    for what in ("start", "reload", "stop"):
        alone.run("systemctl", what, "nftables")
        assert_stands(alone)


def test_its_death(alone: Machine) -> None:
    kill_keeper(alone)
    assert_stands(alone)
    assert alone.show("qgw-keeper", "NFileDescriptorStore") == "1"


def test_another_systemd(alone: Machine) -> None:
    alone.run("systemctl", "daemon-reexec")
    assert alone.show("qgw-keeper", "NFileDescriptorStore") == "1"
    kill_keeper(alone)
    assert_stands(alone)


def test_its_restart_beneath_a_daemon(alone: Machine) -> None:
    alone.run("systemctl", "start", "qgwd")
    alone.run("systemctl", "restart", "qgw-keeper")
    wait_up(alone)
    alone.run("systemctl", "kill", "-s", "KILL", "qgwd")
    flush(alone)
    assert_stands(alone)
    alone.run("systemctl", "stop", "qgwd")
    flush(alone)
    assert_stands(alone)


def test_its_stop_and_start_and_then_the_daemons_restart(alone: Machine) -> None:
    alone.run("systemctl", "start", "qgwd")
    alone.run("systemctl", "stop", "qgw-keeper")
    flush(alone)
    assert_stands(alone)
    alone.run("systemctl", "start", "qgw-keeper")
    alone.run("systemctl", "restart", "qgwd")
    wait_up(alone)
    alone.run("systemctl", "stop", "qgwd")
    flush(alone)
    assert_stands(alone)


def test_a_daemon_that_refuses_its_configuration(alone: Machine) -> None:
    alone.shell("mv /etc/qgw/gateway.toml /etc/qgw/gateway.toml.away")
    try:
        alone.run("systemctl", "start", "qgwd", check=False)
        assert alone.show("qgwd", "ExecMainStatus") == "78"
        alone.shell("systemctl start nftables; systemctl reload nftables")
        assert_stands(alone)
    finally:
        alone.shell("mv /etc/qgw/gateway.toml.away /etc/qgw/gateway.toml")
        alone.run("systemctl", "stop", "nftables")


def test_a_host_that_shuts_down_keeps_its_fence(alone: Machine) -> None:
    alone.run("systemctl", "start", "qgwd", "nftables")
    wait_up(alone)
    alone.write("/run/systemd/system/down.target", DOWN)
    alone.run("systemctl", "daemon-reload")
    alone.run("systemctl", "start", "down.target")
    for unit in ("qgw-keeper", "nftables"):
        wait_until(
            lambda unit=unit: (  # type: ignore[misc]  # bound now
                alone.show(unit, "ActiveState") == "inactive"
            ),
            PATIENCE,
            f"{unit} does not stop",
        )
    assert_stands(alone)
