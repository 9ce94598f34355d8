"""What an operator types against live daemons, while traffic flows."""

import json
import os
import re
import signal
import time

import pytest

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import encode_public, generate_identity
from tests.netns.labs import TUNNEL, Lab, edit, qgw, state, status, until


@pytest.fixture(autouse=True)
def _is_up(shared: Lab) -> None:
    """Each test begins with traffic flowing."""
    shared.in_force()
    until(lambda: state(shared.a) == state(shared.b) == "up", "the tunnel")


def test_reading(shared: Lab) -> None:
    shown = qgw(shared.a, "status")
    assert shown.returncode == 0
    assert TUNNEL in shown.stdout
    until(
        lambda: not any("stock" in text for text in status(shared.a)["warnings"]),
        "enough keys in stock",
    )
    (simulated,) = (one for one in status(shared.a)["alerts"] if one["about"] == "link")
    assert simulated["severity"] == "note"
    assert "simulated, NOT quantum keys" in simulated["text"]
    shared.next()  # only the second epoch has a first to be chained to
    found = status(shared.a)
    assert found["tunnels"][0]["state"] == "up"
    listed = json.loads(qgw(shared.a, "tunnel", "list", "--json").stdout)
    assert [tunnel["name"] for tunnel in listed] == [TUNNEL]
    tunnel = json.loads(qgw(shared.a, "tunnel", "show", TUNNEL, "--json").stdout)
    assert tunnel["sources"] == ["x25519", "ml-kem-768", "chain", "qkd"]
    assert tunnel["role"] == "initiator"
    stock = json.loads(qgw(shared.a, "keystore", "status", "--json").stdout)
    assert stock[0]["simulated"]
    own = qgw(shared.a, "identity", "show").stdout
    assert found["identity"]["fingerprint"] in own
    assert shared.b.tunnel()["peer"] == found["identity"]["fingerprint"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tunnel", "show", "rome"), 5, "qgw: there is no tunnel named rome"),
        (("tunnel", "up", "rome"), 5, "qgw: there is no tunnel named rome"),
        (("tunnel", "rotate", "rome"), 5, "qgw: there is no tunnel named rome"),
        (("keystore", "status", "rome"), 5, "qgw: there is no link named rome"),
        (("tunnel", "fly", "rome"), 2, "no such command 'fly'"),
    ],
)
def test_mistakes(
    shared: Lab, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = qgw(shared.a, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""


def test_nobody_there(shared: Lab) -> None:
    socket = shared.folder / "nobody.sock"
    done = qgw(shared.a, "--socket", str(socket), "status")
    assert done.returncode == 3
    assert str(socket) in done.stderr
    assert "hint:" in done.stderr


@pytest.mark.lossless
def test_rotate_by_hand_loses_nothing(shared: Lab) -> None:
    with shared.traffic(3.0) as result:
        for end in shared.ends:
            before = shared.newest()
            assert qgw(end, "tunnel", "rotate", TUNNEL).returncode == 0
            shared.in_force(before)
    assert result["lost"] == 0


@pytest.mark.lossless
def test_reload_by_hand_and_by_signal_loses_nothing(shared: Lab) -> None:
    with shared.traffic(3.0) as result:
        answer = json.loads(qgw(shared.a, "reload", "--json").stdout)
        assert answer["unchanged"] == [TUNNEL]
        for end, interval in ((shared.a, "3.0"), (shared.a, "2.0")):
            edit(end, r"^rotation_interval = .*", f"rotation_interval = {interval}")
            answer = json.loads(qgw(end, "reload", "--json").stdout)
            assert answer["changed"] == [TUNNEL]
        for end in shared.ends:
            assert end.process is not None
            os.kill(end.process.pid, signal.SIGHUP)
        until(lambda: "reloaded: 0 added" in shared.b.log.read_text(), "the reload")
        shared.next()
    assert result["sent"] > 2000
    assert result["lost"] == 0


def test_a_wrong_configuration_is_refused_whole(shared: Lab) -> None:
    path = shared.a.folder / "gateway.toml"
    good = path.read_text()
    try:
        edit(shared.a, r"^qkd = .*", 'qkd = "perhaps"\ncolour = "red"')
        done = qgw(shared.a, "reload")
        assert done.returncode == 1
        assert f"tunnels.{TUNNEL}.qkd: expected" in done.stderr
        assert f"tunnels.{TUNNEL}.colour" in done.stderr
        checked = qgw(shared.a, "--config", str(path), "config", "check")
        assert checked.returncode == 1
        assert shared.a.process is not None
        os.kill(shared.a.process.pid, signal.SIGHUP)
        until(lambda: "not reloaded" in shared.a.log.read_text(), "the refusal")
    finally:
        path.write_text(good)
    shared.next()
    assert qgw(shared.a, "reload").returncode == 0


@pytest.mark.lossless
def test_another_tunnel_beside_it_touches_nothing(shared: Lab) -> None:
    path = shared.a.folder / "gateway.toml"
    good = path.read_text()
    more = good.split(f"[tunnels.{TUNNEL}]")[1]
    for old, new in (("10.71.", "10.81."), ("10.72.", "10.82."), ("fd7", "fd8")):
        more = more.replace(old, new)
    # To another gateway: WireGuard carries one tunnel between two, and so does a link.
    stranger = encode_public(generate_identity(1).public)
    write_public_identity(shared.a.folder / "other.pub", stranger)
    more = re.sub(r"^link = .*\n", "", more, flags=re.MULTILINE)
    more = re.sub(r"^qkd = .*$", 'qkd = "off"', more, flags=re.MULTILINE)
    more = more.replace('"peer.pub"', '"other.pub"')
    try:
        with shared.traffic(3.0) as result:
            path.write_text(good + f"\n[tunnels.other]\n{more}")
            answer = json.loads(qgw(shared.a, "reload", "--json").stdout)
            assert (answer["added"], answer["unchanged"]) == (["other"], [TUNNEL])
            other = shared.a.call("tunnel.show", name="other")
            assert other["state"] == "connecting", other
            path.write_text(good)
            answer = json.loads(qgw(shared.a, "reload", "--json").stdout)
            assert (answer["removed"], answer["unchanged"]) == (["other"], [TUNNEL])
    finally:
        path.write_text(good)
    assert result["lost"] == 0


def test_down_blocks_both_ends_and_up_heals(shared: Lab) -> None:
    for by, end in enumerate(shared.ends):
        before = shared.newest()
        assert qgw(end, "tunnel", "down", TUNNEL).returncode == 0
        assert state(end) == "down"
        until(lambda peer=shared.ends[1 - by]: state(peer) == "blocked", "the peer")  # type: ignore[misc]
        assert not shared.ping(by, count=1)
        assert not shared.ping(1 - by, count=1)
        refused = qgw(end, "tunnel", "rotate", TUNNEL)
        assert refused.returncode == 1
        assert "is down" in refused.stderr
        assert f"qgw tunnel up {TUNNEL}" in refused.stderr
        assert qgw(end, "tunnel", "up", TUNNEL).returncode == 0
        shared.in_force(before)
        assert shared.ping(by)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.lossless
def test_a_restart_under_traffic_loses_nothing(shared: Lab, which: int) -> None:
    end = shared.ends[which]
    before = shared.newest()
    size = end.log.stat().st_size
    with shared.traffic(3.0) as result:
        end.stop()
        end.start()
        end.wait_ready()
        shared.in_force(before)
    said = end.log.read_text()[size:]
    assert "stopped; tunnels stay in the kernel" in said
    assert "adopted epoch" in said
    assert result["lost"] == 0


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.lossless
def test_killed_and_started_loses_nothing(shared: Lab, which: int) -> None:
    end = shared.ends[which]
    before = shared.newest()
    with shared.traffic(3.0) as result:
        end.kill()
        end.start()
        end.wait_ready()
        shared.in_force(before)
    assert result["lost"] == 0


def test_stop_leaves_the_tunnel_until_its_lifetime_ends(shared: Lab) -> None:
    for end in shared.ends:
        end.stop()
    assert shared.ping(count=1)
    shared.start()
    time.sleep(0.1)
    assert shared.ping()
