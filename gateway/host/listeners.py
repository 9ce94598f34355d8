"""Sockets that listen: bound afresh, or taken over from systemd."""

import errno
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.config.model import Endpoint
from gateway.errors import GatewayError, passes
from gateway.events.bus import publish
from gateway.events.host import DatagramUnmarked, DescriptorRefused
from gateway.host.marks import OUTER_MARK
from gateway.host.path import IP_PKTINFO, SocketAddress, family_of

FREEBIND: Final = {
    int(socket.AF_INET): (socket.IPPROTO_IP, 15),
    int(socket.AF_INET6): (socket.IPPROTO_IPV6, 78),
}
"""Levels and options: IP_FREEBIND (linux/in.h), IPV6_FREEBIND (linux/in6.h)."""

_OWN_HOST: Final = {int(socket.AF_INET): "127.0.0.1", int(socket.AF_INET6): "::1"}

SO_SNDBUFFORCE: Final = 32
"""asm-generic/socket.h: beyond net.core.wmem_max, with CAP_NET_ADMIN."""

SO_MEMINFO: Final = 55
"""asm-generic/socket.h: nine numbers, of which the last are datagrams dropped."""

_MEMINFO: Final = struct.Struct("9I")

SO_RCVBUFFORCE: Final = 33
"""asm-generic/socket.h: beyond net.core.rmem_max, with CAP_NET_ADMIN."""

RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel: the M1s of a hub's branches all at once."""

SEND_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel: what waits for the neighbour of one peer counts against
the socket, and the default of 208 KiB is full with 92 datagrams to a dead one."""

REPLY_BUFFER: Final = 64 * 1024
"""Bytes for what answers strangers: what waits for neighbours that do not exist counts
against it, some 170 datagrams, and fills neither our own buffer nor the kernel's table
of neighbours (which begins to clear out at 128 and refuses at 1,024)."""

DISCARD: Final = 9
"""The port of RFC 863, from which nobody writes to us."""

LET_GO: Final = 1.0
"""Seconds that systemd is given to close what it kept for us."""

LET_GO_POLL: Final = 0.02
"""Seconds between tries meanwhile."""


@dataclass(slots=True)
class Listener:
    """One socket of the control plane.

    Attributes:
        sock: The socket, bound and not blocking.
        family: AF_INET or AF_INET6.
        host: The address it is bound to.
        port: Its port.
        is_wild: Whether it takes datagrams to any of our addresses.
        is_absent: Whether its address is not on this host at present.
        replies: What answers strangers, once there is one.
    """

    sock: socket.socket
    family: int
    host: str
    port: int
    is_wild: bool
    is_absent: bool = False
    replies: socket.socket | None = None

    @property
    def key(self) -> tuple[int, str, int]:
        """As `key_of` of its endpoint."""
        return self.family, self.host, self.port

    def overflowed(self) -> int:
        """Return how many datagrams the kernel dropped here: it had no room."""
        numbers = self.sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(numbers)[-1])

    def close_replies(self) -> None:
        """Close what answers strangers; it is made anew when one is to be answered."""
        if self.replies is not None:
            self.replies.close()
            self.replies = None

    def close(self) -> None:
        """Close both sockets."""
        self.close_replies()
        self.sock.close()


def listen_on(
    endpoints: Iterable[Endpoint], kept: Iterable[int], let_go: Callable[[], None]
) -> list[Listener]:
    """Return a listener for each endpoint, in order.

    Args:
        endpoints: Addresses and ports; an address need not be on this host yet.
        kept: Descriptors that systemd kept over a restart.
        let_go: Asks systemd to close its copies: some of them are of no use any more,
            and hold ports that may be needed.

    Raises:
        GatewayError: A port is taken; nothing is left open.
    """
    adopted = _adopt(kept)
    wanted = [(key_of(endpoint), endpoint) for endpoint in endpoints]
    useless = set(adopted) - {key for key, _ in wanted}
    if useless:
        let_go()
    for key in useless:
        adopted.pop(key).close()
    patience = LET_GO if useless else 0.0
    found: list[Listener] = []
    try:
        for key, endpoint in wanted:
            sock = adopted.pop(key, None) or _bind(key[0], endpoint, patience)
            found.append(_prepare(sock, key[0]))
    except GatewayError:
        for sock in (*adopted.values(), *(listener.sock for listener in found)):
            sock.close()
        raise
    return found


def listen_beside(
    endpoints: Iterable[Endpoint], others: Iterable[Listener]
) -> list[Listener]:
    """Return a listener for each endpoint, while others still have their ports.

    One address and all addresses can have one port at once if both sockets say so;
    they do no longer than it takes to bind, or any program could join them.

    Raises:
        GatewayError: A port is another program's; nothing is left open.
    """
    found: list[Listener] = []
    shared = [listener.sock for listener in others]
    try:
        for sock in shared:
            _share(sock, is_shared=True)
        for endpoint in endpoints:
            family = family_of(endpoint.host)
            sock = _bind(family, endpoint, 0.0, is_shared=True)
            found.append(_prepare(sock, family))
    except GatewayError:
        for listener in found:
            listener.sock.close()
        raise
    finally:
        for sock in shared:
            _share(sock, is_shared=False)
    for listener in found:
        _share(listener.sock, is_shared=False)
    return found


def _share(sock: socket.socket, *, is_shared: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(is_shared))


def is_held(listener: Listener) -> bool:
    """Whether a listener's address is on this host."""
    if listener.is_wild:
        return True
    with socket.socket(listener.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((listener.host, 0, *listener.sock.getsockname()[2:]))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def open_reply_socket(listener: Listener) -> socket.socket:
    """Return a socket that sends from a listener's address and port, and hears nothing.

    The kernel gives what arrives to the socket that fits best, and one that is
    connected fits its peer alone: this one is connected to our own host. Others may
    share the port only while this function runs.

    Raises:
        OSError: The listener's address is not on this host, or a limit is reached.
    """
    sock = socket.socket(listener.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if listener.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _share(sock, is_shared=True)
        _share(listener.sock, is_shared=True)
        try:
            sock.bind(listener.sock.getsockname())
        finally:
            _share(listener.sock, is_shared=False)
        _share(sock, is_shared=False)
        sock.connect((_OWN_HOST[listener.family], DISCARD))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REPLY_BUFFER)
        mark(sock)
    except OSError:
        sock.close()
        raise
    return sock


def mark(sock: socket.socket) -> bool:
    """Have a socket's datagrams routed outside all tunnels.

    Without it, a peer inside a remote prefix would be called through the tunnel that
    is not up before it has answered.

    Returns:
        Whether this process may (CAP_NET_ADMIN).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OUTER_MARK)
    except PermissionError:
        return False
    return True


def key_of(endpoint: Endpoint) -> tuple[int, str, int]:
    """Return family, address and port, by which a listener is known."""
    return family_of(endpoint.host), endpoint.host, endpoint.port


def _prepare(sock: socket.socket, family: int) -> Listener:
    """Set what a new socket and one of an earlier release need alike."""
    host, port = _name(sock)
    is_wild = ipaddress.ip_address(host).is_unspecified
    if is_wild and family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif is_wild:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    if not mark(sock):
        publish(DatagramUnmarked(host, port))
    _set_buffer(sock, SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER)
    _set_buffer(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER)
    return Listener(sock, family, host, port, is_wild)


def _set_buffer(sock: socket.socket, force: int, ask: int, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:  # without CAP_NET_ADMIN: as much as the host allows
        sock.setsockopt(socket.SOL_SOCKET, ask, size)


def _bind(
    family: int, endpoint: Endpoint, patience: float, *, is_shared: bool = False
) -> socket.socket:
    until = time.monotonic() + patience
    while True:
        try:
            return _try_to_bind(family, endpoint, is_shared=is_shared)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(LET_GO_POLL)
                continue
            reason = (
                error.strerror
                if isinstance(error, socket.gaierror)
                else os.strerror(error.errno or 0)
            )
            raise GatewayError(
                f"cannot listen on {endpoint}: {reason}",
                f"see who has it: ss -ulpn 'sport = :{endpoint.port}'",
                retryable=passes(error),
            ) from error


def _try_to_bind(family: int, endpoint: Endpoint, *, is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _share(sock, is_shared=is_shared)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Not on a socket for all addresses: IPv6 would then send from any that it is
        # told, also one that is gone, or a group's.
        if not ipaddress.ip_address(endpoint.host).is_unspecified:
            level, option = FREEBIND[family]
            sock.setsockopt(level, option, 1)
        sock.bind((endpoint.host, endpoint.port))
    except OSError:
        sock.close()
        raise
    return sock


def _name(sock: socket.socket) -> SocketAddress:
    name = sock.getsockname()
    return str(name[0]), int(name[1])


def _adopt(descriptors: Iterable[int]) -> dict[tuple[int, str, int], socket.socket]:
    found: dict[tuple[int, str, int], socket.socket] = {}
    for descriptor in descriptors:
        try:
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)  # noqa: FBT003  # takes no keyword
            host, port = _name(sock)
        except OSError:
            publish(DescriptorRefused(descriptor, "is no socket"))
            continue
        key = (int(sock.family), host, port)
        if key in found:
            found.pop(key).close()  # the same one, kept twice
        found[key] = sock
    return found
