"""The UDP sockets of the control plane, one for each address listened on."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from gateway.config.model import Endpoint
from gateway.errors import GatewayError

logger = logging.getLogger(__name__)

SocketAddress = tuple[str, int]

MAX_DATAGRAM: Final = 2048
"""Bytes read of a datagram; longer ones are dropped by size, seen or not."""

BATCH: Final = 64
"""Datagrams taken in one turn of the event loop, so that a flood cannot hold it."""

UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with
"""What the kernel calls the address of a socket that listens on all."""

RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel: the M1s of a hub's branches all at once."""


class ControlSockets:
    """Receives and sends datagrams; addresses are (IP, port) of either family."""

    def __init__(
        self,
        listen: Iterable[Endpoint],
        receive: Callable[[bytes, SocketAddress], None],
        drained: Callable[[], None],
    ) -> None:
        """Name the addresses; nothing is opened before `open`.

        Args:
            listen: Addresses and ports.
            receive: Called with each datagram and where it came from.
            drained: Called after each batch of them.
        """
        self._listen = tuple(listen)
        self._receive = receive
        self._drained = drained
        self._sockets: dict[int, socket.socket] = {}
        self._bound: dict[int, SocketAddress] = {}
        self.unsent: Counter[str] = Counter()
        """Datagrams the kernel did not take, by reason."""

    @property
    def families(self) -> set[int]:
        """Address families that can be reached."""
        return set(self._sockets)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The open sockets."""
        return tuple(self._sockets.values())

    def port(self, family: int) -> int:
        """Return our port for an address family."""
        return self._bound[family][1]

    def open(self, inherited: Iterable[int] = ()) -> None:
        """Bind every address, or take over the sockets systemd kept for us.

        Raises:
            GatewayError: An address is taken, or not ours.
        """
        kept = _adopt(inherited)
        for endpoint in self._listen:
            family = (
                socket.AF_INET6
                if ipaddress.ip_address(endpoint.host).version == 6  # noqa: PLR2004
                else socket.AF_INET
            )
            if family in self._sockets:
                raise GatewayError(
                    f"cannot listen on {endpoint}: one address a family is supported",
                    "leave one IPv4 and one IPv6 address in listen",
                )
            sock = kept.pop((family, endpoint.host, endpoint.port), None)
            sock = self._sockets[family] = sock or _bind(family, endpoint)
            self._bound[family] = _address(sock)
        for unwanted in kept.values():
            unwanted.close()

    def start(self) -> None:
        """Read from the sockets in the running event loop."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.add_reader(sock, self._read, sock)

    def send(self, data: bytes, address: SocketAddress) -> None:
        """Send a datagram; what the kernel cannot take is lost, as on the network."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = self._sockets.get(family)
        if sock is None:
            self.unsent["no socket of that family"] += 1
            return
        try:
            sock.sendto(data, address)
        except OSError as error:
            self.unsent[os.strerror(error.errno or 0)] += 1

    def source_for(self, address: SocketAddress) -> SocketAddress:
        """Return our own address and port, as the peer at an address sees them.

        Raises:
            GatewayError: There is no route to it.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        if family not in self._sockets:
            raise GatewayError(
                f"no socket can reach {address[0]}",
                "add an address of that family to listen in gateway.toml",
            )
        bound, port = self._bound[family]
        if bound not in UNSPECIFIED:
            return bound, port
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(address)
            except OSError as error:
                raise GatewayError(
                    f"no route to {address[0]}: {os.strerror(error.errno or 0)}",
                    "check: ip route get " + address[0],
                ) from error
            return _address(probe)[0], port

    def close(self) -> None:
        """Stop reading and close."""
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            for sock in self._sockets.values():
                loop.remove_reader(sock)
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._bound.clear()

    def _read(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, address = sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error that came back for something we sent
            self._receive(data, (address[0], address[1]))
        self._drained()


def _address(sock: socket.socket) -> SocketAddress:
    name = sock.getsockname()
    return str(name[0]), int(name[1])


def _bind(family: int, endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((endpoint.host, endpoint.port))
    except OSError as error:
        sock.close()
        raise GatewayError(
            f"cannot listen on {endpoint}: {os.strerror(error.errno or 0)}",
            f"see who has it: ss -ulpn 'sport = :{endpoint.port}'",
        ) from error
    return sock


def _adopt(descriptors: Iterable[int]) -> dict[tuple[int, str, int], socket.socket]:
    found = {}
    for descriptor in descriptors:
        try:
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)  # noqa: FBT003  # takes no keyword
            name = sock.getsockname()
        except OSError:
            logger.warning("descriptor %d from systemd is no socket", descriptor)
            continue
        found[(int(sock.family), str(name[0]), int(name[1]))] = sock
    return found
