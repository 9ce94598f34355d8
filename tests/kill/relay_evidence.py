"""What was sent and captured in a relay, and what follows from knowing every pad."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.relay.combine import combine_bundle
from gateway.relay.frames import FrameReader, decode_hello
from gateway.relay.hop import open_keys, verify_answer, verify_keys
from gateway.relay.messages import RelayAnswer, RelayKeys, decode_message
from gateway.relay.pads import pad_tag
from gateway.secret import Secret
from tests.kill.relay_network import PADS
from tests.kill.relay_victim import LINKS, NAMES, Place
from tests.unit.relay.bench import make_pads

if TYPE_CHECKING:
    from gateway.keystore.base import NewKey

Sent = tuple[str, str, bytes]
"""Sender, receiver, message."""


@dataclass
class Evidence:
    """All messages of a run.

    Attributes:
        sent: What nodes were about to send.
        captured: What passed between them.
    """

    sent: list[Sent]
    captured: list[Sent]

    @cached_property
    def pads(self) -> dict[str, dict[UUID, Secret]]:
        """The bytes of every pad, by stock and key_ID."""
        stocks = [f"{x}>{y}" for a, b in LINKS for x, y in ((a, b), (b, a))]
        return {
            stock: {pad.key_id: pad.key for pad in make_pads(stock, 0, PADS)}
            for stock in stocks
        }

    @cached_property
    def batches(self) -> list["Batch"]:
        found = []
        for sender, receiver, data in self.sent:
            message = decode_message(data)
            if isinstance(message, RelayKeys):
                stock = f"{sender}>{receiver}"
                found.append(Batch.read(stock, message, self.pads[stock]))
        return found

    def answers(self) -> Iterator[tuple[str, str, RelayAnswer]]:
        """Sealed answers; a refusal has no tag and so uses no key."""
        for sender, receiver, data in self.sent:
            message = decode_message(data)
            if isinstance(message, RelayAnswer) and message.sealed:
                yield sender, receiver, message

    def answer_keys(self) -> Counter[UUID]:
        """How often each key_ID authenticated an answer; each is verified."""
        asked = {
            (batch.stock, batch.message.bundle, batch.message.path): batch
            for batch in self.batches
        }
        used: Counter[UUID] = Counter()
        for sender, receiver, answer in self.answers():
            batch = asked[f"{receiver}>{sender}", answer.bundle, answer.path]
            key_id = batch.message.answer_id
            key = self.pads[batch.stock][key_id]
            verify_answer(answer, key, sender=sender, to=receiver)
            used[key_id] += 1
        return used

    def keys(self) -> dict[UUID, str]:
        """Digests of the end-to-end keys, from the shares of every first hop."""
        found: dict[UUID, str] = {}
        firsts = [batch for batch in self.batches if batch.message.hop == 0]
        bundles = {batch.message.bundle for batch in firsts}
        for bundle in bundles:
            paths = {b.message.path: b for b in firsts if b.message.bundle == bundle}
            if len(paths) < next(iter(paths.values())).message.paths:
                continue  # it was killed between them: no key can come of it
            ordered = [paths[number] for number in sorted(paths)]
            made: list[NewKey] = combine_bundle(
                bundle,
                [batch.message.route for batch in ordered],
                [[Secret(share) for share in batch.shares] for batch in ordered],
            )
            for key in made:
                found[key.key_id] = hashlib.sha256(key.key.expose()).hexdigest()
        return found


@dataclass
class Batch:
    """A batch whose pads are known.

    Attributes:
        stock: The stock its pads are from.
        message: As decoded.
        used: key_IDs of all its pads: its tag's, its answer's, its keys'.
        shares: What it carries, decrypted.
    """

    stock: str
    message: RelayKeys
    used: list[UUID]
    shares: list[bytes] = field(repr=False)

    @classmethod
    def read(cls, stock: str, message: RelayKeys, pads: dict[UUID, Secret]) -> "Batch":
        tags = {pad_tag(key_id): key_id for key_id in pads}
        candidates = [[tags[tag]] for tag in message.pad_tags]
        key_ids = verify_keys(message, pads[message.mac_id], candidates)
        copies = [Secret(pads[key_id].expose()) for key_id in key_ids]
        shares = [share.expose() for share in open_keys(message, copies)]
        used = [message.mac_id, message.answer_id, *key_ids]
        return cls(stock, message, used, shares)


def load(place: Place) -> Evidence:
    """Read logs and captures; the last frame of a connection may be cut short."""
    sent = []
    for name in NAMES:
        for line in place.sent(name).read_text().splitlines():
            peer, data = line.split()
            sent.append((name, peer, bytes.fromhex(data)))
    captured = []
    for path in sorted((place.folder / "tap").iterdir()):
        sender, receiver, _ = path.name.split("-")
        reader = FrameReader()
        reader.feed(path.read_bytes())
        hello = reader.next_frame()
        if hello is None:
            continue
        assert decode_hello(hello) == sender
        while (frame := reader.next_frame()) is not None:
            captured.append((sender, receiver, frame))
    return Evidence(sent, captured)
