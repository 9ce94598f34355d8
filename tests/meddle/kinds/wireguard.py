"""WireGuard devices that others change, and processes of wireguard-go that die."""

import contextlib
import os
import signal
from pathlib import Path

from lab.two_sites import NET, NET6

from tests.meddle.kind import FLOWS, RESTARTED, WIREGUARD, Phase, Spot, Steps, kind
from tests.meddle.uapi import devices

GO = ("wireguard-go",)


@kind(planes=WIREGUARD, last_word=True, seconds=4.0)
def wireguard_peers_removed(at: Spot) -> Steps:
    """On each device."""
    for device in devices(at):
        device.remove_peers()
    yield FLOWS


@kind(planes=WIREGUARD, last_word=True, seconds=4.0)
def wireguard_prefixes_taken(at: Spot) -> Steps:
    """A peer of an administrator's own takes the other site's prefixes."""
    foreign = at.chance.randbytes(32)
    for device in devices(at):
        device.add_peer(foreign, NET[at.peer], NET6[at.peer])
    yield FLOWS


@kind(planes=WIREGUARD, last_word=True, seconds=4.0)
def wireguard_port_changed(at: Spot) -> Steps:
    """On each device."""
    for number, device in enumerate(devices(at)):
        device.set_port(51900 + number)
    yield FLOWS


@kind(planes=WIREGUARD, last_word=True)
def wireguard_mark_changed(at: Spot) -> Steps:
    """To none."""
    for device in devices(at):
        device.set_mark(0)
    yield FLOWS


def processes(at: Spot) -> list[int]:
    """Return the process ids of wireguard-go at a gateway."""
    found = []
    for pid in at.end.namespace_pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "wireguard-go":
                found.append(pid)
    return found


@kind(planes=WIREGUARD)
def other_ports_one_of_them_taken(at: Spot) -> Steps:
    """A reload that cannot be done: the old ports stand."""
    squatter = at.squat(51912)
    at.file.tables["gateway"]["wireguard_ports"] = [51911, 51912]
    at.file.write()
    said = at.refused()
    assert "51912" in said, said
    yield FLOWS
    squatter.close()
    at.reset()


@kind(planes=GO, last_word=True, seconds=4.0)
def wireguard_go_killed(at: Spot) -> Steps:
    """Both processes."""
    for pid in processes(at):
        os.kill(pid, signal.SIGKILL)
    yield RESTARTED


@kind(planes=GO, last_word=True, seconds=4.0)
def one_wireguard_go_killed(at: Spot) -> Steps:
    """One of the two."""
    os.kill(at.chance.choice(processes(at)), signal.SIGKILL)
    yield RESTARTED


@kind(planes=GO)
def wireguard_go_stopped(at: Spot) -> Steps:
    """For a moment, as under a debugger."""
    pids = processes(at)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield Phase(lasts=1.0)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@kind(planes=GO, last_word=True, seconds=4.0)
def wireguard_go_sockets_removed(at: Spot) -> Steps:
    """By a script that tidies /run."""
    for device in devices(at):
        device.socket.unlink()
    yield FLOWS
