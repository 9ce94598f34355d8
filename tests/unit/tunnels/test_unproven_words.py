"""What an operator reads when no packet proves an epoch."""

import pytest
from doubles.plane import FakePlane

from gateway.dataplane.base import EpochInstall, PlaneKeys
from gateway.dataplane.wireguard.offer import Offer, encode_offer
from gateway.secret import Secret
from gateway.tunnels.unproven import Outside, describe_unproven, outside_of

ESP = Outside(is_udp=False)
WIREGUARD = Outside(is_udp=True, here=(51811, 51812), there=(51811, 51812))


ASK_ESP = "is IP protocol 50 filtered on the way? set encap = true at both ends, or"
ASK_UDP = "is UDP filtered on the way?"
PORTS = "ports 51811 and 51812 must be open here, and ports 51811 and 51812 at the peer"
NOTHING = "no packet has come back"
OUT = "packets reach the peer, none comes back"
IN = "packets come from the peer, none reaches it"


@pytest.mark.parametrize(
    ("here", "there", "outside", "expected"),
    [
        (False, False, ESP, f"{NOTHING}: {ASK_ESP} open it in the peer's firewall"),
        (True, False, ESP, f"{IN}: {ASK_ESP} open it in the peer's firewall"),
        (False, True, ESP, f"{OUT}: {ASK_ESP} open it in this gateway's firewall"),
        (False, False, WIREGUARD, f"{NOTHING}: {ASK_UDP} {PORTS}"),
        (False, False, None, NOTHING),
    ],
)
def test_words(
    *, here: bool, there: bool, outside: Outside | None, expected: str
) -> None:
    said = describe_unproven(here=here, there=there, outside=outside, fault="")
    assert said == expected


def test_the_plane_speaks_first() -> None:
    said = describe_unproven(here=False, there=False, outside=ESP, fault="no route")
    assert said == f"{NOTHING}: the data plane says: no route"


def _install(local_offer: bytes, peer_offer: bytes) -> EpochInstall:
    keys = PlaneKeys(Secret(bytes(36)), Secret(bytes(36)), Secret(bytes(32)))
    return EpochInstall(
        tunnel="paris",
        epoch=1,
        initiator=True,
        local_address=("192.0.2.1", 51810),
        peer_address=("192.0.2.2", 40123),
        local_offer=local_offer,
        peer_offer=peer_offer,
        keys=keys,
        lifetime=60.0,
    )


def test_what_packets_look_like() -> None:
    install = _install(bytes(4), bytes(4))
    esp = FakePlane("esp")
    assert outside_of(install, esp, encap=False) == ESP
    encap = outside_of(install, esp, encap=True)
    assert encap == Outside(is_udp=True, here=(51810,), there=(40123,))
    assert outside_of(install, FakePlane("wireguard"), encap=False) == Outside(
        is_udp=True, here=(51811, 51812)
    )


def _epochs(*there: int) -> Outside:
    """What is known of WireGuard after epochs with these ports of the peer's."""
    found = [
        outside_of(
            _install(bytes(35), encode_offer(Offer(b"k" * 32, port))),
            FakePlane("wireguard"),
            encap=False,
        )
        for port in there
    ]
    outside = found[0]
    for later in found[1:]:
        outside = outside.joined_by(later)
    return outside


@pytest.mark.parametrize(
    ("ports", "at_peer"),
    [
        ([51811], "port 51811 and the other one of its wireguard_ports"),
        ([51812], "port 51812 and the other one of its wireguard_ports"),
        ([51811, 51812], "ports 51811 and 51812"),
        ([51812, 51811, 51812], "ports 51811 and 51812"),
        ([51812, 51811, 52000, 52001], "ports 52000 and 52001"),
    ],
)
def test_both_ports_of_wireguard_are_named_whatever_the_epoch(
    ports: list[int], at_peer: str
) -> None:
    """What one epoch's port lets pass, the next one's may not."""
    said = describe_unproven(here=True, there=False, outside=_epochs(*ports), fault="")
    assert said == (
        f"{IN}: {ASK_UDP} ports 51811 and 51812 must be open here, "
        f"and {at_peer} at the peer"
    )


def test_another_planes_epoch_is_told_alone() -> None:
    encap = Outside(is_udp=True, here=(51810,), there=(40123,))
    for later in (ESP, encap):
        assert WIREGUARD.joined_by(later) == later
    assert encap.joined_by(_epochs(51811)) == _epochs(51811)
