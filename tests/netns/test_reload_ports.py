"""Other ports, by reload, under traffic and with other programs beside."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab.gateway import PORT, Gateway
from lab.inside import open_socket
from lab.netns import Namespace

from gateway.config.tables import DEFAULT_WIREGUARD_PORTS
from tests.netns.labs import Lab, edit, make_lab, plane, qgw, state, until

pytestmark = pytest.mark.timeout(90)

PORTS = (52_811, 52_812)
MOST_LOST = 0.3
"""Seconds of traffic that may be lost until the peer has heard from a device's other
port: its keepalive is on the way, and packets that it had sent before."""


@pytest.fixture
def lab(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways in force, with no epoch on schedule in a test's time."""
    with make_lab(pair, interval=60.0, lifetime=180.0) as made:
        made.start()
        until(lambda: state(made.a) == state(made.b) == "up", "the tunnel")
        yield made


def reload(end: Gateway) -> dict[str, Any]:
    done = qgw(end, "reload", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert (answer["failed"], answer["restart_needed"]) == ({}, [])
    return answer


def listening(end: Gateway) -> set[int]:
    """Return the UDP ports that are bound in an end's namespace."""
    lines = end.namespace.run("ss", "-Hlun").splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


@pytest.mark.lossless
@pytest.mark.parametrize("which", [0, 1])
def test_the_control_port_under_traffic(lab: Lab, which: int) -> None:
    end, epoch = lab.ends[which], lab.newest()
    with lab.traffic(6.0) as result:
        edit(end, rf'^(listen = ."[^"]*:){PORT}"', rf'\g<1>{PORT + 1000}"')
        assert reload(end)["changed"] == ["gateway.listen"]
        lab.in_force(epoch)
        assert PORT + 1000 in listening(end)
    assert result["lost"] == 0
    assert lab.ping()


@pytest.mark.lossless
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "ports",
    [PORTS, DEFAULT_WIREGUARD_PORTS[::-1], (DEFAULT_WIREGUARD_PORTS[1], PORTS[1])],
    ids=["others", "exchanged", "moved up"],
)
def test_the_devices_ports_under_traffic(
    lab: Lab, which: int, ports: tuple[int, int]
) -> None:
    end, epoch = lab.ends[which], lab.newest()
    with lab.traffic(6.0) as result:
        set_ports(end, ports)
        assert reload(end)["changed"] == ["gateway.wireguard_ports"]
        lab.in_force(epoch)
    if plane() == "esp":
        assert result["lost"] == 0
        return
    assert set(ports) <= listening(end)
    assert result["lost"] / 2 * 0.002 < MOST_LOST, result  # of both directions
    assert lab.ping()


@pytest.mark.parametrize("key", ["listen", "wireguard_ports"])
def test_a_port_that_another_program_has(lab: Lab, key: str) -> None:
    """Checked first: named with its key, and the old ports stand."""
    end = lab.b
    if key == "wireguard_ports" and plane() == "esp":
        return
    before = listening(end)
    with open_socket(end.namespace.name, socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", PORTS[1]))  # noqa: S104  # as a program does
        if key == "listen":
            edit(end, rf'^(listen = ."[^"]*:){PORT}"', rf'\g<1>{PORTS[1]}"')
        else:
            set_ports(end, PORTS)
        done = qgw(end, "reload")
        assert done.returncode != 0
        assert key in done.stderr
        assert str(PORTS[1]) in done.stderr
        assert listening(end) - {PORTS[1]} == before
        time.sleep(0.5)
        assert lab.ping()
    reload(end)  # it has gone
    until(lambda: lab.ping(count=1), "traffic")


def set_ports(end: Gateway, ports: tuple[int, int]) -> None:
    edit(end, r"^\[gateway\]$", f"[gateway]\nwireguard_ports = {list(ports)}")
