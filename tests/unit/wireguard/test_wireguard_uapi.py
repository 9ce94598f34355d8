"""The text protocol of wireguard-go, on answers as it writes them."""

from gateway.dataplane.wireguard import uapi
from gateway.dataplane.wireguard.backend import PeerSettings, public_key_of
from gateway.secret import Secret

KEY = bytes(range(32))
PRIVATE = "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a"

ANSWER = f"""private_key={PRIVATE}
listen_port=12912
public_key={KEY.hex()}
preshared_key={"a5" * 32}
protocol_version=1
endpoint=[2001:db8::7]:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=148
rx_bytes=92
persistent_keepalive_interval=25
allowed_ip=10.2.0.0/24
allowed_ip=fd00::/48
public_key={"ff" * 32}
preshared_key={"00" * 32}
protocol_version=1
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

"""


def test_reading_peers() -> None:
    peers = uapi.read_peers(ANSWER)
    peer, other = peers[KEY], peers[b"\xff" * 32]
    assert peer.handshake == (1_700_000_000, 5)
    assert (peer.received, peer.sent) == (92, 148)
    assert peer.allowed == ("10.2.0.0/24", "fd00::/48")
    assert (peer.host, peer.port) == ("2001:db8::7", 51820)
    assert not other.confirmed
    assert (other.host, other.port) == ("", 0)
    assert "a5a5" not in repr(peers)


def test_private_key() -> None:
    key = uapi.find_private_key(ANSWER)
    assert key is not None
    assert key.expose().hex() == PRIVATE
    assert len(public_key_of(key)) == 32
    assert uapi.find_private_key("listen_port=0\nerrno=0\n\n") is None


def test_peer_is_removed_before_it_is_added_with_its_psk() -> None:
    settings = PeerSettings(KEY, Secret(b"\xa5" * 32), ("fd00::1", 7), ("::/0",), 25)
    lines = uapi.add_peer(settings).splitlines()
    key = f"public_key={KEY.hex()}"
    assert lines[:5] == ["set=1", key, "remove=true", key, f"preshared_key={'a5' * 32}"]
    assert "endpoint=[fd00::1]:7" in lines


def test_updates_never_make_a_peer() -> None:
    for request in (
        uapi.update_peer(KEY, keepalive=25),
        uapi.update_peer(KEY, endpoint=("192.0.2.1", 7)),
        uapi.update_peer(KEY, allowed=("10.0.0.0/8",)),
    ):
        assert request.splitlines()[2] == "update_only=true"
