"""A whole relay node in this process: store, thread, machine, driver and sockets."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.model import Endpoint
from gateway.daemon.workers import Worker
from gateway.keystore.sqlite import SQLiteKeyStore
from gateway.relay.driver import RelayDriver
from gateway.relay.node import RelayNode
from gateway.relay.transport import RelayTransport
from gateway.secret import Secret
from tests.unit.relay.bench import Sink

if TYPE_CHECKING:
    from gateway.relay.events import RelayEvent

HOST = "127.0.0.1"


class Site:
    """One node; its neighbours are to be reached at `ports` of loopback."""

    def __init__(self, folder: Path, name: str, ports: Mapping[str, int]) -> None:
        self.name = name
        self.sink = Sink()
        self.events: list[RelayEvent] = []
        self.store = SQLiteKeyStore(
            folder / name / "keys.db", Secret(hashlib.sha256(name.encode()).digest())
        )
        self.worker = Worker(name)
        self.node = RelayNode(name, ports.keys(), self.store, self.sink)
        self.driver = RelayDriver(
            self.node,
            self.send,
            self.worker.run,
            clock=asyncio.get_running_loop().time,
            publish=self.events.append,
        )
        self.transport: RelayTransport | None = None
        self._ports = ports

    def send(self, peer: str, data: bytes) -> bool:
        return self.transport is not None and self.transport.send(peer, data)

    async def start(self, port: int) -> None:
        await self.driver.start()
        self.transport = RelayTransport(
            self.name,
            {peer: Endpoint(HOST, number) for peer, number in self._ports.items()},
            [Endpoint(HOST, port)],
            receive=self.driver.receive,
        )
        await self.transport.start()

    async def stop(self) -> None:
        if self.transport is not None:
            await self.transport.stop()
        await self.driver.stop()
        self.worker.stop()
        self.store.close()

    @property
    def connected(self) -> bool:
        return self.transport is not None and all(
            self.transport.is_connected(peer) for peer in self._ports
        )


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- of conditions of any kind
            await asyncio.sleep(0.01)
