"""What is said of what is not right: each thing once, with what to do about it."""

import pytest

from gateway.control.schema import Alert
from gateway.dataplane.fence.base import FenceState
from gateway.dataplane.held.restored import Loss
from gateway.dataplane.host import HostFinding
from gateway.errors import DataPlaneError
from gateway.observe.alerts import (
    alert_line,
    fence_alerts,
    host_alerts,
    kernel_alerts,
    link_alerts,
    socket_alerts,
    tunnel_alerts,
    unapplied_alerts,
)
from gateway.observe.fence import Refused
from tests.cli.conftest import a_link, a_tunnel


def of_tunnel(
    refused: Refused | None = None, **changes: object
) -> list[tuple[str, str, str, str]]:
    """Return severity, kind, line and hint of each alert about one tunnel."""
    found = {} if refused is None else {"paris": refused}
    return [brief(one) for one in tunnel_alerts([a_tunnel("paris", **changes)], found)]


def brief(alert: Alert) -> tuple[str, str, str, str]:
    return alert["severity"], alert["kind"], alert_line(alert), alert["hint"]


def failing(attempts: int) -> dict[str, object]:
    return {
        "attempts": attempts,
        "since_s": 80.0,
        "reason": "timeout",
        "detail": "no answer from the peer",
    }


def test_a_tunnel_that_is_up_is_silent() -> None:
    assert of_tunnel() == []
    assert of_tunnel(failing=failing(1), hint="look") == []


def test_a_rotation_that_fails_though_the_tunnel_is_up() -> None:
    assert of_tunnel(failing=failing(2), hint="look", lifetime_left_s=190.0) == [
        (
            "warning",
            "rotation-fails",
            (
                "tunnel paris: rotation fails, 2 times in a row for 1m20s: no answer "
                "from the peer; the tunnel lasts 3m10s more"
            ),
            "look",
        )
    ]


@pytest.mark.parametrize(
    ("state", "attempts", "severity"),
    [
        ("blocked", 0, "critical"),
        ("unproven", 0, "critical"),
        ("connecting", 0, "warning"),
        ("connecting", 2, "warning"),
        ("connecting", 3, "critical"),
        ("down", 0, "warning"),
        ("a state of tomorrow", 0, "critical"),
    ],
)
def test_a_tunnel_that_is_not_up(state: str, attempts: int, severity: str) -> None:
    changes: dict[str, object] = {"state": state, "reason": "why", "hint": "do"}
    if attempts:
        changes["failing"] = failing(attempts)
    assert of_tunnel(None, **changes) == [
        (severity, f"tunnel-{state}", f"tunnel paris: {state}: why", "do")
    ]


def test_a_tunnel_that_need_not_be_up() -> None:
    assert of_tunnel(state="down", enabled=False, reason="not started") == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_tunnel_that_cannot_start(enabled: bool) -> None:
    changes = {"state": "blocked", "reason": "cannot read peer.pub", "hint": "see"}
    assert of_tunnel(None, started=False, enabled=enabled, **changes) == [
        (
            "critical",
            "cannot-start",
            "tunnel paris: cannot start: cannot read peer.pub",
            "see",
        )
    ]


def test_faults_come_one_by_one() -> None:
    found = of_tunnel(faults=["QKD policy differs", "rotation_interval differs"])
    assert [line for _, _, line, _ in found] == [
        "tunnel paris: QKD policy differs",
        "tunnel paris: rotation_interval differs",
    ]


def test_what_the_fence_refused() -> None:
    found = of_tunnel(Refused(outward=602, inward=1, meanwhile=5))
    assert [(severity, kind, line) for severity, kind, line, _ in found] == [
        (
            "warning",
            "fence-outward",
            (
                "tunnel paris: the fence refused 602 packets for its remote prefixes "
                "that went another way than the tunnel"
            ),
        ),
        (
            "warning",
            "fence-inward",
            (
                "tunnel paris: the fence refused 1 packet from its remote prefixes "
                "that came another way than the tunnel, or would have left by "
                "another interface than that of their local network"
            ),
        ),
        (
            "note",
            "fence-meanwhile",
            "tunnel paris: the fence refused 5 packets while it was not up",
        ),
    ]


def of_link(
    error: str = "", hint: str = "", **changes: object
) -> list[tuple[str, str, str, str]]:
    found = link_alerts([a_link("alpha", **changes)], lambda _: (error, hint))
    return [brief(one) for one in found]


def test_a_link_that_is_well_is_silent() -> None:
    assert of_link() == []


def test_a_kme_that_is_down_and_a_stock_that_runs_dry() -> None:
    assert of_link(
        "no connection: connection refused",
        "is it running?",
        source="etsi014",
        alarm="low",
        available=12,
        unconfirmed=0,
        seconds_to_empty=1440.0,
    ) == [
        (
            "warning",
            "kme",
            "link alpha: no connection: connection refused",
            "is it running?",
        ),
        (
            "warning",
            "stock-low",
            "link alpha: stock is low: 13 keys, fewer than 20; empty in 24m00s",
            "see what is wrong with the KME: qgw qkd test alpha",
        ),
    ]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("file", "import keys at both ends: qgw keystore import --link alpha FILE"),
        ("relay", "see why no keys come over the network: qgw network"),
        ("simulated", "raise the link's rate, or rotation_interval"),
        ("etsi014", "see whether the KME keeps up: qgw qkd status alpha"),
        ("skip", "see whether the KME keeps up: qgw qkd status alpha"),
        ("none", "erase what is left: qgw keystore purge --link alpha --all"),
    ],
)
def test_an_empty_stock_says_where_keys_come_from(source: str, hint: str) -> None:
    assert of_link(source=source, alarm="empty", available=0) == [
        ("critical", "stock-empty", "link alpha: stock is empty", hint)
    ]


def test_a_stock_that_was_empty_says_what_came_since() -> None:
    ((_, _, line, _),) = of_link(alarm="empty", available=3, unconfirmed=3)
    assert line == "link alpha: stock was empty: 3 keys came since"


def test_keys_that_the_peer_may_lack_are_named() -> None:
    ((_, _, line, _),) = of_link(
        alarm="low", available=30, unconfirmed=25, seconds_to_empty=None
    )
    assert line == (
        "link alpha: stock is low: 6 keys, fewer than 20; 25 more are there, which "
        "the peer is not known to hold"
    )


def test_a_fence_that_stands_is_silent() -> None:
    assert list(fence_alerts(None)) == []
    assert list(fence_alerts(FenceState(present=True))) == []
    assert list(fence_alerts(FenceState(present=False), needed=False)) == []


@pytest.mark.parametrize(
    ("state", "severity", "kind", "text"),
    [
        (
            FenceState(present=False, reason="this kernel has no nf_tables"),
            "warning",
            "fence-unavailable",
            "no fence: this kernel has no nf_tables",
        ),
        (
            FenceState(present=False),
            "critical",
            "fence-missing",
            "the fence is gone: somebody removed the nftables table inet qgw",
        ),
        (
            FenceState(present=True, unrecorded="cannot write f: no space"),
            "warning",
            "fence-unrecorded",
            "the fence's record for the next boot is old: cannot write f: no space",
        ),
        (
            FenceState(present=True, unfenced=("10.2.3.0/24",)),
            "warning",
            "lease-in-remote-prefix",
            (
                "10.2.3.0/24 is connected here for a time only (DHCP, router "
                "advertisement) and lies in a remote prefix: packets for it go into "
                "the tunnel or nowhere"
            ),
        ),
        (
            FenceState(present=True, unasked=("10.2.3.0/24",)),
            "warning",
            "new-in-remote-prefix",
            (
                "10.2.3.0/24 was connected here since the configuration was accepted, "
                "and lies in a remote prefix: packets for it go into the tunnel or "
                "nowhere"
            ),
        ),
        (
            FenceState(present=True, passed=("10.2.3.0/24",)),
            "warning",
            "connected-in-remote-prefix",
            (
                "10.2.3.0/24 is connected here and lies in a remote prefix: packets "
                "for it go past the tunnel, in clear"
            ),
        ),
    ],
)
def test_a_fence_that_does_not_stand_or_refuses_too_much(
    state: FenceState, severity: str, kind: str, text: str
) -> None:
    ((found_severity, found_kind, line, hint),) = map(brief, fence_alerts(state))
    assert (found_severity, found_kind, line) == (severity, kind, text)
    assert hint


def test_a_wide_network_is_not_to_be_accepted_by_a_reload_alone() -> None:
    ((*_, hint),) = map(
        brief, fence_alerts(FenceState(present=True, unasked=("128.0.0.0/1",)))
    )
    assert hint.startswith("if it is yours, add it to local_subnets and reload (it is")


def test_networks_beside_a_full_tunnel_are_one_note() -> None:
    state = FenceState(present=True, usual=("10.1.0.0/24", "203.0.113.0/24"))
    ((severity, kind, line, _),) = map(brief, fence_alerts(state))
    assert (severity, kind) == ("note", "connected-in-full-tunnel")
    assert line.endswith(
        "beside the full tunnel, in clear: 10.1.0.0/24, 203.0.113.0/24"
    )


def test_host_and_sockets() -> None:
    (host,) = host_alerts([HostFinding("forwarding-off", "off", "switch it on")])
    assert brief(host) == ("warning", "forwarding-off", "off", "switch it on")
    found = socket_alerts(["203.0.113.10"], ["7 datagrams could not be sent: why"])
    assert [(kind, line) for _, kind, line, _ in map(brief, found)] == [
        (
            "address-absent",
            "203.0.113.10, which listen names, is not on this host",
        ),
        ("unsent", "7 datagrams could not be sent: why"),
    ]


def test_what_others_take_out_of_the_kernel() -> None:
    route = Loss("paris", "route 10.2.0.0/16 in table 5157")
    rule = Loss("", "the IPv4 rule for table 5157")
    found = [
        brief(one)
        for one in kernel_alerts(
            {route: "somebody keeps taking it away"}, {route: 9, rule: 1}, 3
        )
    ]
    assert [(severity, kind, line) for severity, kind, line, _ in found] == [
        (
            "critical",
            "kernel-missing",
            (
                "tunnel paris: route 10.2.0.0/16 in table 5157 is missing: somebody "
                "keeps taking it away"
            ),
        ),
        (
            "note",
            "kernel-restored",
            (
                "the IPv4 rule for table 5157 was missing or changed, and is restored "
                "(once)"
            ),
        ),
        (
            "note",
            "fence-restored",
            ("another program removed or changed the fence; it is restored (3 times)"),
        ),
    ]


def test_a_change_that_was_not_applied() -> None:
    error = DataPlaneError("the kernel refused", "free the port")
    (alert,) = unapplied_alerts({"paris": error})
    assert brief(alert) == (
        "warning",
        "not-applied",
        "tunnel paris: its new configuration is not in force: the kernel refused",
        "free the port",
    )
