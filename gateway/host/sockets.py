"""The UDP sockets of the control plane: datagrams in and out, by their paths.

An answer leaves from the address that was asked, since firewalls on the way know the
pair. A socket bound to one address does so by itself; one that listens on all is told
by the kernel which address each datagram reached (IP_PKTINFO), and tells it in turn.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host.listeners import (
    Listener,
    is_held,
    key_of,
    listen_beside,
    listen_on,
    mark,
    open_reply_socket,
)
from gateway.host.marks import OUTER_MARK
from gateway.host.path import (
    ANCILLARY_SPACE,
    Path,
    SocketAddress,
    family_of,
    local_of,
    pktinfo,
)
from gateway.host.unsent import Unsent

MAX_DATAGRAM: Final = 2048
"""Bytes read of a datagram; longer ones are dropped by size, seen or not."""

BATCH: Final = 64
"""Datagrams taken in one turn of the event loop, so that a flood cannot hold it."""

LINGER: Final = 30.0
"""Seconds for which an address that is not to be listened on any more is still read:
peers call there until they have heard from another one, and ESP in UDP comes there
until its next epoch is in force."""

NOT_OURS: Final = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL})
"""What the kernel says when it is to send from an address that is gone; a missing
route says the first too."""


Address = tuple[str, int] | tuple[str, int, int, int]
"""As the kernel takes it."""


def address_of(path: Path) -> Address:
    """Return a path's far end as the kernel takes it."""
    if path.scope:
        return path.host, path.port, 0, path.scope
    return path.host, path.port


class ControlSockets:
    """Receives and sends datagrams of both families.

    Attributes:
        unsent: What peers were not sent.
        unanswered: Answers to strangers that there was no room for.
    """

    def __init__(
        self,
        listen: Iterable[Endpoint],
        receive: Callable[[bytes, Path], None],
        drained: Callable[[], None],
    ) -> None:
        """Name the addresses; nothing is opened before `open`.

        Args:
            listen: Addresses and ports.
            receive: Called with each datagram and the path it came by.
            drained: Called after each batch of them.
        """
        self._listen = tuple(listen)
        self._receive = receive
        self._drained = drained
        self._listeners: list[Listener] = []
        self._by_local: dict[SocketAddress, Listener] = {}
        self._wild: dict[tuple[int, int], Listener] = {}
        self._leaving: dict[tuple[int, str, int], Listener] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.unsent = Unsent()
        self.unanswered = 0

    @property
    def families(self) -> set[int]:
        """Address families that can be reached."""
        return {listener.family for listener in self._listeners}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The open sockets."""
        return tuple(listener.sock for listener in self._listeners)

    @property
    def listen(self) -> tuple[Endpoint, ...]:
        """Addresses and ports that are wanted."""
        return self._listen

    @property
    def leaving(self) -> tuple[Endpoint, ...]:
        """Addresses and ports that are ours for a while yet."""
        return tuple(Endpoint(each.host, each.port) for each in self._leaving.values())

    @property
    def absent(self) -> tuple[str, ...]:
        """Addresses to listen on that are not on this host at present."""
        return tuple(each.host for each in self._listeners if each.is_absent)

    def dropped(self) -> dict[str, int]:
        """Return datagrams that were lost at this host's own sockets, by reason."""
        found = {
            "no room": sum(each.overflowed() for each in self._listeners),
            "no room to answer": self.unanswered,
        }
        return {reason: count for reason, count in found.items() if count}

    def open(
        self,
        inherited: Iterable[int] = (),
        *,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind every address, or take over the sockets systemd kept for us.

        Args:
            inherited: Descriptors from systemd.
            let_go: Asks systemd to close its copies of them.

        Raises:
            GatewayError: A port is taken.
        """
        self._listeners = listen_on(self._listen, inherited, let_go)
        for listener in self._listeners:
            self._find_by(listener)
        self.look()

    def start(self) -> None:
        """Read from the sockets in the running event loop."""
        for listener in self._listeners:
            self._read_from(listener)

    def rebind(self, listen: Iterable[Endpoint]) -> None:
        """Listen on other addresses: new sockets first, old ones go in a while.

        What is called from now on is called by the new ones. Paths over old ones serve
        until they are closed, and are then led over to the new ones.

        Raises:
            GatewayError: One is another program's; everything is as it was.
        """
        listen = tuple(listen)
        there = {each.key: each for each in (*self._listeners, *self._leaving.values())}
        for listener in there.values():
            listener.close_replies()  # they hold the port too, and are made anew
        fresh = listen_beside(
            (each for each in listen if key_of(each) not in there), there.values()
        )
        for listener in fresh:
            there[listener.key] = listener
            self._find_by(listener)
            self._read_from(listener)
        self._listen = listen
        self._listeners = [there.pop(key_of(each)) for each in listen]
        self._leaving = there
        self.look()
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LINGER, self.leave)

    def is_leaving(self, path: Path) -> bool:
        """Whether a path is over a socket that is soon closed."""
        listener = self._listener_of(path)
        return listener is not None and listener.key in self._leaving

    def leave(self) -> None:
        """Close what is not to be listened on any more."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for listener in self._leaving.values():
            loop.remove_reader(listener.sock)
            listener.close()
            if listener.is_wild:
                del self._wild[listener.family, listener.port]
            else:
                del self._by_local[listener.host, listener.port]
        self._leaving.clear()

    def look(self) -> None:
        """See which addresses are on this host; say what has changed."""
        for listener in self._listeners:
            self._note_absence(listener)

    def send(self, data: bytes, path: Path) -> None:
        """Send a datagram; what the kernel cannot take is lost, as on the network."""
        listener = self._listener_of(path)
        if listener is None:
            path = self._led_over(path)
            listener = self._listener_of(path)
            if listener is None:
                self.unsent.note("no socket for that path", path.host)
                return
        host = path.host
        if listener.is_absent:
            # IPv4 would refuse; IPv6 would send from an address that is not ours.
            self._note_absence(listener)
            if listener.is_absent:
                self.unsent.note(_absence(listener), host)
                return
        try:
            self._send_by(listener.sock, listener, data, path, address_of(path))
        except OSError as error:
            self.unsent.note(self._reason(listener, error), host)

    def reply(self, data: bytes, path: Path) -> None:
        """Answer somebody whose address may be made up.

        Such answers have a socket and a buffer of their own: what waits for a neighbour
        that does not exist keeps nothing from our peers.
        """
        listener = self._listener_of(path)
        if listener is None:
            return
        try:
            if listener.replies is None:
                listener.replies = open_reply_socket(listener)
            self._send_by(listener.replies, listener, data, path, address_of(path))
        except OSError:
            self.unanswered += 1

    def path_to(self, address: SocketAddress, local_host: str | None = None) -> Path:
        """Return the path by which to call a peer.

        Args:
            address: The peer's.
            local_host: Our own address, if the operator chose one.

        Raises:
            GatewayError: No socket can reach it, or only one whose address is not here.
        """
        host, zone, port = *address[0].partition("%")[::2], address[1]
        scope = socket.if_nametoindex(zone) if zone else 0
        listener = self._listener_for(address, local_host)
        self._refuse_absent(listener)
        local = local_host or ("" if listener.is_wild else listener.host)
        return Path(host, port, scope, local, listener.port)

    def source_of(self, path: Path) -> SocketAddress:
        """Return our own address and port, as the peer at a path sees them.

        Raises:
            GatewayError: There is no route to it.
        """
        if path.local_host:
            return path.local
        return _route_source(path.remote), path.local_port

    def close(self) -> None:
        """Stop reading and close."""
        if self._timer is not None:
            self._timer.cancel()
        listeners = (*self._listeners, *self._leaving.values())
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            for listener in listeners:
                loop.remove_reader(listener.sock)
        for listener in listeners:
            listener.close()
        self._listeners.clear()
        self._leaving.clear()
        self._by_local.clear()
        self._wild.clear()

    # -- Inside

    def _find_by(self, listener: Listener) -> None:
        """Let paths by a listener find it."""
        if listener.is_wild:
            self._wild[listener.family, listener.port] = listener
        else:
            self._by_local[listener.host, listener.port] = listener

    def _listener_of(self, path: Path) -> Listener | None:
        listener = self._by_local.get((path.local_host, path.local_port))
        if listener is None:
            listener = self._wild.get((family_of(path.host), path.local_port))
        return listener

    def _led_over(self, path: Path) -> Path:
        """Return a path to the same peer by a socket that is there."""
        try:
            return self.path_to(path.remote)._replace(scope=path.scope)
        except GatewayError:
            return path

    def _read_from(self, listener: Listener) -> None:
        read = self._read_wild if listener.is_wild else self._read_bound
        asyncio.get_running_loop().add_reader(listener.sock, read, listener)

    def _read_bound(self, listener: Listener) -> None:
        sock, receive = listener.sock, self._receive
        local_host, local_port = listener.host, listener.port
        for _ in range(BATCH):
            try:
                data, address = sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error that came back for something we sent
            scope = _scope_of(address)
            receive(data, Path(address[0], address[1], scope, local_host, local_port))
        self._drained()

    def _read_wild(self, listener: Listener) -> None:
        sock, receive = listener.sock, self._receive
        family, local_port = listener.family, listener.port
        for _ in range(BATCH):
            try:
                data, said, _, address = sock.recvmsg(MAX_DATAGRAM, ANCILLARY_SPACE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # as above
            local_host = local_of(family, said)
            scope = _scope_of(address)
            receive(data, Path(address[0], address[1], scope, local_host, local_port))
        self._drained()

    @staticmethod
    def _send_by(
        sock: socket.socket,
        listener: Listener,
        data: bytes,
        path: Path,
        address: Address,
    ) -> None:
        """Send from the path's own address, or from another once that is gone."""
        if not (listener.is_wild and path.local_host):
            sock.sendto(data, address)
            return
        try:
            own = pktinfo(path.local_host, path.scope)
            sock.sendmsg((data,), (own,), 0, address)
        except OSError as error:
            if error.errno not in NOT_OURS:
                raise
            sock.sendto(data, address)

    def _listener_for(self, address: SocketAddress, local_host: str | None) -> Listener:
        family = family_of(address[0])
        usable = [each for each in self._listeners if each.family == family]
        if not usable:
            raise GatewayError(
                f"no socket can reach {address[0]}",
                "add an address of that family to listen in gateway.toml",
            )
        if local_host is not None:
            for listener in usable:
                if listener.host == local_host or listener.is_wild:
                    return listener
            raise GatewayError(
                f"local_address {local_host} is not listened on",
                "add it to listen in gateway.toml",
            )
        if len(usable) == 1:
            return usable[0]
        with contextlib.suppress(GatewayError):
            preferred = _route_source(address)
            for listener in usable:
                if listener.host == preferred or listener.is_wild:
                    return listener
        return next((each for each in usable if is_held(each)), usable[0])

    def _refuse_absent(self, listener: Listener) -> None:
        """Say at once what a call from an absent address would find out late."""
        self._note_absence(listener)
        if listener.is_absent:
            raise GatewayError(
                _absence(listener),
                "it is used once it comes; or add another address to listen",
            )

    def _note_absence(self, listener: Listener) -> None:
        was, listener.is_absent = listener.is_absent, not is_held(listener)
        if listener.is_absent != was:
            self.unsent.note_address(listener.host, is_absent=listener.is_absent)

    def _reason(self, listener: Listener, error: OSError) -> str:
        if error.errno in NOT_OURS:
            self._note_absence(listener)
            if listener.is_absent:
                return _absence(listener)
        return os.strerror(error.errno or 0)


def _absence(listener: Listener) -> str:
    return f"{listener.host} is not on this host"


def _scope_of(address: tuple[str, int] | tuple[str, int, int, int]) -> int:
    """Return the interface of a link-local address; 0 for all others."""
    return int(address[3]) if len(address) > 2 else 0  # noqa: PLR2004  # IPv4 has two


def _route_source(address: SocketAddress) -> str:
    """Return the address of ours that the kernel chooses outside all tunnels.

    Raises:
        GatewayError: There is no route.
    """
    with socket.socket(family_of(address[0]), socket.SOCK_DGRAM) as probe:
        mark(probe)
        try:
            probe.connect(address)
        except OSError as error:
            raise GatewayError(
                f"no route to {address[0]}: {os.strerror(error.errno or 0)}",
                f"check: ip route get {address[0]} mark {OUTER_MARK:#x}",
            ) from error
        return str(probe.getsockname()[0])
