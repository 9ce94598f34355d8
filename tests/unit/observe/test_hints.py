"""A hint fits what is wrong now, and nothing else."""

from dataclasses import replace

import pytest

from gateway.dataplane.esp.plane import EspPlane
from gateway.dataplane.wireguard.plane import WireGuardPlane
from gateway.observe.hints import BY_PEER, Circumstances, hint_of
from gateway.wire.payloads import Status

UP = Circumstances(
    name="paris",
    phase="up",
    reason="",
    failing="",
    initiator=True,
    capture=EspPlane.traits.capture,
    encap=False,
    link="alpha",
    link_hint="",
    peer="192.0.2.1",
    unsent="",
)
WAITING = replace(UP, phase="connecting", reason="waiting for the first epoch")


def test_nothing_to_do() -> None:
    assert hint_of(UP) == ""


def test_what_an_operator_did() -> None:
    down = replace(UP, phase="down", reason="taken down", failing="timeout")
    assert hint_of(down) == "bring it up: qgw tunnel up paris"
    by_peer = replace(UP, phase="blocked", reason=BY_PEER, failing="timeout")
    assert hint_of(by_peer) == "at the peer: qgw tunnel up paris"


@pytest.mark.parametrize(
    ("plane", "encap", "shown"),
    [
        (EspPlane, False, "ip proto 50"),
        (EspPlane, True, "udp port 51810"),
        (WireGuardPlane, False, "udp portrange 51811-51812"),
    ],
)
@pytest.mark.parametrize("phase", ["unproven", "connecting", "up"])
def test_keys_are_agreed_and_no_packet_passes(
    plane: type[EspPlane | WireGuardPlane], encap: bool, shown: str, phase: str
) -> None:
    failing = "" if phase == "unproven" else "not-in-force"
    now = replace(
        WAITING,
        capture=plane.traits.capture,
        encap=encap,
        phase=phase,
        failing=failing,
    )
    assert hint_of(now) == (
        f"see at both ends where they are lost: tcpdump -ni any {shown}"
    )


def test_silence_at_the_initiator() -> None:
    for failing in ("", "timeout"):
        hint = hint_of(replace(WAITING, failing=failing))
        assert "endpoint" in hint
        assert "UDP 51810 passes both ways" in hint
        assert "fingerprints" in hint


def test_silence_at_the_responder() -> None:
    hint = hint_of(replace(WAITING, initiator=False))
    assert "the peer starts the handshakes" in hint
    assert "its endpoint" in hint


def test_a_host_that_cannot_send_says_so_before_it_blames_the_peer() -> None:
    now = replace(WAITING, failing="timeout", unsent="Network is unreachable")
    assert hint_of(now) == (
        "this host cannot send (Network is unreachable): check its routes: ip route "
        "get 192.0.2.1, and its own firewall"
    )
    # An end that only answers had nothing to send.
    assert "cannot send" not in hint_of(replace(now, initiator=False))


def test_keys() -> None:
    now = replace(WAITING, failing="qkd")
    assert "qgw qkd status alpha" in hint_of(now)
    assert hint_of(replace(now, link_hint="is the KME running?")) == (
        "is the KME running?"
    )
    assert hint_of(replace(now, failing="qkd-unavailable", link="")) == (
        "the peer wants QKD keys: set qkd and link here, or qkd = off there"
    )


@pytest.mark.parametrize("status", set(Status) - {Status.ACCEPTED})
def test_every_refusal_has_a_hint_of_its_own(status: Status) -> None:
    word = status.name.lower().replace("_", "-")
    hint = hint_of(replace(WAITING, failing=word))
    assert hint
    assert hint != hint_of(WAITING)


@pytest.mark.parametrize("reason", ["unconfirmed", "symmetric", "install", "plane"])
def test_every_failure_has_a_hint_of_its_own(reason: str) -> None:
    hint = hint_of(replace(WAITING, failing=reason))
    assert hint != hint_of(WAITING)
    assert "{" not in hint


def test_a_rotation_that_fails_while_the_tunnel_is_up_has_a_hint_too() -> None:
    assert "UDP 51810" in hint_of(replace(UP, failing="timeout"))
