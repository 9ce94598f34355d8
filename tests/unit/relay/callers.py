"""A node under attack, and who calls it from an address of choice."""

import asyncio

from gateway.config.model import Endpoint
from gateway.relay.transport import RelayTransport

OURS, REDU, SIN, STRANGER = (f"127.0.0.{number}" for number in (1, 2, 3, 9))
NOBODY = 9
"""A port of loopback on which nothing listens: discard."""


class Lux:
    """The node under attack; its neighbours are at addresses of their own."""

    def __init__(self, **ports: int) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.changes: list[tuple[str, bool]] = []
        self.callers: list[Caller] = []
        self.transport = RelayTransport(
            "lux",
            {
                "redu": Endpoint(REDU, ports.get("redu", NOBODY)),
                "sin": Endpoint(SIN, ports.get("sin", NOBODY)),
            },
            [Endpoint(OURS, 0)],
            receive=lambda peer, data: self.received.append((peer, data)),
            changed=lambda peer, connected: self.changes.append((peer, connected)),
        )

    async def stop(self) -> None:
        for caller in self.callers:
            caller.close()
        await self.transport.stop()
        await asyncio.sleep(0)

    def count(self, reason: str) -> int:
        return self.transport.counters().get(reason, 0)


class Caller:
    """Somebody who connects to a node from an address of choice."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def is_closed(self) -> bool:
        """Wait until the node closes; it must not have sent a byte."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.transport.abort()


async def call(lux: Lux, source: str) -> Caller:
    ((host, port),) = lux.transport.addresses
    streams = await asyncio.open_connection(host, port, local_addr=(source, 0))
    lux.callers.append(Caller(*streams))
    return lux.callers[-1]


MESSAGE = b"\1\2 a message"
