"""Files, kernels and neighbours that a daemon cannot start with: what it says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.gateway import INNER, PORT
from lab.netns import Namespace, run

from gateway.dataplane.choose import available_planes
from tests.netns.labs import (
    TUNNEL,
    Lab,
    edit,
    make_lab,
    plane,
    qgw,
    run_daemon,
    state,
    status,
    unstarted,
    until,
)

EXIT_FAILED = 1
EXIT_CONFIG = 78
NOBODY, NOGROUP = 65534, 65534


def damage(path: Path, text: str) -> None:
    path.chmod(0o600)
    path.write_text(text)


def refused(lab: Lab, key: str) -> str:
    """Return what the first end says when it does not start for what a key names.

    Only the operator can mend it: the exit code tells systemd not to try again.
    """
    code, said = run_daemon(lab.a)
    assert code == EXIT_CONFIG, said
    toml = lab.a.folder / "gateway.toml"
    (line,) = [each for each in said.splitlines() if each.startswith("qgwd: ")]
    assert line.startswith(f"qgwd: {toml}:")
    assert f": {key}: expected " in line
    assert "hint: correct them and run: qgw config check" in said
    assert "Traceback" not in said
    # What the daemon refuses the check refuses, in the same words.
    checked = qgw(lab.a, "--config", str(toml), "config", "check")
    assert checked.returncode == 1
    assert line.removeprefix("qgwd: ") in checked.stderr
    return line


def test_identity_missing(lab: Lab) -> None:
    path = lab.a.folder / "identity"
    path.unlink()
    said = refused(lab, "gateway.identity")
    assert f"found cannot read {path}: no such file or directory" in said
    assert "(check the path and who may use it)" in said


def test_identity_truncated(lab: Lab) -> None:
    path = lab.a.folder / "identity"
    text = path.read_text()
    secret = "".join(text.splitlines()[1:3])
    for size in (0, 1, 30, len(text) // 2, len(text) - 2):
        damage(path, text[:size])
        code, said = run_daemon(lab.a)
        assert code == EXIT_CONFIG
        assert f"found {path}: " in said
        assert "restore the file from a backup, or make a new identity" in said
        assert secret[:40] not in said


def test_identity_is_the_public_one(lab: Lab) -> None:
    shutil.copy(lab.b.folder / "peer.pub", lab.a.folder / "identity")
    (lab.a.folder / "identity").chmod(0o600)
    said = refused(lab, "gateway.identity")
    assert "this is a qgw public identity, not a qgw private identity" in said
    assert "(name the other one" in said


def test_identity_open_to_others(lab: Lab) -> None:
    path = lab.a.folder / "identity"
    path.chmod(0o644)
    said = refused(lab, "gateway.identity")
    assert "is open to others" in said
    assert f"(run: chmod 600 {path}" in said


def test_identity_of_root_alone_and_a_daemon_of_another_user(
    pair: tuple[Namespace, Namespace],
) -> None:
    """The check of root sees what the daemon will see, and the daemon stays away."""
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing: apt-get install util-linux")
    with make_lab(pair) as lab:
        folder = lab.a.folder
        for place in (folder.parent.parent, folder.parent, folder):
            place.chmod(0o755)
        (folder / "state").mkdir(mode=0o700)
        for path in folder.iterdir():
            os.chown(path, NOBODY, NOGROUP)
        folder.joinpath("gateway.toml").chmod(0o644)
        os.chown(folder, NOBODY, NOGROUP)
        edit(lab.a, "^control_group = .*", 'control_group = "nogroup"')
        os.chown(folder / "identity", 0, 0)
        lab.a.prefix = (
            "setpriv",
            *(f"--reuid={NOBODY}", f"--regid={NOGROUP}", "--clear-groups"),
            *("--inh-caps=+net_admin", "--ambient-caps=+net_admin"),
            *("env", f"HOME={folder}"),
        )
        said = refused(lab, "gateway.identity")
        assert f"found cannot read {folder / 'identity'}: permission denied" in said


def test_peer_identity_wrong_fails_that_tunnel_and_says_so(lab: Lab) -> None:
    path = lab.a.folder / "peer.pub"
    good = path.read_text()
    damage(path, good[: len(good) // 2])
    lab.b.start()
    lab.a.start()
    lab.a.wait_ready()
    found = unstarted(lab.a)
    assert str(path) in found["reason"]
    assert found["hint"]
    assert any("cannot start" in text for text in status(lab.a)["warnings"])
    damage(path, good)
    lab.a.call("reload")
    lab.in_force()


def test_configuration_wrong(lab: Lab) -> None:
    edit(lab.a, "^qkd = .*", 'qkd = "perhaps"\ncolour = "red"')
    code, said = run_daemon(lab.a)
    assert code == EXIT_CONFIG
    path = lab.a.folder / "gateway.toml"
    assert f"{path}:" in said
    assert f"tunnels.{TUNNEL}.qkd: expected" in said
    assert f"tunnels.{TUNNEL}.colour" in said
    assert "hint: correct them and run: qgw config check" in said


def test_master_key_missing(lab: Lab) -> None:
    (lab.a.folder / "master-key").unlink()
    assert "master-key" in refused(lab, "keystore.master_key")


def test_master_key_of_another_store(lab: Lab) -> None:
    lab.start()
    for end in lab.ends:
        end.stop()
    other = (lab.b.folder / "master-key").read_text()
    damage(lab.a.folder / "master-key", other)
    code, said = run_daemon(lab.a)
    assert code == EXIT_CONFIG
    assert "master key" in said
    assert "Traceback" not in said


def test_no_kernel_support_for_the_plane(pair: tuple[Namespace, Namespace]) -> None:
    lacking = [option for option in available_planes() if not option.works]
    if not lacking:
        pytest.skip("this kernel has every plane: nothing is missing to be named")
    for option in lacking:
        with make_lab(pair, plane=option.name) as lab:
            lab.a.start()
            lab.a.wait_ready()
            found = unstarted(lab.a)
            assert found["reason"].split(":")[-1] == option.reason.split(":")[-1]
            assert found["reason"].startswith("the kernel ")
            assert found["hint"] == option.hint
            assert found["hint"]
            links = run("ip", "-n", lab.a.namespace.name, "-br", "link").split("\n")
            names = {line.split("@")[0].split()[0] for line in links if line}
            assert names == {"lo", lab.a.namespace.device}


def test_without_cap_net_admin(lab: Lab) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing: apt-get install util-linux")
    drop = "-net_admin"
    prefix = ("setpriv", "--bounding-set", drop, "--inh-caps", drop)
    # It could not refuse a packet either, so it does not run as if it did.
    code, said = run_daemon(lab.a, prefix=prefix)
    assert code == EXIT_FAILED
    assert "hint: run as root, or give the service" in said
    assert "CAP_NET_ADMIN" in said
    assert "Traceback" not in said


def test_port_taken(lab: Lab) -> None:
    script = (
        "import socket,time; s=socket.socket(2,2); "
        f"s.bind(('0.0.0.0',{PORT})); print('bound',flush=True); time.sleep(30)"
    )
    squatter = lab.a.namespace.spawn(
        ["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE
    )
    try:
        assert squatter.stdout is not None
        squatter.stdout.readline()
        code, said = run_daemon(lab.a)
    finally:
        squatter.kill()
        squatter.communicate()
    assert code == EXIT_FAILED
    assert f"qgwd: cannot listen on 0.0.0.0:{PORT}: Address already in use" in said
    assert f"hint: see who has it: ss -ulpn 'sport = :{PORT}'" in said
    assert "Traceback" not in said


def test_what_a_stopped_daemon_left_takes_nobodys_ports(lab: Lab) -> None:
    lab.start()
    lab.a.stop()
    toml = lab.a.folder / "gateway.toml"
    checked = qgw(lab.a, "--config", str(toml), "config", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lab.a.start()
    lab.a.wait_ready()


def test_a_second_daemon_does_not_disturb_the_first(lab: Lab) -> None:
    lab.start()
    first = lab.a.process
    code, said = run_daemon(lab.a)
    lab.a.process = first
    assert code == EXIT_FAILED
    assert "another process has the key store open" in said
    assert "hint: is qgwd already running?" in said
    lab.next()
    assert state(lab.a) == "up"


def test_interface_name_taken(lab: Lab) -> None:
    lab.b.start()
    name = lab.a.namespace.name
    interface = f"qgw-{TUNNEL}"
    edit(lab.a, "^encap = .*", f'encap = false\ninterface = "{interface}"')
    names = {interface, "qgw-wg0", "qgw-wg1"}
    for taken in names:
        run("ip", "-n", name, "link", "add", taken, "type", "bridge")
    before = run("ip", "-n", name, "-o", "link")
    lab.a.start()
    lab.a.wait_ready()
    if plane() == "esp" and lab.a.tunnel()["started"]:
        pytest.skip("ESP uses policies here: there is no interface to be taken")
    found = unstarted(lab.a)
    assert any(taken in found["reason"] for taken in names), found["reason"]
    assert found["hint"]
    assert run("ip", "-n", name, "-o", "link") == before  # not touched
    for taken in names:
        run("ip", "-n", name, "link", "del", taken)
    # It tries again by itself every ten seconds, and now if it is told to.
    assert qgw(lab.a, "reload").returncode == 0
    until(lambda: state(lab.a) == "up", "the tunnel")


def test_address_taken(lab: Lab) -> None:
    name = lab.a.namespace.name
    lab.b.start()
    run("ip", "-n", name, "link", "add", "other", "type", "bridge")
    run("ip", "-n", name, "link", "set", "other", "up")
    run("ip", "-n", name, "addr", "add", f"{INNER['a']}/32", "dev", "other")
    lab.a.start()
    lab.a.wait_ready()
    found = unstarted(lab.a)
    assert INNER["a"] in found["reason"]
    assert "give the tunnel another address" in found["hint"]
    assert INNER["a"] in run("ip", "-n", name, "-o", "addr", "show", "dev", "other")
    run("ip", "-n", name, "link", "del", "other")
    assert qgw(lab.a, "reload").returncode == 0
    until(lambda: state(lab.a) == "up", "the tunnel")


def test_state_directory_is_a_file(lab: Lab) -> None:
    (lab.a.folder / "state").write_text("")
    assert "which is no folder" in refused(lab, "gateway.state_dir")


def test_every_problem_is_said_at_once(lab: Lab) -> None:
    (lab.a.folder / "identity").unlink()
    (lab.a.folder / "master-key").unlink()
    (lab.a.folder / "state").write_text("")
    code, said = run_daemon(lab.a)
    assert code == EXIT_CONFIG
    keys = [line.split(": ")[2] for line in said.splitlines() if "qgwd: /" in line]
    assert keys == ["gateway.identity", "keystore.master_key", "gateway.state_dir"]
