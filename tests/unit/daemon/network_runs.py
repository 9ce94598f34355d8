"""Networks whose time runs fast, and a record of every pad that is used in them."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest

from gateway.keystore.sqlite.intake import Intake
from gateway.relay.messages import RelayKeys, decode_message
from gateway.relay.pads import OutgoingPads, Pad, pad_tag
from gateway.relay.transport import RelayTransport
from tests.unit.daemon.fast_loop import fast_runner
from tests.unit.daemon.network_sites import Site, Sites
from tests.unit.daemon.services import until

if TYPE_CHECKING:
    from gateway.keystore.base import NewKey

SPEED: Final = 10.0
"""At more, answers are late on a busy machine: 5 s a hop are 0.5 s then."""

PATIENCE: Final = 40.0
"""Seconds of the world that anything may take."""

CHANCE_TAGS: Final = 1
"""Tags of four bytes that may be alike by chance, among a few thousand."""


def run_fast(work: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop whose time runs fast."""
    with fast_runner(SPEED) as runner:
        runner.run(work)


async def eventually(
    condition: Callable[[], object | Awaitable[object]], what: str
) -> None:
    """Wait until something is so, `PATIENCE` seconds of the world at most."""
    await until(condition, what, PATIENCE * SPEED)


@dataclass
class Record:
    """What all relay nodes of this process have drawn and sent.

    Attributes:
        sent: Neighbours and message, as it went to a socket.
        drawn: key_IDs of pads by stock, in every run of every node.
        keys: Bytes of keys that came into any store.
    """

    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    drawn: dict[str, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    keys: list[bytes] = field(default_factory=list)

    def batches(self, sender: str = "") -> list[RelayKeys]:
        """Return the batches sent, by one node or by all."""
        messages = [
            decode_message(data)
            for name, _, data in tuple(self.sent)
            if sender in ("", name)
        ]
        return [one for one in messages if isinstance(one, RelayKeys)]

    def check(self) -> None:
        """Fail if any pad was used twice, in a store or on the wire."""
        for stock, drawn in self.drawn.items():
            twice = [one for one, count in Counter(drawn).items() if count > 1]
            assert not twice, (stock, twice)
        known = {
            pad_tag(key_id): key_id for each in self.drawn.values() for key_id in each
        }
        heads: Counter[UUID] = Counter()
        tags: Counter[tuple[str, str, bytes]] = Counter()
        sealed: Counter[bytes] = Counter()
        for message in self.batches():
            hop = message.route[message.hop], message.route[message.hop + 1]
            heads.update((message.mac_id, message.answer_id))
            tags.update((*hop, tag) for tag in message.pad_tags)
            sealed[message.sealed] += 1
            assert set(message.pad_tags) <= known.keys()
        assert not [one for one, count in heads.items() if count > 1]
        assert not [one for one, count in sealed.items() if count > 1]
        assert sum(count - 1 for count in tags.values()) <= CHANCE_TAGS

    def leaks(self, text: str) -> bool:
        """Whether a key's bytes are in a text, in hexadecimal or as Python writes."""
        return any(key.hex() in text or repr(key)[2:-1] in text for key in self.keys)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """A record of this test's networks."""
    found = Record()
    send, draw, add = RelayTransport.send, OutgoingPads.draw, Intake.add

    def recorded_send(self: RelayTransport, peer: str, data: bytes) -> bool:
        found.sent.append((self._name, peer, data))
        return send(self, peer, data)

    def recorded_draw(self: OutgoingPads, count: int, *, holder: str) -> list[Pad]:
        pads = draw(self, count, holder=holder)
        found.drawn[self._stock] += [key_id for key_id, _ in pads]
        return pads

    def recorded_add(self: Intake, link: str, keys: Any, **kwargs: Any) -> Any:
        given: list[NewKey] = list(keys)
        found.keys += [key.key.expose() for key in given]
        return add(self, link, given, **kwargs)

    monkeypatch.setattr(RelayTransport, "send", recorded_send)
    monkeypatch.setattr(OutgoingPads, "draw", recorded_draw)
    monkeypatch.setattr(Intake, "add", recorded_add)
    return found


def in_force(sites: Sites, tunnel: str) -> bool:
    """Whether a tunnel is in force at both ends."""
    return all(sites[name].in_force(tunnel) for name in tunnel.split("-"))


def in_step(sites: Sites, link: str) -> bool:
    """Whether all that the origin of a link holds is confirmed, and rightly so.

    The destination may hold more: keys whose answer was lost, which nobody offers.
    """
    origin, destination = link.split("-")
    store = sites[origin].service.store
    held = store.ledger.held(link, after=None, count=10_000)
    there = sites[destination].service.store.ledger.held(link, after=None, count=10_000)
    return 0 < len(held) == sites[origin].stock(link) and set(held) <= set(there)


def keep_store(site: Site, place: Path) -> None:
    """Copy the key store of a site that is stopped."""
    place.mkdir()
    for file in site.folder.glob("keys.db*"):
        shutil.copy2(file, place / file.name)


def bring_store_back(site: Site, place: Path) -> None:
    """Put an old copy in the place of the key store of a site that is stopped."""
    for file in site.folder.glob("keys.db*"):
        file.unlink()
    for file in place.iterdir():
        shutil.copy2(file, site.folder / file.name)


async def spend(sites: Sites, link: str) -> None:
    """Erase what is in stock of a relayed link, so that it is relayed anew."""
    origin, destination = link.split("-")
    for name in (destination, origin):
        await sites[name].call("keystore.purge", link=link, all=True)


async def error_of(site: Site, link: str) -> str:
    """Return what ``qgw qkd status`` and ``qgw network`` say is wrong with a link."""
    (status,) = await site.call("qkd.status", link=link)
    shown = await site.call("network")
    (route,) = [one for one in shown["routes"] if one["link"] == link]
    trouble = status["kme_trouble"]
    return " | ".join(
        (
            status["supply"]["error"],
            trouble["message"] if trouble else "",
            route["error"],
        )
    )
