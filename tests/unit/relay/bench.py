"""Nodes with real key stores, joined by a wire that a test holds in its hand."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from gateway.keystore.base import NewKey
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.relay.events import RelayedKeys, RelayEvent
from gateway.relay.messages import SHARE_SIZE, RelayKeys, decode_message
from gateway.relay.node import RelayNode
from gateway.relay.pads import stock_name
from gateway.secret import Secret


def make_pads(stock: str, first: int, count: int) -> list[NewKey]:
    """The same pads at both ends of a link."""
    pads = []
    for number in range(first, first + count):
        digest = hashlib.sha512(f"{stock} {number}".encode()).digest()
        pads.append(NewKey(UUID(bytes=digest[:16]), Secret(digest[32:])))
    return pads


@dataclass
class Sink:
    """Remembers what it took, as bytes."""

    keys: dict[UUID, bytes] = field(default_factory=dict)
    relayed: list[RelayedKeys] = field(default_factory=list)

    def take(self, relayed: RelayedKeys) -> None:
        self.relayed.append(relayed)
        self.keys |= {key.key_id: key.key.expose() for key in relayed.keys}


class Network:
    """Nodes by name; every message between them is remembered in `sent`."""

    def __init__(self, folder: Path, links: Iterable[tuple[str, str]]) -> None:
        self.folder = folder
        self.links = list(links)
        self.now = 0.0
        self.sent: list[tuple[str, str, bytes]] = []
        self.queue: list[tuple[str, str, bytes]] = []
        self.names = sorted({name for link in self.links for name in link})
        self.sinks = {name: Sink() for name in self.names}
        self.stores: dict[str, SQLiteKeyStore] = {}
        self.nodes: dict[str, RelayNode] = {}
        self._next = 0
        for name in self.names:
            self.boot(name)

    def boot(self, name: str) -> None:
        """Open a node's store and start it anew; an old one is dropped."""
        if name in self.stores:
            self.stores[name].close()
        self.stores[name] = SQLiteKeyStore(
            self.folder / name / "keys.db",
            Secret(hashlib.sha256(name.encode()).digest()),
        )
        self.nodes[name] = RelayNode(
            name, self.neighbours(name), self.stores[name], self.sinks[name]
        )

    def neighbours(self, name: str) -> list[str]:
        return [b if a == name else a for a, b in self.links if name in (a, b)]

    def fill(self, count: int) -> None:
        """Deliver `count` pads for each direction of each link, at both ends."""
        for a, b in self.links:
            for stock in (stock_name(a, b), stock_name(b, a)):
                for end in (a, b):
                    self.stores[end].intake.add(
                        stock, make_pads(stock, self._next, count)
                    )
        self._next += count

    def collect(self, name: str) -> None:
        """Put what a node wants to send on the wire, and take what it has made."""
        for relayed in self.nodes[name].take_delivered():
            self.sinks[name].take(relayed)
        for peer, data in self.nodes[name].messages_to_send():
            self.sent.append((name, peer, data))
            self.queue.append((name, peer, data))

    def step(self) -> bool:
        """Deliver one message."""
        if not self.queue:
            return False
        sender, receiver, data = self.queue.pop(0)
        self.nodes[receiver].receive(sender, data, now=self.now)
        self.collect(receiver)
        return True

    def run(self) -> None:
        """Deliver until all is quiet."""
        while self.step():
            pass

    def start(self, *routes: tuple[str, ...], count: int = 3) -> UUID:
        bundle = self.nodes[routes[0][0]].start(routes, count, now=self.now)
        self.collect(routes[0][0])
        return bundle

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name, node in self.nodes.items():
            node.handle_timer(now=self.now)
            self.collect(name)

    def events(self, name: str) -> list[RelayEvent]:
        found = []
        while (event := self.nodes[name].next_event()) is not None:
            found.append(event)
        return found

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


def carried(data: bytes) -> RelayKeys:
    """Read a captured batch."""
    message = decode_message(data)
    assert isinstance(message, RelayKeys)
    assert len(message.sealed) == SHARE_SIZE * len(message.pad_tags)
    return message
