"""Any node dies at any step; no pad is sent twice, and relaying goes on afterwards."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.keystore.base import KeyStanding, KeyStore
from gateway.relay.events import RelayedKeys
from gateway.relay.messages import RelayKeys, decode_message
from gateway.relay.node import RelayNode
from gateway.relay.pads import pad_tag, stock_name
from tests.unit.relay.bench import Network, Sink, make_pads

if TYPE_CHECKING:
    from uuid import UUID

KILLS = 100
"""For each seed, at least; with three seeds, hundreds."""

ROUNDS = KILLS + 20
"""In some the victim gets no part of the bundle, since pads run out of step before."""

ROUTE = ("redu", "lux", "sin")


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


class Fuse:
    """Counts steps of one node and kills it at the one chosen."""

    def __init__(self) -> None:
        self.left = 0

    def step(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise Killed

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: object, **options: object) -> object:
            self.step()
            result = call(*args, **options)
            self.step()
            return result

        return wrapped


class FusedPart:
    """Part of a real store, each of whose calls may be the last, before or after it."""

    def __init__(self, part: object, fuse: Fuse) -> None:
        self._part, self._fuse = part, fuse

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._fuse.wrap(getattr(self._part, name))


class FusedStore:
    """A real store of such parts."""

    def __init__(self, store: KeyStore, fuse: Fuse) -> None:
        self._store = store
        self.intake, self.ledger, self.uses, self.stocks = (
            FusedPart(part, fuse)
            for part in (store.intake, store.ledger, store.uses, store.stocks)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class FusedSink:
    def __init__(self, sink: Sink, fuse: Fuse) -> None:
        self._sink, self._fuse = sink, fuse

    def take(self, relayed: RelayedKeys) -> None:
        self._fuse.wrap(self._sink.take)(relayed)


class Mortal(Network):
    """A network of which any node may be killed."""

    def __init__(self, folder: Path) -> None:
        self.fuses = {name: Fuse() for name in ROUTE}
        self.kills = 0
        super().__init__(folder, [("redu", "lux"), ("lux", "sin")])

    def boot(self, name: str) -> None:
        super().boot(name)
        fuse = self.fuses[name]
        store: Any = FusedStore(self.stores[name], fuse)
        sink = FusedSink(self.sinks[name], fuse)
        self.nodes[name] = RelayNode(name, self.neighbours(name), store, sink)

    def guarded(self, action: Callable[[], object], name: str) -> None:
        try:
            action()
            self.fuses[name].step()  # between what is durable and the wire
            self.collect(name)
        except Killed:
            self.kills += 1
            self.boot(name)

    def relay_one(self) -> None:
        begin = self.nodes["redu"].start
        self.guarded(lambda: begin([ROUTE], 1, now=self.now), "redu")
        while self.queue:
            sender, receiver, data = self.queue.pop(0)
            take = partial(self.nodes[receiver].receive, sender, data, now=self.now)
            self.guarded(take, receiver)
        self.pass_time(30)
        while self.queue:
            self.step()


@pytest.mark.parametrize("seed", range(3))
def test_no_pad_is_sent_twice_whoever_dies_and_stock_heals(
    tmp_path: Path, seed: int
) -> None:
    network = Mortal(tmp_path)
    network.fill(5 * ROUNDS)
    steps = count_steps(network)
    for number in range(ROUNDS):
        drawn = hashlib.sha256(b"%d %d" % (seed, number)).digest()
        victim = ROUTE[drawn[0] % 3]
        network.fuses[victim].left = 1 + drawn[1] % steps[victim]
        network.relay_one()
        network.fuses[victim].left = 0
    assert network.kills >= KILLS
    check_pads(network, 5 * ROUNDS)

    offered = len(network.sinks["redu"].keys)
    for _ in range(3):
        network.relay_one()
    assert len(network.sinks["redu"].keys) == offered + 3
    # The origin offers nothing that the destination lacks.
    arrived = network.sinks["sin"].keys
    for key_id, key in network.sinks["redu"].keys.items():
        assert arrived[key_id] == key
    check_pads(network, 5 * ROUNDS)
    network.close()


def count_steps(network: Mortal) -> dict[str, int]:
    """How many steps each node takes for a bundle that nothing happens to."""
    plenty = 1000
    for fuse in network.fuses.values():
        fuse.left = plenty
    network.relay_one()
    steps = {name: plenty - fuse.left for name, fuse in network.fuses.items()}
    for fuse in network.fuses.values():
        fuse.left = 0
    return steps


def check_pads(network: Network, filled: int) -> None:
    """Every pad in captured traffic occurs once, and is used up at its sender."""
    seen: set[UUID] = set()
    batches = 0
    tags = {
        stock: {pad_tag(p.key_id): p.key_id for p in make_pads(stock, 0, filled)}
        for a, b in network.links
        for stock in (stock_name(a, b), stock_name(b, a))
    }
    for sender, receiver, data in network.sent:
        message = decode_message(data)
        if not isinstance(message, RelayKeys):
            continue
        batches += 1
        stock = stock_name(sender, receiver)
        pads = [tags[stock][tag] for tag in message.pad_tags]
        used = [message.mac_id, message.answer_id, *pads]
        assert len(set(used)) == len(used)
        assert not seen & set(used)
        seen |= set(used)
        standing = network.stores[sender].ledger.standing(stock, used)
        assert set(standing) == {KeyStanding.USED}
    assert batches > KILLS // 2
