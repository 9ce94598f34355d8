"""What an operator reads when no packet proves an epoch."""

import pytest

from gateway.dataplane.base import EpochInstall, PlaneKeys
from gateway.dataplane.wireguard.offer import Offer, encode_offer
from gateway.secret import Secret
from gateway.tunnels.unproven import Outside, describe_unproven, outside_of

ESP = Outside(is_udp=False)
WIREGUARD = Outside(is_udp=True, here=(51811, 51812), there=(51811,))


ASK_ESP = "is IP protocol 50 filtered on the way? set encap = true at both ends, or"
ASK_UDP = "is UDP filtered on the way?"
PORTS = "ports 51811 and 51812 must be open here, and port 51811 at the peer"
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
    assert outside_of(install, "esp", encap=False) == ESP
    encap = outside_of(install, "esp", encap=True)
    assert encap == Outside(is_udp=True, here=(51810,), there=(40123,))
    assert outside_of(install, "wireguard", encap=False) == Outside(is_udp=True)


def test_wireguards_ports_of_two_epochs_are_told_together() -> None:
    found = [
        outside_of(
            _install(
                encode_offer(Offer(b"k" * 32, here)),
                encode_offer(Offer(b"k" * 32, 51811)),
            ),
            "wireguard",
            encap=False,
        )
        for here in (51812, 51811)
    ]
    assert found[0].joined_by(found[1]) == WIREGUARD
    assert WIREGUARD.joined_by(ESP) == ESP
