"""Pads: keys of a stock of their own, one stock for each direction of a link.

What keeps a pad from ever being used twice:

* A pad is a whole key of the key store. The store consumes it durably before its
  bytes reach this module's caller, at the sender and at the receiver; what a crash
  cuts short is lost, never repeated (docs/adr/0170).
* Each direction has its own stock, named ``from>to``. Were there one, both ends could
  draw the same key at the same time and send under it: a pad used twice.
* No configured link can have such a name, and no check value of a pad is ever sent
  (docs/adr/0171).
* Only pads that the receiver is known to hold are drawn. At start none is, so a store
  that was brought back from a backup is compared first (docs/adr/0191).
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from gateway.errors import KeyStoreError, RelayError, RelayFault
from gateway.keystore.base import KeyStore
from gateway.relay.messages import PAD_TAG_SIZE
from gateway.secret import Secret

_PAGE: Final = 1000
"""key_IDs asked of the store at once."""

_TAG_LABEL: Final = b"qgw-relay-1 pad tag"

Pad = tuple[UUID, Secret]
"""A consumed key: its key_ID and bytes."""


def stock_name(sender: str, receiver: str) -> str:
    """Name the stock of pads under which `sender` sends to `receiver`."""
    return f"{sender}>{receiver}"


def pad_tag(key_id: UUID) -> bytes:
    """Return the `PAD_TAG_SIZE` bytes that name a pad in a message.

    Hashed, since a KME may number its keys: a piece of the key_ID itself might be the
    same in all. The authenticator covers the whole key_ID.
    """
    return hashlib.sha256(_TAG_LABEL + key_id.bytes).digest()[:PAD_TAG_SIZE]


class OutgoingPads:
    """The pads under which this node sends to one neighbour."""

    def __init__(self, store: KeyStore, stock: str) -> None:
        self._store = store
        self._stock = stock

    def left(self) -> int:
        """How many pads may be drawn: those the receiver is known to hold.

        Raises:
            KeyStoreError: The store failed.
        """
        status = self._store.stocks.status(self._stock)
        return status.available - status.unconfirmed

    def draw(self, count: int, *, holder: str) -> list[Pad]:
        """Consume `count` pads durably and return them, all or none.

        Raises:
            RelayError: ``pads-exhausted``: there are fewer; none is consumed.
            KeyStoreError: The store failed; those consumed until then are lost.
        """
        key_ids: Sequence[UUID] = ()
        if self.left():  # with none, the store would give unconfirmed ones
            key_ids = self._store.uses.reserve(self._stock, count, holder=holder)
        if len(key_ids) < count:
            self._store.uses.release(holder)
            raise RelayError(
                f"{self._stock} has {len(key_ids)} pads, {count} are needed",
                "wait for the link's KME to deliver, or relay fewer keys",
                fault=RelayFault.PADS_EXHAUSTED,
            )
        return consume_all(self._store, self._stock, key_ids, holder)


class IncomingPads:
    """The pads under which one neighbour sends to this node.

    This node never draws from them: it uses those that an authentic message names.
    """

    def __init__(self, store: KeyStore, stock: str) -> None:
        self._store = store
        self._stock = stock
        self._by_tag: dict[bytes, list[UUID]] = {}
        self._newest: UUID | None = None

    def borrow(self, key_id: UUID, *, holder: str) -> Secret:
        """Return a key's bytes, unconsumed, to verify a message with and nothing else.

        Raises:
            RelayError: ``replayed``: it was used; ``out-of-step``: it is not there.
        """
        choice = self._store.uses.reserve_first(self._stock, [key_id], holder=holder)
        if choice.key is not None:
            return choice.key
        if key_id in choice.used:
            raise RelayError(
                f"a message came under a key of {self._stock} that was used before",
                fault=RelayFault.REPLAYED,
            )
        raise _out_of_step(self._stock)

    def candidates(self, tags: Sequence[bytes]) -> list[list[UUID]]:
        """Return for each tag the key_IDs held that bear it: mostly one.

        Raises:
            RelayError: ``out-of-step``: there is none for some tag.
        """
        if any(tag not in self._by_tag for tag in tags):
            self._refresh()
        try:
            return [self._by_tag[tag] for tag in tags]
        except KeyError:
            raise _out_of_step(self._stock) from None

    def claim(self, key_ids: Sequence[UUID], *, holder: str) -> list[Secret]:
        """Consume these keys durably and return their bytes, all or none.

        Only for keys that an authentic message names: its sender has used them, so
        when one is missing the others are retired.

        Raises:
            RelayError: ``out-of-step``: one of them is not there, or named twice.
            KeyStoreError: The store failed; those consumed until then are lost.
        """
        for key_id in key_ids:
            self._by_tag.pop(pad_tag(key_id), None)
        reserved = len(set(key_ids)) == len(key_ids) and all(
            self._store.uses.reserve_first(self._stock, [key_id], holder=holder).key_id
            for key_id in key_ids
        )
        if not reserved:
            self._store.uses.release(holder)
            self._store.ledger.retire(self._stock, key_ids)
            raise _out_of_step(self._stock)
        pads = consume_all(self._store, self._stock, key_ids, holder)
        return [pad for _, pad in pads]

    def _refresh(self) -> None:
        """Read the stock again, unless nothing has come since.

        The sender uses its oldest pads first, so this happens once for all the pads
        that were there the last time; and whoever invents tags has it happen no
        sooner.
        """
        newest = self._store.intake.newest(self._stock)
        if newest == self._newest:
            return
        self._newest = newest
        self._by_tag = {}
        for key_id in self._held():
            self._by_tag.setdefault(pad_tag(key_id), []).append(key_id)

    def _held(self) -> Iterator[UUID]:
        after: UUID | None = None
        while True:
            page = self._store.ledger.held(self._stock, after=after, count=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1]


def consume_all(
    store: KeyStore, stock: str, key_ids: Sequence[UUID], holder: str
) -> list[Pad]:
    """Consume reserved keys in one durable step; on a failure release them."""
    try:
        keys = store.uses.consume_many(stock, key_ids, holder=holder)
    except KeyStoreError:
        store.uses.release(holder)
        raise
    return list(zip(key_ids, keys, strict=True))


def _out_of_step(stock: str) -> RelayError:
    return RelayError(
        f"the two ends of {stock} do not hold the same pads",
        "they compare their stocks and go on with what both have",
        fault=RelayFault.OUT_OF_STEP,
    )
