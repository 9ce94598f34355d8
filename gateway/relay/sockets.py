"""TCP sockets of the relay, and what the kernel is told about them."""

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import Final

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.relay.addresses import SocketAddress

BACKLOG: Final = 32
"""Connections the kernel accepts ahead of us; a node has a few neighbours."""

DEAD_AFTER: Final = 10.0
"""Seconds without an acknowledgement after which a neighbour is gone. With 0.17 s there
and back and loss, six retransmissions fit."""

KEEPALIVE_IDLE: Final = 3
KEEPALIVE_INTERVAL: Final = 2
"""Seconds until an idle connection is probed, and between probes: one that is dead is
noticed at the probe that follows `DEAD_AFTER`."""

_IP_FREEBIND: Final = 15
"""From linux/in.h: an address may be bound before it is there. Serves IPv6 as well."""

_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with


def listen_on(endpoint: Endpoint) -> socket.socket:
    """Bind and listen.

    Raises:
        GatewayError: The address is taken, or not ours.
    """
    family = family_of(endpoint.host)
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            hint = f"see who has it: ss -tlpn 'sport = :{endpoint.port}'"
        else:
            hint = "correct the address and port on which the relay listens"
        raise GatewayError(
            f"the relay cannot listen on {endpoint}: {os.strerror(error.errno or 0)}",
            hint,
        ) from error
    return sock


def set_limits(sock: socket.socket) -> None:
    """Send at once, and notice within some `DEAD_AFTER` that the other end is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    # With a user timeout the number of probes does not matter (tcp(7)).
    milliseconds = int(DEAD_AFTER * 1000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def bind_source(
    sock: socket.socket, listen: Sequence[Endpoint], to: SocketAddress
) -> None:
    """Connect from an address on which we listen: the neighbour knows us by it.

    Where the kernel would choose one of them by its routes, that is the one.

    Raises:
        OSError: The neighbour cannot be reached.
    """
    ours = [
        endpoint.host
        for endpoint in listen
        if endpoint.host not in _UNSPECIFIED and family_of(endpoint.host) == sock.family
    ]
    if not ours or _source_towards(to) in ours:
        return
    # The port is chosen at connect(2), by all four of addresses and ports.
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((ours[0], 0))


def _source_towards(to: SocketAddress) -> str:
    """Return the address that the kernel would send from."""
    with socket.socket(family_of(to[0]), socket.SOCK_DGRAM) as probe:
        probe.connect(to)  # sends nothing
        return address_of(probe)[0]


def refuse(sock: socket.socket) -> None:
    """Have closing reset the connection, so that the kernel need not remember it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)


_LINGER_NONE: Final = (1).to_bytes(4, "little") + bytes(4)


def family_of(address: str) -> socket.AddressFamily:
    """Return the family of a literal address."""
    four = ipaddress.ip_address(address).version == 4  # noqa: PLR2004
    return socket.AF_INET if four else socket.AF_INET6


def address_of(sock: socket.socket) -> SocketAddress:
    """Return where a socket is bound."""
    name = sock.getsockname()
    return str(name[0]), int(name[1])
