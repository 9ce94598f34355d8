"""Connections that others open to this node, and what is taken from them."""

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

from gateway.errors import RelayError
from gateway.relay.addresses import AddressBook
from gateway.relay.frames import FrameReader, decode_hello
from gateway.relay.sockets import BACKLOG, refuse, set_limits

HELLO_TIMEOUT: Final = 5.0
"""Seconds from a connection to its hello: with a lost packet, a second; slower, and it
would be another's slot that is held."""

MAX_UNIDENTIFIED: Final = 4
"""Connections of one address without a hello yet: a neighbour has one, or two when it
was started again. Strangers get none."""

MAX_CONNECTIONS: Final = 2
"""Connections of one neighbour: one in use, and one that nobody has noticed to be dead.
A third replaces the oldest."""

TURNS_TO_ACCEPT: Final = 4
"""Turns of the event loop from a connection that asyncio accepts to its end, if we want
none. A server closed in their midst loses it, open (CPython 3.11), or keeps it."""

logger = logging.getLogger(__name__)


class Receiver(asyncio.Protocol):
    """One connection that was opened by somebody else; nothing is ever sent on it.

    Attributes:
        source: The address it comes from.
        peer: The neighbour, once it has said its name.
    """

    def __init__(self, acceptor: "Acceptor") -> None:
        self._acceptor = acceptor
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.source = ""
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the hello, if it comes from where a neighbour is."""
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        self.source = _address(transport.get_extra_info("peername"))
        if not self._acceptor.admit(self):
            # The kernel would remember for a minute each that we close first.
            refuse(sock)
            self.abort()
            return
        set_limits(sock)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HELLO_TIMEOUT, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Hand over every whole message; close at the first that is none."""
        if self._is_closed():
            return
        self._reader.feed(data)
        try:
            while (frame := self._reader.next_frame()) is not None:
                self._take(frame)
                if self._is_closed():
                    return
        except RelayError as error:
            self.close("malformed", error.message)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget it."""
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._acceptor.forget(self)

    def _is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def close(self, reason: str, text: str) -> None:
        """Close a connection that is unwelcome, and count why."""
        self._acceptor.count(self, reason, text)
        self.abort()

    def abort(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: bytes) -> None:
        if self.peer:
            self._acceptor.receive(self.peer, frame)
            return
        name = decode_hello(frame)
        if self._acceptor.identify(self, name):
            self.peer = name
            if self._deadline is not None:
                self._deadline.cancel()
        else:
            self.close("wrong-source", f"it says it is {name!r}, which is elsewhere")

    def _give_up(self) -> None:
        self.close("hello-late", "it did not say its name in time")


class Acceptor:
    """All connections to this node.

    Args:
        book: Who may come from where.
        receive: Takes a neighbour's message.
        appeared: Called when a neighbour has connected.
        counters: Counts what was refused.
    """

    def __init__(
        self,
        book: AddressBook,
        *,
        receive: Callable[[str, bytes], None],
        appeared: Callable[[str], None],
        counters: Counter[str],
    ) -> None:
        self._book = book
        self._appeared = appeared
        self._counters = counters
        self._servers: list[asyncio.Server] = []
        self._unidentified: dict[str, set[Receiver]] = {}
        self._identified: dict[str, list[Receiver]] = {}
        self._refreshing: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.receive = receive

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept from sockets that listen."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            server = await loop.create_server(
                lambda: Receiver(self), sock=sock, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop(self) -> None:
        """Close everything, and what is being accepted just now."""
        self._stopped = True
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for sock in server.sockets:
                loop.remove_reader(sock)
        for task in self._refreshing:
            task.cancel()
        for connections in (*self._unidentified.values(), *self._identified.values()):
            for connection in connections:
                connection.abort()
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        self._servers.clear()

    def admit(self, connection: Receiver) -> bool:
        """Whether a new connection may say its name."""
        if self._stopped:
            return False
        if not self._book.knows(connection.source):
            self.count(connection, "stranger", "no neighbour is there")
            self._refresh()
            return False
        waiting = self._unidentified.setdefault(connection.source, set())
        if len(waiting) >= MAX_UNIDENTIFIED:
            self.count(connection, "unidentified", "too many did not say who they are")
            return False
        waiting.add(connection)
        return True

    def identify(self, connection: Receiver, name: str) -> bool:
        """Whether a connection may be that neighbour's; it then counts as one."""
        if not self._book.is_at(name, connection.source):
            return False
        self._note_identified(connection)
        connections = self._identified.setdefault(name, [])
        connections.append(connection)
        if len(connections) > MAX_CONNECTIONS:
            connections.pop(0).close("replaced", "there is a newer one")
        self._appeared(name)
        return True

    def forget(self, connection: Receiver) -> None:
        """Let go of a connection that is closed."""
        self._note_identified(connection)
        connections = self._identified.get(connection.peer, [])
        if connection in connections:
            connections.remove(connection)

    def _note_identified(self, connection: Receiver) -> None:
        waiting = self._unidentified.get(connection.source, set())
        waiting.discard(connection)
        if not waiting:
            self._unidentified.pop(connection.source, None)

    def count(self, connection: Receiver, reason: str, text: str) -> None:
        """Count a connection that was closed, and say why to who debugs."""
        self._counters[reason] += 1
        logger.debug("relay connection from %s is closed: %s", connection.source, text)

    def _refresh(self) -> None:
        """Look whether it is a neighbour whose address has changed: it comes again."""
        for name in self._book.stale:
            task = asyncio.create_task(self._book.refresh(name))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)


def _address(peername: tuple[object, ...] | None) -> str:
    """Return a peer's address in the spelling of `AddressBook`; empty if it is gone."""
    if not peername:
        return ""
    return str(ipaddress.ip_address(str(peername[0]).partition("%")[0]))
