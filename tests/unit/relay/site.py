"""Whole relay nodes in this process: store, thread, machine, driver and sockets."""

import asyncio
import hashlib
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.model import Endpoint
from gateway.errors import RelayFault
from gateway.host.workers import Worker
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.relay.driver import RelayDriver
from gateway.relay.events import BundleFailed, MessageRefused
from gateway.relay.node import RelayNode
from gateway.relay.pads import stock_name
from gateway.relay.transport import RelayTransport
from gateway.secret import Secret
from tests.unit.relay.bench import Sink, make_pads

if TYPE_CHECKING:
    from gateway.relay.events import RelayEvent

HOST = "127.0.0.1"


class Site:
    """One node; it listens on `ports` of loopback at its own name."""

    def __init__(
        self,
        folder: Path,
        name: str,
        neighbours: Iterable[str],
        ports: Mapping[str, int],
    ) -> None:
        self.name = name
        self.neighbours = list(neighbours)
        self.sink = Sink()
        self.events: list[RelayEvent] = []
        self.received: list[tuple[str, bytes]] = []
        self.store = SQLiteKeyStore(
            folder / name / "keys.db", Secret(hashlib.sha256(name.encode()).digest())
        )
        self.worker = Worker(name)
        self.node = RelayNode(name, self.neighbours, self.store, self.sink)
        self.driver = RelayDriver(
            self.node,
            self.send,
            self.worker.run,
            clock=asyncio.get_running_loop().time,
            publish=self.events.append,
        )
        self.transport = RelayTransport(
            name,
            {peer: Endpoint(HOST, ports[peer]) for peer in self.neighbours},
            [Endpoint(HOST, ports[name])],
            receive=self.receive,
        )

    def send(self, peer: str, data: bytes) -> bool:
        return self.transport.send(peer, data)

    def receive(self, peer: str, data: bytes) -> None:
        self.received.append((peer, data))
        self.driver.receive(peer, data)

    async def start(self) -> None:
        await self.driver.start()
        await self.transport.start()

    async def stop(self) -> None:
        await self.transport.stop()
        await self.driver.stop()
        self.worker.stop()
        self.store.close()

    @property
    def connected(self) -> bool:
        return all(self.transport.is_connected(peer) for peer in self.neighbours)

    def faults(self) -> list[RelayFault]:
        return [
            event.error.fault
            for event in self.events
            if isinstance(event, MessageRefused | BundleFailed)
        ]


class Sites:
    """A network of them."""

    def __init__(self, folder: Path, links: Iterable[tuple[str, str]]) -> None:
        self.links = list(links)
        names = sorted({name for link in self.links for name in link})
        self._reserved = {name: reserve_port() for name in names}
        self.ports = {n: sock.getsockname()[1] for n, sock in self._reserved.items()}
        self.at = {
            name: Site(folder, name, self._neighbours(name), self.ports)
            for name in names
        }
        self._next = 0

    def _neighbours(self, name: str) -> list[str]:
        return [b if a == name else a for a, b in self.links if name in (a, b)]

    def fill(self, count: int) -> None:
        """Deliver `count` pads for each direction of each link, at both ends."""
        for a, b in self.links:
            for stock in (stock_name(a, b), stock_name(b, a)):
                for end in (a, b):
                    pads = make_pads(stock, self._next, count)
                    self.at[end].store.intake.add(stock, pads)
        self._next += count

    async def start(self) -> None:
        for site in self.at.values():
            await site.start()
        await until(lambda: all(site.connected for site in self.at.values()))

    async def stop(self) -> None:
        for site in self.at.values():
            await site.stop()
        for sock in self._reserved.values():
            sock.close()


def reserve_port() -> socket.socket:
    """Bind a port that only who asks for it by number will get."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    return sock


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- of conditions of any kind
            await asyncio.sleep(0.01)
