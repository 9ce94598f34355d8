"""Reloads that are refused before anything is touched, and peers that are replaced."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from lab.netns import Namespace

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import (
    encode_public,
    format_fingerprint,
    generate_identity,
)
from gateway.dataplane.choose import available_planes
from tests.netns.labs import TUNNEL, Lab, edit, make_lab, plane, qgw, state, until


@pytest.fixture
def running(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways in force, of this test alone."""
    with make_lab(pair) as lab:
        lab.start()
        until(lambda: state(lab.a) == state(lab.b) == "up", "the tunnel")
        yield lab


def refused(lab: Lab, key: str, found: str) -> None:
    """See that a reload and a check refuse the same, and that traffic goes on."""
    path = lab.a.folder / "gateway.toml"
    before = lab.newest()
    with lab.traffic(3.0) as result:
        done = qgw(lab.a, "reload")
        assert done.returncode == 1
        assert re.search(rf": {key}: expected .*, found .*{found}", done.stderr), done
        checked = qgw(lab.a, "--config", str(path), "config", "check")
        assert checked.returncode == 1
        assert re.search(rf": {key}: expected .*{found}", checked.stderr), checked
        lab.in_force(before)
    assert result["lost"] == 0
    assert result["sent"] > 1000
    assert state(lab.a) == "up"


@pytest.mark.lossless
def test_a_plane_that_this_host_lacks(running: Lab) -> None:
    lacking = [option for option in available_planes() if not option.works]
    if not lacking:
        pytest.skip("this kernel has every plane: nothing is missing to be named")
    own = f'^plane = "{plane()}"'
    for option in lacking:
        edit(running.a, own, f'plane = "{option.name}"')
        refused(running, rf"tunnels\.{TUNNEL}\.plane", f"{option.name}: the kernel ")
        edit(running.a, f'^plane = "{option.name}"', f'plane = "{plane()}"')
    assert "nothing changed" in qgw(running.a, "reload").stdout


@pytest.mark.lossless
def test_ports_of_which_another_program_has_one(running: Lab) -> None:
    if plane() == "esp":
        pytest.skip("ESP has no ports; the lanes of WireGuard try this")
    script = (
        "import socket,time; s=socket.socket(2,2); "
        "s.bind(('0.0.0.0',51912)); print('bound',flush=True); time.sleep(60)"
    )
    squatter = running.a.namespace.spawn(
        ["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE
    )
    try:
        assert squatter.stdout is not None
        squatter.stdout.readline()
        ports = "wireguard_ports = [51911, 51912]"
        edit(running.a, "^control_group = .*", f'control_group = "root"\n{ports}')
        done = qgw(running.a, "reload")
        assert done.returncode == 1
        assert "gateway.wireguard_ports: expected ports that no other" in done.stderr
        taken = "51912, which is taken (see: ss -lunp sport = :51912)"
        assert taken in done.stderr
        # The check knows which ports are the daemon's own, and sees the other one.
        path = str(running.a.folder / "gateway.toml")
        inside = running.a.namespace.run(
            *(sys.executable, "-m", "gateway.cli.main", "--config", path),
            *("config", "check", "--json"),
            check=False,
        )
        (problem,) = json.loads(inside)["problems"]
        assert problem["found"] == taken
        running.next()
    finally:
        squatter.kill()
        squatter.communicate()
    answer = qgw(running.a, "reload")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "changed: gateway.wireguard_ports\n"
    assert "nothing changed" in qgw(running.a, "reload").stdout
    running.next()


def test_a_peer_file_that_holds_another_identity(running: Lab) -> None:
    path = running.a.folder / "peer.pub"
    good = path.read_bytes()
    old = running.a.tunnel()["peer"]
    stranger = generate_identity(1).public
    new = format_fingerprint(stranger.fingerprint)
    path.unlink()
    write_public_identity(path, encode_public(stranger))
    said = qgw(running.a, "reload")
    assert said.stdout == f"changed: {TUNNEL} (peer {old} -> {new})\n"
    assert running.a.tunnel()["peer"] == new
    # Who was the peer is nobody now: what comes from there passes no more.
    assert not running.ping(count=1)
    assert not running.ping(1, count=1)
    path.write_bytes(good)
    assert running.a.process is not None
    os.kill(running.a.process.pid, signal.SIGHUP)
    until(lambda: running.a.tunnel()["peer"] == old, "the old peer")
    until(lambda: state(running.a) == state(running.b) == "up", "the tunnel")
    assert running.ping()


def test_a_missing_peer_file_is_no_reason_to_refuse_what_else_changes(
    pair: tuple[Namespace, Namespace],
) -> None:
    with make_lab(pair) as lab:
        shutil.move(lab.a.folder / "peer.pub", lab.a.folder / "kept.pub")
        lab.b.start()
        lab.a.start()
        lab.a.wait_ready()
        assert str(lab.a.folder / "peer.pub") in lab.a.tunnel()["reason"]
        edit(lab.a, "^level = .*", 'level = "debug"')
        done = qgw(lab.a, "reload")
        assert done.returncode == 0
        assert f"warning: {lab.a.folder}/gateway.toml:" in done.stderr
        assert f"tunnels.{TUNNEL}.peer: expected a public identity file" in done.stderr
        shutil.move(lab.a.folder / "kept.pub", lab.a.folder / "peer.pub")
        said = qgw(lab.a, "reload").stdout
        # Nothing, if the daemon tried by itself just before: it does every ten seconds.
        assert "changed: demo (peer)" in said or said == "nothing changed\n", said
        assert lab.a.tunnel()["started"]
        until(lambda: state(lab.a) == "up", "the tunnel")


@pytest.mark.skipif(plane() == "esp", reason="ESP has an interface for each tunnel")
def test_an_interface_that_wireguard_does_not_make_is_no_change(running: Lab) -> None:
    end = running.a
    edit(end, r"^remote_subnets", 'interface = "vpn0"\nremote_subnets')
    result = end.call("reload")
    assert result["changed"] == []
    (warning,) = [line for line in result["warnings"] if ".interface" in line]
    assert "found vpn0, which changes nothing" in warning
    # Said once, not with each reload.
    again = end.call("reload")
    assert not [line for line in again["warnings"] if ".interface" in line]
