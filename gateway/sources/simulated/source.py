"""A simulated QKD link: for demonstrations and tests, **not** quantum keys.

Both ends derive the same sequence of keys from a shared seed, the link's name and a
counter (HKDF, RFC 5869), and fill their stores with it at a set rate. The counter
stands in the key_ID, a UUID of version 8 (RFC 9562, 5.8), behind a prefix that only
this link has: so a simulated key is recognised in every log, and an end that fell
behind finds its place from any key_ID it is shown.

Nothing is saved: the place in the sequence follows from the key last taken in. How two
ends that differ come together:

* One started later, or was down: it has fewer keys, but the oldest, which the initiator
  offers first. Lacking one, the responder jumps forward (`ensure`).
* One lost its store, has an old one back, or the other has purged its own: it offers
  keys that are used there. The answer says so, whether it refuses or goes on without a
  QKD key; the initiator then leaps ahead by a growing distance (`resync`), at last past
  the other, which jumps forward to meet it.
* What the initiator no longer has, the responder gives up when it is offered newer keys
  only: no stock counts what can never be used.
* No key comes back: counters only grow, and the store refuses used key_IDs.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from gateway.events.bus import publish
from gateway.events.sources import SimulatedLinkOpened
from gateway.events.supply import KeysGivenUp
from gateway.keystore.base import KEY_SIZE, KeyStanding, KeyStore, NewKey
from gateway.secret import Secret

COUNTER_BITS = 48
"""Of the key_ID: at a thousand keys a second, 8,900 years."""

MAX_LEAP = 100_000_000
"""Farthest one leap goes: keys passed over cost nothing, but the sequence ends."""

LOT_SHARE = 0.1
"""Of capacity: a stock that is nearly full is topped up by so much at once. Each
taking-in is a durable write, and one for each key used would double those."""

LEAP_FACTOR = 8
"""How much farther each leap goes: seven leaps pass a million used keys."""

MIN_STOCK = 8
"""Keys made at once when there are none, beyond `low_water`, as if the link had been
running: a first handshake need not wait for the rate."""

OVERFLOW = 64
"""Keys beyond capacity that a peer's offers may add: a stock full of keys that the peer
no longer has (one end leapt, or was restored) must not keep the two apart for ever."""

PAGE = 256
"""Keys of ours that are read at once when older ones are given up."""

_LABEL = b"qgw simulated QKD link v1 "
_TAG_SIZE = 8


class KeySequence:
    """The keys of one simulated link, by counter; the same at both ends."""

    def __init__(self, seed: Secret, link: str) -> None:
        derive = HKDF(SHA256(), 32 + _TAG_SIZE, None, _LABEL + link.encode())
        derived = derive.derive(seed.expose())
        self._secret = derived[:32]
        self._tag = derived[32:]

    def key_id(self, counter: int) -> UUID:
        """Return the key_ID: version 8, variant 10, 64 bits of tag, the counter."""
        tag, number = self._tag, struct.pack(">Q", counter)[2:]
        return UUID(bytes=tag[:6] + b"\x80" + tag[6:7] + b"\x80" + tag[7:] + number)

    def key(self, counter: int) -> NewKey:
        """Return the key with its key_ID."""
        info = struct.pack(">Q", counter)
        derived = HKDFExpand(SHA256(), KEY_SIZE, info).derive(self._secret)
        return NewKey(self.key_id(counter), Secret(derived))

    def counter(self, key_id: UUID) -> int | None:
        """Return the counter of a key_ID, or None if it is not of this link."""
        counter = key_id.int & (1 << COUNTER_BITS) - 1
        return counter if self.key_id(counter) == key_id else None


class SimulatedLink:
    """A `gateway.sources.base.KeySource` whose keys come from a seed.

    Args:
        link: Name, equal at both ends.
        seed: What both ends share.
        rate: Keys a second.
        capacity: Filling stops at this stock.
        low_water: Stock that an empty store starts with, at least `MIN_STOCK`.
        lifetime: Store seconds a key keeps, or None for ever.
    """

    def __init__(
        self,
        link: str,
        seed: Secret,
        *,
        rate: float,
        capacity: int,
        low_water: int = MIN_STOCK,
        lifetime: float | None = None,
    ) -> None:
        self._link = link
        self._sequence = KeySequence(seed, link)
        self._rate = rate
        self._capacity = capacity
        self._start_stock = min(capacity, max(low_water, MIN_STOCK))
        self._lifetime = lifetime
        self._credit = 0.0
        self._last: float | None = None
        self._passed = 0
        publish(SimulatedLinkOpened(link, self.description))

    @property
    def link(self) -> str:
        """Name of the link, equal at both ends."""
        return self._link

    @property
    def description(self) -> str:
        """One line that says these are no quantum keys."""
        return "simulated, NOT quantum keys: whoever has the seed file has them all"

    def fill(self, store: KeyStore, now: float) -> int:
        """Take in the keys that are due at the rate, up to capacity."""
        status = store.stocks.status(self._link)
        stock = status.available + status.reserved
        if self._last is None:
            self._credit = float(max(0, self._start_stock - stock))
        else:
            self._credit += self._rate * max(0.0, now - self._last)
        self._last = now
        room = max(0, self._capacity - stock)
        # What does not fit is lost, as on a real link, not saved up.
        self._credit = min(self._credit, room + 1.0)
        due = min(int(self._credit), room)
        if room < LOT_SHARE * self._capacity and stock >= self._start_stock:
            return 0
        self._credit -= due
        return self._take_in(store, self._place(store), due)

    def ensure(self, store: KeyStore, key_ids: Sequence[UUID], others: int = 0) -> int:
        """Jump forward to keys of this link that a peer offers and we lack.

        It offers its oldest ones. What we hold of older ones it has no more, but for
        those that are in other handshakes: they are given up, or would be counted as
        stock for ever.
        """
        standings = zip(
            key_ids, store.ledger.standing(self._link, key_ids), strict=True
        )
        offered = {
            counter: standing
            for key_id, standing in standings
            if (counter := self._sequence.counter(key_id)) is not None
        }
        if offered and KeyStanding.HELD not in offered.values():
            self._give_up_below(store, min(offered) - others)
        lacking = sorted(n for n, one in offered.items() if one is KeyStanding.UNKNOWN)
        place = self._place(store)
        behind = [counter for counter in lacking if counter < place]
        ahead = [counter for counter in lacking if counter >= place]
        room = max(self._room(store), min(len(lacking), self._room(store, OVERFLOW)))
        # Passed over by an earlier jump: two handshakes came in the other order.
        added = self._take_in_all(store, behind[:room])
        if not ahead:
            return added
        # Those between two offered ones are held by the peer too, or were used by it.
        first = min(ahead)
        count = min(max(ahead) - first + 1, room - added)
        return added + self._take_in(store, first, count)

    def resync(self, store: KeyStore, used: Sequence[UUID]) -> int:
        """Leap ahead of a peer that has used all we offered; drop what we hold.

        The keys dropped are older than the leap's end, so most likely used as well.
        """
        place = self._place(store)
        behind = [counter for counter in self._counters(used) if counter < place]
        if not behind:
            return 0
        store.stocks.purge(self._link, all_keys=True)
        self._passed = min(place * LEAP_FACTOR, place + MAX_LEAP)
        return self._take_in(store, self._passed, self._start_stock)

    def _give_up_below(self, store: KeyStore, first: int) -> None:
        """Retire what is older than a key; key_IDs of one link rise with counters."""
        after = UUID(int=self._sequence.key_id(0).int - 1)
        until = self._sequence.key_id(max(0, first))
        gone: list[UUID] = []
        while page := store.ledger.held(self._link, after=after, count=PAGE):
            gone += [key_id for key_id in page if key_id < until]
            after = page[-1]
            if after >= until:
                break
        if gone:
            count = store.ledger.give_up(self._link, gone)
            publish(KeysGivenUp(self._link, count))

    def _counters(self, key_ids: Sequence[UUID]) -> Iterator[int]:
        for key_id in key_ids:
            counter = self._sequence.counter(key_id)
            if counter is not None:
                yield counter

    def _place(self, store: KeyStore) -> int:
        newest = store.intake.newest(self._link)
        counter = self._sequence.counter(newest) if newest is not None else None
        return max(self._passed, 0 if counter is None else counter + 1)

    def _room(self, store: KeyStore, beyond: int = 0) -> int:
        status = store.stocks.status(self._link)
        return max(0, self._capacity + beyond - status.available - status.reserved)

    def _take_in(self, store: KeyStore, first: int, count: int) -> int:
        count = min(count, (1 << COUNTER_BITS) - first)
        if count <= 0:
            return 0
        added = self._take_in_all(store, range(first, first + count))
        # Moves on even if the store knew these: someone imported other keys after.
        self._passed = max(self._passed, first + count)
        return added

    def _take_in_all(self, store: KeyStore, counters: Iterable[int]) -> int:
        keys = map(self._sequence.key, counters)
        return store.intake.add(self._link, keys, lifetime=self._lifetime).added
