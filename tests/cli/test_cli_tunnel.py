import json

import pytest

from gateway.errors import ControlError, DataPlaneError
from tests.cli.conftest import StartDaemon, a_tunnel, details

NOT_FOUND = ControlError(
    "there is no tunnel rome", "see qgw tunnel list", code="not-found"
)


def test_list_is_a_table(start_daemon: StartDaemon) -> None:
    tunnels = [
        a_tunnel(),
        a_tunnel(
            "lyon-backup",
            state="connecting",
            endpoint=None,
            epoch=None,
            sources=[],
            qkd_key=None,
            qkd_age=None,
            in_force={"local": False, "peer": False, "since_s": None},
            next_rotation_s=None,
        ),
    ]
    result = start_daemon({"tunnel.list": tunnels}).qgw("tunnel", "list")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "NAME         STATE       PLANE  EPOCH  QKD    IN FORCE  NEXT   PEER\n"
        "paris        up          esp    42     fresh  both 31s  1m29s  "
        "192.0.2.1:51810\n"
        "lyon-backup  connecting  esp    -      -      no        -      abcde-fghij\n"
    )


def test_list_leaves_columns_out_before_it_is_too_wide(
    start_daemon: StartDaemon,
) -> None:
    name = "branch-office-of-saint-etienne-2"
    long = a_tunnel(
        name,
        state="connecting",
        plane="wireguard-go",
        epoch=123_456,
        endpoint="[2001:db8:1111:2222:3333:4444:5555:6666]:51810",
    )
    out = start_daemon({"tunnel.list": [a_tunnel(), long]}).qgw("tunnel", "list").out
    assert out.splitlines() == [
        "NAME                              STATE       EPOCH   QKD    IN FORCE",
        "paris                             up          42      fresh  both 31s",
        f"{name}  connecting  123456  fresh  both 31s",
    ]
    short = a_tunnel("lyon", endpoint="[2001:db8:1111:2222:3333:4444:5555:6666]:51810")
    out = start_daemon({"tunnel.list": [short]}).qgw("tunnel", "list").out
    assert out.splitlines() == [
        "NAME  STATE  PLANE  EPOCH  QKD    IN FORCE  NEXT",
        "lyon  up     esp    42     fresh  both 31s  1m29s",
    ]


def test_list_says_why_a_tunnel_is_blocked_and_what_to_do(
    start_daemon: StartDaemon,
) -> None:
    blocked = a_tunnel(
        state="blocked",
        reason="no QKD key: link alpha is empty",
        hint="import keys: qgw keystore import --link alpha FILE",
        faults=["the peer's qkd policy is preferred, ours is required"],
    )
    result = start_daemon({"tunnel.list": [blocked]}).qgw("tunnel", "list")
    assert result.out.splitlines()[2:] == [
        "",
        "paris: no QKD key: link alpha is empty",
        "  hint: import keys: qgw keystore import --link alpha FILE",
        "paris: fault: the peer's qkd policy is preferred, ours is required",
    ]


def test_list_says_what_keeps_failing_though_a_tunnel_is_up(
    start_daemon: StartDaemon,
) -> None:
    failing = {"since_s": 9.0, "reason": "timeout", "detail": "no answer"}
    said = ["", "paris: rotation fails: no answer", "  hint: look at the peer"]
    for attempts, lines in ((1, list[str]()), (2, said)):
        changes = {"failing": {**failing, "attempts": attempts}}
        tunnel = a_tunnel("paris", hint="look at the peer", **changes)
        out = start_daemon({"tunnel.list": [tunnel]}).qgw("tunnel", "list").out
        assert out.splitlines()[2:] == lines


def test_an_empty_list_says_so(start_daemon: StartDaemon) -> None:
    result = start_daemon({"tunnel.list": []}).qgw("tunnel", "list")
    assert (result.code, result.out) == (0, "no tunnels\n")


def test_show_reads_like_wg_show(start_daemon: StartDaemon) -> None:
    failure = {"reason": "timeout", "detail": "no answer to M1", "ago_s": 300.0}
    answer = details(
        last_failure=failure, peer_qkd="preferred", faults=["policies differ"]
    )
    daemon = start_daemon({"tunnel.show": answer})
    result = daemon.qgw("tunnel", "show", "paris")
    assert daemon.calls == [("tunnel.show", {"name": "paris"})]
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "tunnel: paris\n"
        "  state: up\n"
        "  role: initiator\n"
        "  peer: abcde-fghij-klmno-pqrst-uvwxy-z2345-67abc-defgh\n"
        "  endpoint: 192.0.2.1:51810\n"
        "  authenticated at: 192.0.2.1:51810\n"
        "  local address: 192.0.2.2\n"
        "  local prefixes: 10.1.0.0/16\n"
        "  remote prefixes: 10.2.0.0/16, fd02::/48\n"
        "  plane: esp\n"
        "  device: qgw-paris, up, MTU 1400, 10.255.1.1/30\n"
        "  mtu: 1400\n"
        "  suite: 1 (X25519, ML-KEM-768, AES-256-GCM, SHA-384)\n"
        "  qkd: required (peer: preferred)\n"
        "  link: alpha\n"
        "  epoch: 42, 31s old\n"
        "  in force: at both ends, for 31s\n"
        "  sources: x25519, ml-kem-768, qkd, chain\n"
        "  qkd key: f81d4fae-7dec-11d0-a765-00a0c91e6bf6, fresh\n"
        "  next rotation: in 1m29s\n"
        "  expires: in 5m28s\n"
        "  keys: epoch 42, sends, SPI in 0xc1de0001, SPI out 0x00ab12cd, 192.0.2.2 to\n"
        "    192.0.2.1\n"
        "  fence: passes 5m28s more; refused 3 packets outward, 0 inward\n"
        "  rotations: 41 done, 0 failed\n"
        "  transfer: 1.21 MiB received, 148 B sent\n"
        "  packets: 1000 received, 2 sent\n"
        "  last packet: received 3s ago, none sent yet\n"
        "  last failure: timeout (no answer to M1), 5m00s ago\n"
        "  fault: policies differ\n"
    )


KEYS = ["2b" * 21 + "8=", "9c" * 21 + "4="]


def test_wireguard_has_two_devices_and_a_peer(start_daemon: StartDaemon) -> None:
    devices = [
        {
            "name": f"qgw-wg{index}",
            "up": not index,
            "addresses": ["10.255.1.1/30"],
            "mtu": 1420,
            "port": 51811 + index,
            "public_key": KEYS[index],
        }
        for index in range(2)
    ]
    session = {
        "epoch": 0,
        "active": True,
        "device": "qgw-wg0",
        "local": "",
        "peer": "192.0.2.1:51811",
        "spi_in": None,
        "spi_out": None,
        "peer_key": KEYS[1],
    }
    answer = details(plane="wireguard", devices=devices, sessions=[session], fence=None)
    out = start_daemon({"tunnel.show": answer}).qgw("tunnel", "show", "paris").out
    assert (
        "  device: qgw-wg0, up, MTU 1420, 10.255.1.1/30, UDP port 51811, public key\n"
        f"    {KEYS[0]}\n"
        "  device: qgw-wg1, down, MTU 1420, 10.255.1.1/30, UDP port 51812, public key\n"
        f"    {KEYS[1]}\n"
    ) in out
    assert (
        "  keys: an earlier run's, sends, on qgw-wg0, peer's key\n"
        f"    {KEYS[1]}, 192.0.2.1:51811\n"
    ) in out
    assert "fence" not in out
    assert "  mtu: 1400, which its routes say\n" in out


def test_what_is_blocked_shows_what_there_is(start_daemon: StartDaemon) -> None:
    answer = details(
        state="blocked",
        reason="no new epoch within max_epoch_lifetime",
        hint="look at the peer",
        failing={
            "attempts": 7,
            "since_s": 65.0,
            "reason": "timeout",
            "detail": "no answer",
        },
        epoch=None,
        peer_address=None,
        local_address=None,
        mtu=None,
        devices=[],
        sessions=[],
        fence={"dropped_out": 1, "dropped_in": 12, "granted_s": 0.0},
    )
    out = start_daemon({"tunnel.show": answer}).qgw("tunnel", "show", "paris").out
    assert out.splitlines()[:5] == [
        "tunnel: paris",
        "  state: blocked",
        "  reason: no new epoch within max_epoch_lifetime",
        "  hint: look at the peer",
        "  rotation fails: 7 attempts in a row for 1m05s: no answer",
    ]
    assert "  authenticated at: not yet\n" in out
    assert "  fence: passes nothing; refused 1 packet outward, 12 inward\n" in out
    assert "device" not in out
    assert "keys:" not in out


def test_a_plane_that_counts_no_packets_says_so(start_daemon: StartDaemon) -> None:
    tunnel = details(plane="wireguard", rx_packets=None, tx_packets=None)
    shown = start_daemon({"tunnel.show": tunnel}).qgw("tunnel", "show", "paris").out
    assert "  packets: not counted on wireguard\n" in shown


CHAINED = {
    "sources": ["x25519", "ml-kem-768", "chain"],
    "key_id": None,
    "qkd_every": 4,
    "peer_qkd_every": 8,
    "qkd_key": "chained",
    "qkd_age": 3,
}


def test_a_chained_epoch_says_how_old_its_key_is(start_daemon: StartDaemon) -> None:
    tunnel = a_tunnel("paris", **CHAINED)
    daemon = start_daemon(
        {"tunnel.show": details("paris", **CHAINED), "tunnel.list": [tunnel]}
    )
    shown = daemon.qgw("tunnel", "show", "paris").out
    assert "  qkd: required, every 4 epochs (peer: required, every 8 epochs)\n" in shown
    assert "  sources: x25519, ml-kem-768, chain(qkd 3 epochs ago)\n" in shown
    assert "  qkd key: chained, fresh 3 epochs ago\n" in shown
    listed = daemon.qgw("tunnel", "list").out
    assert "paris  up     esp    42     3 ago  both 31s" in listed


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"qkd_key": "none", "qkd_age": None}, "  qkd key: none\n"),
        ({"qkd_key": "none", "qkd_age": None, "qkd": "off"}, ""),
        ({"qkd_key": None, "qkd_age": None}, ""),
        (
            {"qkd_key": "chained", "qkd_age": 1},
            "  qkd key: chained, fresh 1 epoch ago\n",
        ),
    ],
)
def test_other_epochs(
    start_daemon: StartDaemon, changes: dict[str, object], line: str
) -> None:
    daemon = start_daemon({"tunnel.show": details("paris", **(CHAINED | changes))})
    lines = daemon.qgw("tunnel", "show", "paris").out.splitlines(keepends=True)
    assert "".join(each for each in lines if "qkd key" in each) == line


def test_json_is_what_the_daemon_said(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"tunnel.show": details(), "tunnel.list": [a_tunnel()]})
    assert json.loads(daemon.qgw("tunnel", "show", "paris", "--json").out) == details()
    assert json.loads(daemon.qgw("tunnel", "list", "--json").out) == [a_tunnel()]


def test_steering_is_silent_when_it_works(start_daemon: StartDaemon) -> None:
    methods = ["tunnel.up", "tunnel.down", "tunnel.rotate"]
    daemon = start_daemon(dict.fromkeys(methods, None))
    for method in methods:
        result = daemon.qgw("tunnel", method.removeprefix("tunnel."), "paris")
        assert (result.code, result.out, result.err) == (0, "", "")
    assert daemon.calls == [(method, {"name": "paris"}) for method in methods]


def test_an_unknown_tunnel_exits_5(start_daemon: StartDaemon) -> None:
    result = start_daemon({"tunnel.down": NOT_FOUND}).qgw("tunnel", "down", "rome")
    assert (result.code, result.out) == (5, "")
    assert result.err == "qgw: there is no tunnel rome\nhint: see qgw tunnel list\n"


def test_a_failure_exits_1(start_daemon: StartDaemon) -> None:
    error = DataPlaneError("the kernel has no xfrm", "load the module esp4")
    result = start_daemon({"tunnel.up": error}).qgw("tunnel", "up", "paris")
    assert result.code == 1
    assert result.err == "qgw: the kernel has no xfrm\nhint: load the module esp4\n"


def test_a_fault_of_the_daemon_exits_1_without_details(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon({"tunnel.up": RuntimeError("secret detail")})
    result = daemon.qgw("tunnel", "up", "paris")
    assert result.code == 1
    assert result.err == (
        "qgw: qgwd could not do that because of a fault of its own\n"
        "hint: look for the details in its log: journalctl -u qgwd\n"
    )


def test_a_daemon_of_another_version_is_named(start_daemon: StartDaemon) -> None:
    result = start_daemon({"tunnel.show": {"name": "x"}}).qgw("tunnel", "show", "x")
    assert result.code == 1
    assert result.err.startswith("qgw: the daemon's answer is not what was asked for\n")
    result = start_daemon({"status": {}}).qgw("tunnel", "list")
    assert result.code == 1
    assert "of different versions" in result.err


def test_what_a_peer_writes_cannot_steer_the_terminal(
    start_daemon: StartDaemon,
) -> None:
    said: dict[str, object] = {
        "reason": "\x1b[2Jgone\r\nx",
        "faults": ["\x1b]0;t\x07"],
    }
    daemon = start_daemon(
        {
            "tunnel.show": details("paris", **said),
            "tunnel.list": [a_tunnel("paris", **said)],
        }
    )
    for command in (["show", "paris"], ["list"]):
        out = daemon.qgw("tunnel", *command).out
        assert "\x1b" not in out
        assert "\r" not in out
        assert "\x07" not in out
