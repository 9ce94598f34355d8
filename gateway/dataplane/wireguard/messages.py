"""WireGuard's generic netlink messages (include/uapi/linux/wireguard.h).

pyroute2 has message classes for these; they decode every key of every peer into
Python objects. A hub reads thousands of peers several times a second and must not
keep private keys and PSKs around, so here peers stay one opaque attribute, and
`read_peers` walks over it and picks what it needs.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from pyroute2.netlink import genlmsg

from gateway.dataplane.wireguard.backend import PeerReading, PeerSettings

FAMILY = "wireguard"
CMD_GET_DEVICE = 0
CMD_SET_DEVICE = 1
FAMILY_VERSION = 1

DEVICE_F_REPLACE_PEERS = 1

PEER_F_REMOVE_ME = 1
PEER_F_REPLACE_ALLOWEDIPS = 2
PEER_F_UPDATE_ONLY = 4

_PEER_PUBLIC_KEY = 1
_PEER_PRESHARED_KEY = 2
_PEER_FLAGS = 3
_PEER_ENDPOINT = 4
_PEER_KEEPALIVE = 5
_PEER_LAST_HANDSHAKE = 6
_PEER_RX_BYTES = 7
_PEER_TX_BYTES = 8
_PEER_ALLOWEDIPS = 9

_ALLOWED_FAMILY = 1
_ALLOWED_ADDRESS = 2
_ALLOWED_LENGTH = 3

_NLA_F_NESTED = 1 << 15
_NLA_TYPE_MASK = (1 << 14) - 1
_HEADER = struct.Struct("=HH")
_TIMESPEC = struct.Struct("=qq")
_U64 = struct.Struct("=Q")


class device_request(genlmsg):  # type: ignore[misc]  # noqa: N801  # untyped; its style
    """A request about one device."""

    prefix = "WGDEVICE_A_"
    nla_map = (
        ("WGDEVICE_A_UNSPEC", "none"),
        ("WGDEVICE_A_IFINDEX", "uint32"),
        ("WGDEVICE_A_IFNAME", "asciiz"),
        ("WGDEVICE_A_PRIVATE_KEY", "cdata"),
        ("WGDEVICE_A_PUBLIC_KEY", "cdata"),
        ("WGDEVICE_A_FLAGS", "uint32"),
        ("WGDEVICE_A_LISTEN_PORT", "uint16"),
        ("WGDEVICE_A_FWMARK", "uint32"),
        ("WGDEVICE_A_PEERS", "peer_entries"),
    )

    class peer_entries(genlmsg.cdata):  # type: ignore[misc]  # noqa: N801  # as above
        """Encoded by `encode_new_peer` and its like; the kernel checks the flag."""

        nla_flags = _NLA_F_NESTED


class device_answer(genlmsg):  # type: ignore[misc]  # noqa: N801  # untyped; its style
    """The kernel's answer; the private key in it is not even decoded."""

    prefix = "WGDEVICE_A_"
    nla_map = (
        ("WGDEVICE_A_UNSPEC", "none"),
        ("WGDEVICE_A_IFINDEX", "uint32"),
        ("WGDEVICE_A_IFNAME", "asciiz"),
        ("WGDEVICE_A_PRIVATE_KEY", "none"),
        ("WGDEVICE_A_PUBLIC_KEY", "cdata"),
        ("WGDEVICE_A_FLAGS", "uint32"),
        ("WGDEVICE_A_LISTEN_PORT", "uint16"),
        ("WGDEVICE_A_FWMARK", "uint32"),
        ("WGDEVICE_A_PEERS", "cdata"),
    )


def encode_new_peer(peer: PeerSettings) -> bytes:
    """Return a peer entry that adds a peer with its PSK."""
    return _nested(
        _attribute(_PEER_PUBLIC_KEY, peer.public_key),
        _attribute(_PEER_PRESHARED_KEY, peer.psk.expose()),
        _attribute(_PEER_FLAGS, struct.pack("=I", PEER_F_REPLACE_ALLOWEDIPS)),
        _attribute(_PEER_ENDPOINT, _encode_endpoint(peer.endpoint)),
        _encode_allowed(peer.allowed),
        _attribute(_PEER_KEEPALIVE, struct.pack("=H", peer.keepalive)),
    )


def encode_removal(public_key: bytes) -> bytes:
    """Return a peer entry that removes a peer."""
    return _nested(
        _attribute(_PEER_PUBLIC_KEY, public_key),
        _attribute(_PEER_FLAGS, struct.pack("=I", PEER_F_REMOVE_ME)),
    )


def encode_update(
    public_key: bytes,
    *,
    keepalive: int | None = None,
    endpoint: tuple[str, int] | None = None,
    allowed: tuple[str, ...] | None = None,
) -> bytes:
    """Return a peer entry that changes a peer which is there.

    The kernel answers success for a peer that it does not know, too.
    """
    flags = PEER_F_UPDATE_ONLY
    parts = [_attribute(_PEER_PUBLIC_KEY, public_key)]
    if endpoint is not None:
        parts.append(_attribute(_PEER_ENDPOINT, _encode_endpoint(endpoint)))
    if keepalive is not None:
        parts.append(_attribute(_PEER_KEEPALIVE, struct.pack("=H", keepalive)))
    if allowed is not None:
        flags |= PEER_F_REPLACE_ALLOWEDIPS
        parts.append(_encode_allowed(allowed))
    return _nested(*parts, _attribute(_PEER_FLAGS, struct.pack("=I", flags)))


def read_peers(
    data: bytes, peers: dict[bytes, PeerReading], *, with_details: bool
) -> None:
    """Add the peers in one WGDEVICE_A_PEERS attribute to a dictionary.

    A peer with many prefixes goes on in the next message, without its counters.
    """
    view = memoryview(data)
    for _, entry in _walk(view):
        fields = dict(_walk(entry))
        key = bytes(fields[_PEER_PUBLIC_KEY])
        allowed: tuple[str, ...] = ()
        if with_details and _PEER_ALLOWEDIPS in fields:
            allowed = tuple(_read_allowed(fields[_PEER_ALLOWEDIPS]))
        before = peers.get(key)
        if before is not None:
            peers[key] = replace(before, allowed=before.allowed + allowed)
            continue
        host, port = "", 0
        if with_details and _PEER_ENDPOINT in fields:
            host, port = _read_endpoint(fields[_PEER_ENDPOINT])
        peers[key] = PeerReading(
            handshake=_TIMESPEC.unpack(fields[_PEER_LAST_HANDSHAKE]),
            received=_U64.unpack(fields[_PEER_RX_BYTES])[0],
            sent=_U64.unpack(fields[_PEER_TX_BYTES])[0],
            allowed=allowed,
            host=host,
            port=port,
        )


def _walk(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    offset = 0
    while offset + _HEADER.size <= len(view):
        length, kind = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size:
            return
        yield kind & _NLA_TYPE_MASK, view[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _read_allowed(view: memoryview) -> Iterator[str]:
    for _, entry in _walk(view):
        fields = dict(_walk(entry))
        address = ip_address(bytes(fields[_ALLOWED_ADDRESS]))
        yield f"{address}/{fields[_ALLOWED_LENGTH][0]}"


def _read_endpoint(view: memoryview) -> tuple[str, int]:
    """Return the address and the port in a sockaddr_in or sockaddr_in6."""
    is_v4 = struct.unpack_from("=H", view)[0] == socket.AF_INET
    host = ip_address(bytes(view[4:8] if is_v4 else view[8:24]))
    return str(host), int.from_bytes(view[2:4], "big")


def _attribute(kind: int, payload: bytes) -> bytes:
    length = _HEADER.size + len(payload)
    return _HEADER.pack(length, kind) + payload + bytes(-length % 4)


def _nested(*parts: bytes) -> bytes:
    return _attribute(_NLA_F_NESTED, b"".join(parts))


def _encode_endpoint(endpoint: tuple[str, int]) -> bytes:
    """Return a sockaddr_in or sockaddr_in6."""
    address = ip_address(endpoint[0])
    port = endpoint[1].to_bytes(2, "big")
    if address.version == 4:  # noqa: PLR2004  # IP version
        return struct.pack("=H", socket.AF_INET) + port + address.packed + bytes(8)
    return (
        struct.pack("=H", socket.AF_INET6) + port + bytes(4) + address.packed + bytes(4)
    )


def _encode_allowed(prefixes: tuple[str, ...]) -> bytes:
    entries = []
    for prefix in prefixes:
        network = ip_network(prefix)
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6  # noqa: PLR2004  # IP version
        entries.append(
            _nested(
                _attribute(_ALLOWED_FAMILY, struct.pack("=H", family)),
                _attribute(_ALLOWED_ADDRESS, network.network_address.packed),
                _attribute(_ALLOWED_LENGTH, bytes([network.prefixlen])),
            )
        )
    return _attribute(_PEER_ALLOWEDIPS | _NLA_F_NESTED, b"".join(entries))
