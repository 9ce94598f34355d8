"""One relay node as a process: store on disk, thread, driver and sockets.

``python -m benches.relay_node``, told what it is by one JSON line. Says "ready" when it
is connected, then answers each further line: an order to relay, or how it stands.
"""

import asyncio
import hashlib
import json
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.config.model import Endpoint
from gateway.host.workers import Worker
from gateway.keystore.base import NewKey
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.relay import connector, sockets
from gateway.relay.driver import RelayDriver
from gateway.relay.events import RelayedKeys
from gateway.relay.frames import FRAME_OVERHEAD
from gateway.relay.node import RelayNode
from gateway.relay.pads import stock_name
from gateway.relay.transport import RelayTransport
from gateway.secret import Secret

HOST = "127.0.0.1"
STOCK = "relayed"
FILL_BATCH = 1000

ETHERNET_MSS = 1448
"""Bytes of TCP payload in 1,500 with IPv4 and timestamps; loopback takes 64 KiB."""

SEGMENT_HEADERS = 52
"""Bytes of IPv4 and TCP headers in a segment, timestamps included."""

_TCP_INFO_SIZE = 144
_SEGMENTS = slice(136, 144)
"""Of struct tcp_info, linux/tcp.h: segments sent and received."""


def make_pad(stock: str, number: int) -> NewKey:
    """The same pads at both ends."""
    digest = hashlib.sha512(f"{stock} {number}".encode()).digest()
    return NewKey(UUID(bytes=digest[:16]), Secret(digest[32:]))


class Node:
    """A node and what it counts."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.name: str = told["name"]
        self.neighbours: dict[str, int] = told["neighbours"]
        self.store = SQLiteKeyStore(
            Path(told["folder"]) / self.name / "keys.db", Secret(bytes(32))
        )
        self.worker = Worker("key-store")
        self.sent: Counter[str] = Counter()
        self.driver = RelayDriver(
            RelayNode(self.name, self.neighbours, self.store, self),
            self.send,
            self.worker.run,
            clock=time.monotonic,
            publish=lambda _event: None,
        )
        self.transport = RelayTransport(
            self.name,
            {peer: Endpoint(HOST, port) for peer, port in self.neighbours.items()},
            [Endpoint(HOST, told["port"])],
            receive=self.driver.receive,
        )
        self._digest = 0

    def fill(self, pads: int) -> None:
        """Deliver pads for both directions of every link."""
        for peer in self.neighbours:
            for stock in (stock_name(self.name, peer), stock_name(peer, self.name)):
                for first in range(0, pads, FILL_BATCH):
                    numbers = range(first, first + FILL_BATCH)
                    self.store.intake.add(
                        stock, [make_pad(stock, one) for one in numbers]
                    )

    def take(self, relayed: RelayedKeys) -> None:
        """Store keys; remember them all, in any order."""
        report = self.store.intake.add(STOCK, relayed.keys, confirmed=relayed.confirmed)
        if report.refused:
            raise RuntimeError(f"refused: {report.refused[0].reason}")
        for key in relayed.keys:
            both = key.key_id.bytes + key.key.expose()
            self._digest ^= int.from_bytes(hashlib.sha256(both).digest())

    def send(self, peer: str, data: bytes) -> bool:
        """Send, and count."""
        self.sent[peer] += len(data) + FRAME_OVERHEAD
        return self.transport.send(peer, data)

    async def relay(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have bundles relayed, some at a time; return what that took."""
        left = iter(range(order["bundles"]))

        async def work() -> None:
            for _ in left:
                relayed = await self.driver.request(order["routes"], order["count"])
                await self.worker.run(self.take, relayed)

        begin = time.monotonic()
        await asyncio.gather(*(work() for _ in range(order["ahead"])))
        return {"seconds": time.monotonic() - begin}

    def standing(self) -> dict[str, Any]:
        """Say what was sent so far, with headers and without, and which keys came."""
        segments = 0
        for peer in self.neighbours:
            connector: Any = self.transport._connectors[peer]  # noqa: SLF001  # its socket
            sock = connector._sender.transport.get_extra_info("socket")  # noqa: SLF001
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
            counts = info[_SEGMENTS]
            segments += int.from_bytes(counts[:4], sys.byteorder)
            segments += int.from_bytes(counts[4:], sys.byteorder)
        return {
            "bytes": self.sent.total(),
            "headers": segments * SEGMENT_HEADERS,
            "digest": f"{self._digest:064x}",
        }

    async def start(self) -> None:
        """Begin, and wait until all neighbours are there."""
        await self.driver.start()
        await self.transport.start()
        while not all(map(self.transport.is_connected, self.neighbours)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End."""
        await self.transport.stop()
        await self.driver.stop()
        self.worker.stop()
        self.store.close()


def as_on_ethernet() -> None:
    """Send segments no longer than they are on a wire."""

    def limited(sock: socket.socket) -> None:
        sockets.set_limits(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_MSS)

    connector.set_limits = limited  # type: ignore[attr-defined]  # imported there


async def run() -> None:
    """Obey the lines read."""
    as_on_ethernet()
    told = json.loads(sys.stdin.readline())
    node = Node(told)
    node.fill(told["pads"])
    await node.start()
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        said = await node.relay(order) if "routes" in order else node.standing()
        print(json.dumps(said), flush=True)
    await node.stop()


if __name__ == "__main__":
    asyncio.run(run())
