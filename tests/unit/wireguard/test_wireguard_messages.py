"""The hand-made netlink entries, read and written by pyroute2's own classes."""

from base64 import b64decode, b64encode
from typing import Any

from pyroute2.netlink.generic.wireguard import wgmsg

from gateway.dataplane.wireguard.backend import PeerReading, PeerSettings
from gateway.dataplane.wireguard.messages import (
    device_request,
    encode_new_peer,
    encode_removal,
    encode_update,
    read_peers,
)
from gateway.secret import Secret

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))
PSK = b"\xa5" * 32


def decode_with_pyroute2(entries: bytes) -> list[dict[str, Any]]:
    """Read peer entries as another implementation of the message does."""
    request = device_request()
    request["attrs"] = [("WGDEVICE_A_PEERS", entries)]
    request.encode()
    message = wgmsg(bytes(request.data))
    message.decode()
    return [dict(peer["attrs"]) for peer in message.get_attr("WGDEVICE_A_PEERS")]


def test_new_peer() -> None:
    for host in ("192.0.2.7", "2001:db8::7"):
        settings = PeerSettings(
            KEY, Secret(PSK), (host, 51811), ("10.2.0.0/24", "fd00::/48"), 25
        )
        removed, peer = decode_with_pyroute2(
            encode_removal(KEY) + encode_new_peer(settings)
        )
        assert removed["WGPEER_A_FLAGS"] == 1
        assert b64decode(peer["WGPEER_A_PUBLIC_KEY"]) == KEY
        assert b64decode(peer["WGPEER_A_PRESHARED_KEY"]) == PSK
        assert peer["WGPEER_A_ENDPOINT"]["addr"] == host
        assert peer["WGPEER_A_ENDPOINT"]["port"] == 51811
        assert peer["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL"] == 25
        allowed = peer["WGPEER_A_ALLOWEDIPS"]
        assert [one["addr"] for one in allowed] == ["10.2.0.0/24", "fd00::/48"]


def test_updates_never_make_a_peer() -> None:
    updates = (
        encode_update(KEY, keepalive=0),
        encode_update(KEY, endpoint=("192.0.2.7", 1)),
        encode_update(KEY, allowed=("10.0.0.0/8",)),
    )
    for peer in decode_with_pyroute2(b"".join(updates)):
        assert int(str(peer["WGPEER_A_FLAGS"])) & 4
        assert "WGPEER_A_PRESHARED_KEY" not in peer


def answer_with_pyroute2(*peers: list[tuple[str, object]]) -> bytes:
    """Return the peers attribute of an answer, as pyroute2 encodes it."""
    message = wgmsg()
    message["attrs"] = [("WGDEVICE_A_PEERS", [{"attrs": peer} for peer in peers])]
    message.encode()
    data = bytes(message.data)
    generic_header = 20
    return data[generic_header + 4 :]


def counters(key: bytes, seconds: int) -> list[tuple[str, object]]:
    return [
        ("WGPEER_A_PUBLIC_KEY", b64encode(key)),
        ("WGPEER_A_PRESHARED_KEY", b64encode(PSK)),
        ("WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": seconds, "tv_nsec": 5}),
        ("WGPEER_A_RX_BYTES", 92),
        ("WGPEER_A_TX_BYTES", 148),
    ]


def test_reading_peers() -> None:
    peers: dict[bytes, PeerReading] = {}
    data = answer_with_pyroute2(counters(KEY, 0), counters(OTHER, 1_700_000_000))
    read_peers(data, peers, with_details=True)
    assert peers[OTHER] == PeerReading((1_700_000_000, 5), 92, 148)
    assert peers[OTHER].confirmed
    assert not PeerReading((0, 0), 92, 148).confirmed


def test_truncated_answers_are_no_endless_loop() -> None:
    data = answer_with_pyroute2(counters(KEY, 7))
    for length in range(4):
        read_peers(data[:length], {}, with_details=True)
