"""One relay node as a process, which kills itself at a step it is told.

A ring of four: a and d, which share no link, have keys relayed over b, over c, and over
both at once, for ever. What they hold at the end of a request goes to a log, after it
is in the store; each message goes to another one before it is sent.
"""

import asyncio
import hashlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.model import Endpoint
from gateway.errors import KeyStoreError, RelayError
from gateway.host.workers import Worker
from gateway.keystore.base import KeyStore
from gateway.keystore.sqlite.store import SQLiteKeyStore
from gateway.relay import connector, node
from gateway.relay.driver import RelayDriver
from gateway.relay.events import RelayedKeys
from gateway.relay.node import RelayNode
from gateway.relay.transport import RelayTransport
from gateway.secret import Secret

HOST = "127.0.0.1"
LINKS = (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))
NAMES = ("a", "b", "c", "d")
ENDS = {"a": "d", "d": "a"}
STOCK = "a-d"
"""Where both ends keep the keys they have together."""

PERIOD = 0.1
"""Seconds between two requests, whatever became of those before."""


@dataclass(frozen=True)
class Place:
    """Where everything is: files, the nodes' ports, and those that lead to them."""

    folder: Path
    ports: Mapping[str, int]
    ways: Mapping[tuple[str, str], int]

    def store(self, name: str) -> SQLiteKeyStore:
        key = Secret(hashlib.sha256(name.encode()).digest())
        return SQLiteKeyStore(self.folder / name / "keys.db", key)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def sent(self, name: str) -> Path:
        return self.folder / f"{name}.sent"


def neighbours(name: str) -> list[str]:
    return [b if a == name else a for a, b in LINKS if name in (a, b)]


class Fuse:
    """Kills this process, as kill -9 does, when its steps are used up."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class FusedPart:
    """A part of a store, each of whose calls may be the last, before it or after it."""

    def __init__(self, part: object, fuse: Fuse) -> None:
        self._part, self._fuse = part, fuse

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._part, name)

        def wrapped(*args: object, **options: object) -> object:
            self._fuse.step()
            result = call(*args, **options)
            self._fuse.step()
            return result

        return wrapped


class FusedStore:
    """A store of such parts."""

    def __init__(self, store: KeyStore, fuse: Fuse) -> None:
        self._store = store
        self.intake, self.ledger, self.uses, self.stocks = (
            FusedPart(part, fuse)
            for part in (store.intake, store.ledger, store.uses, store.stocks)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Log:
    """Lines that outlive a killed process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class Victim:
    """The node, and at both ends of the ring who asks it for keys."""

    def __init__(self, place: Place, name: str, steps: int) -> None:
        self.name = name
        self.fuse = Fuse(steps)
        self.store: Any = FusedStore(place.store(name), self.fuse)
        self.worker = Worker(name)
        self.log, self.sent = Log(place.log(name)), Log(place.sent(name))
        self.driver = RelayDriver(
            RelayNode(name, neighbours(name), self.store, self),
            self.send,
            self.worker.run,
            clock=time.monotonic,
            publish=lambda _event: None,
        )
        self.transport = RelayTransport(
            name,
            {peer: Endpoint(HOST, place.ways[name, peer]) for peer in neighbours(name)},
            [Endpoint(HOST, place.ports[name])],
            receive=self.driver.receive,
        )

    def take(self, relayed: RelayedKeys) -> None:
        """Store keys that were made for us, before the answer goes out."""
        self.keep(relayed, "arrived")

    def keep(self, relayed: RelayedKeys, word: str) -> None:
        report = self.store.intake.add(STOCK, relayed.keys, confirmed=relayed.confirmed)
        if report.refused:
            self.log.say("refused", report.refused)
        for key in relayed.keys:
            digest = hashlib.sha256(key.key.expose()).hexdigest()
            self.log.say(word, key.key_id, digest, relayed.bundle)

    def send(self, peer: str, data: bytes) -> bool:
        self.sent.say(peer, data.hex())
        self.fuse.step()
        sent = self.transport.send(peer, data)
        self.fuse.step()
        return sent

    async def ask(self, number: int) -> None:
        began = time.monotonic()
        ways = [(self.name, middle, ENDS[self.name]) for middle in ("b", "c")]
        routes = (ways[:1], ways[1:], ways)[number % 3]
        try:
            relayed = await self.driver.request(routes, 1 + number % 2)
            await self.worker.run(self.keep, relayed, "offered")
        except (RelayError, KeyStoreError) as error:
            self.log.say("failed", str(error))
        else:
            self.log.say("done", began, len(routes))

    async def run(self) -> None:
        await self.driver.start()
        await self.transport.start()
        self.log.say("up", time.monotonic())
        asking = set()
        for number in itertools.count():
            if self.name in ENDS:
                asking.add(asyncio.create_task(self.ask(number)))
                asking = {task for task in asking if not task.done()}
            await asyncio.sleep(PERIOD)


def live(place: Place, name: str, steps: int) -> None:
    """Run a node until it is killed; 0 steps are never used up.

    Times are shorter than in the product, where a killed node is started again after
    seconds.
    """
    node.HOP_TIMEOUT = 1.0  # type: ignore[misc]  # a constant elsewhere
    connector.MIN_DELAY = 0.05  # type: ignore[misc]
    asyncio.run(Victim(place, name, steps).run())
