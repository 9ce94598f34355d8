"""The path to a peer, and the kernel's words for it (ip(7), ipv6(7))."""

import socket
import sys
from functools import lru_cache
from typing import Final, NamedTuple

IP_PKTINFO: Final = 8
"""linux/in.h; Python names it from 3.14 on."""

_INDEX_SIZE: Final = 4
_IPV4_SIZE: Final = 4
_IPV6_SIZE: Final = 16

ANCILLARY_SPACE: Final = socket.CMSG_SPACE(_IPV6_SIZE + _INDEX_SIZE)
"""Bytes for a struct in6_pktinfo, the larger of the two."""

_IPV4_LOCAL: Final = slice(_INDEX_SIZE, _INDEX_SIZE + _IPV4_SIZE)
"""ipi_spec_dst of struct in_pktinfo: our own address that the datagram reached. The
header's destination, which follows it, may be a broadcast address."""

_ANY_INDEX: Final = bytes(_INDEX_SIZE)
"""The interface is for the routing table to choose."""

MAX_OWN: Final = 256
"""Addresses of ours whose two ways of writing are remembered: conversions would cost
as much as the rest of what a datagram costs here."""

SocketAddress = tuple[str, int]


class Path(NamedTuple):
    """Where a peer is, and which of our addresses it knows us by.

    Attributes:
        host: The peer's IP address.
        port: Its UDP port.
        scope: Index of the interface, for a link-local `host`; else 0.
        local_host: Our own address, or empty for the kernel to choose.
        local_port: Our own UDP port.
    """

    host: str
    port: int
    scope: int
    local_host: str
    local_port: int

    @property
    def remote(self) -> SocketAddress:
        """The peer's address and port, for a data plane."""
        return self.host, self.port

    @property
    def local(self) -> SocketAddress:
        """Our own address and port, for a data plane."""
        return self.local_host, self.local_port

    def __str__(self) -> str:
        """Return the peer's part, as an operator writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def remote_of(path: object) -> object:
    """Return the part of a path that says where the peer is."""
    return path[:3] if isinstance(path, Path) else path


def family_of(host: str) -> int:
    """Return AF_INET or AF_INET6."""
    return int(socket.AF_INET6 if ":" in host else socket.AF_INET)


def local_of(family: int, ancillary: list[tuple[int, int, bytes]]) -> str:
    """Return which of our addresses a datagram reached; empty if it is not said."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            return _text(family, data[_IPV4_LOCAL])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return _text(family, data[:_IPV6_SIZE])
    return ""


@lru_cache(maxsize=MAX_OWN)
def pktinfo(local_host: str, scope: int) -> tuple[int, int, bytes]:
    """Return the control message that sends from an address of ours.

    Args:
        local_host: The address.
        scope: The interface to send by, for a link-local peer; else 0.
    """
    if ":" in local_host:
        packed = socket.inet_pton(socket.AF_INET6, local_host)
        index = scope.to_bytes(_INDEX_SIZE, sys.byteorder)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed + index
    packed = socket.inet_pton(socket.AF_INET, local_host)
    return socket.IPPROTO_IP, IP_PKTINFO, _ANY_INDEX + packed + bytes(_IPV4_SIZE)


@lru_cache(maxsize=MAX_OWN)
def _text(family: int, packed: bytes) -> str:
    return socket.inet_ntop(family, packed)
