"""`RelayNode`: one node of the relay, without sockets and without a clock."""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from gateway.errors import KeyStoreError, RelayError, RelayFault
from gateway.keystore.base import KeyStore
from gateway.relay.destination import Arrivals
from gateway.relay.events import (
    BatchForwarded,
    BundleArrived,
    BundleDelivered,
    BundleFailed,
    HopOutOfStep,
    KeySink,
    MessageRefused,
    RelayedKeys,
    RelayEvent,
)
from gateway.relay.hop import (
    PADS_OF_MESSAGE,
    open_keys,
    seal_answer,
    seal_keys,
    verify_answer,
    verify_keys,
)
from gateway.relay.messages import (
    FAULTS,
    SHARE_SIZE,
    Outcome,
    RelayAnswer,
    RelayKeys,
    decode_message,
    encode_answer,
)
from gateway.relay.origin import Departure, Departures, check_bundle, failure
from gateway.relay.pads import IncomingPads, OutgoingPads, stock_name
from gateway.relay.paths import check_disjoint
from gateway.secret import Secret

HOP_TIMEOUT: Final = 5.0
"""Seconds for each hop that is left, there and back: a round trip to Singapore takes
0.34 s, and a disk under load a second. Nodes further on give up sooner, so the one next
to the failure names it."""

MAX_FORWARDED: Final = 1024
"""Batches whose answer is awaited by a relay node, two keys each."""

_OUTCOMES: Final = {fault: outcome for outcome, fault in FAULTS.items()}
_OUT_OF_STEP: Final = frozenset({Outcome.OUT_OF_STEP, Outcome.REPLAYED})
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Upstream:
    """Whom to answer, and with which one-time key."""

    peer: str
    bundle: UUID
    path: int
    key: Secret


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """A batch that went on; its answer is awaited."""

    upstream: _Upstream
    downstream: str
    downstream_key: Secret
    deadline: float


class RelayNode:
    """Origin, relay and destination of bundles, in one pure machine.

    Bytes and time come in, bytes and events go out; the store and the sink are the only
    things it touches. Order of what is durable, on a batch that arrives:

    1. it is verified under a key on loan; until then nothing changes, so a stranger's
       message costs no pad;
    2. its pads are consumed, durably, before one of its keys is decrypted;
    3. a relay consumes the pads of the next hop, durably, before one byte of the next
       message exists; a destination's sink has stored the keys durably;
    4. only then is anything sent, and keys and pads are erased.

    A crash between any two steps loses pads and the batch. What is lost is never taken
    up again: the origin times out and makes new keys under new pads. Keys under way
    live in memory only.

    Args:
        name: This node.
        neighbours: Nodes it shares a link with.
        store: Holds the pads, in stocks named by `stock_name`.
        sink: Takes end-to-end keys that were made for this node by others.
        forward: Whether it carries keys for others.
        draw: Makes random bytes: the operating system's by default.
    """

    def __init__(
        self,
        name: str,
        neighbours: Iterable[str],
        store: KeyStore,
        sink: KeySink,
        *,
        forward: bool = True,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._name = name
        self._store = store
        self._sink = sink
        self._is_relay = forward
        self._random = draw
        self._outgoing: dict[str, OutgoingPads] = {}
        self._incoming: dict[str, IncomingPads] = {}
        for peer in neighbours:
            self._outgoing[peer] = OutgoingPads(store, stock_name(name, peer))
            self._incoming[peer] = IncomingPads(store, stock_name(peer, name))
        self._departures = Departures()
        self._arrivals = Arrivals()
        self._forwarded: dict[tuple[UUID, int], _Forwarded] = {}
        self._delivered: list[RelayedKeys] = []
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._events: deque[RelayEvent] = deque()

    def messages_to_send(self) -> list[tuple[str, bytes]]:
        """Take what is to be sent, each once: pairs of neighbour and message."""
        messages = list(self._outbox)
        self._outbox.clear()
        return messages

    def take_delivered(self) -> list[RelayedKeys]:
        """Take the keys of bundles from here that were delivered, each once."""
        delivered = self._delivered
        self._delivered = []
        return delivered

    def next_event(self) -> RelayEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    def start(self, routes: Sequence[Sequence[str]], count: int, *, now: float) -> UUID:
        """Send `count` new end-to-end keys over all the routes at once.

        Args:
            routes: Disjoint, from this node to one destination, `MAX_PATHS` at most.
            count: Keys, 1 to `MAX_BATCH`.
            now: Current time, seconds.

        Returns:
            The bundle; `BundleDelivered` or `BundleFailed` will name it, and
            `take_delivered` will give its keys.

        Raises:
            RelayError: The routes are wrong, a first hop has too few pads, or too much
                is under way.
            KeyStoreError: The store failed; pads may be lost, nothing is sent.
        """
        check_bundle(len(routes), count)
        named = tuple(tuple(route) for route in routes)
        self._check_routes(named, count)
        self._departures.check_room()
        bundle = UUID(bytes=self._random(16))
        longest = max(len(route) for route in named)
        departure = Departure(now + HOP_TIMEOUT * longest, named, [])
        messages = []
        try:
            for path, route in enumerate(named):
                shares = [Secret(self._random(SHARE_SIZE)) for _ in range(count)]
                departure.shares.append(shares)
                message = _unsealed(bundle, path, len(named), 0, route)
                data, answer_key = self._seal(message, shares)
                departure.answer_keys.append(answer_key)
                messages.append((route[1], data))
        except (RelayError, KeyStoreError):
            departure.wipe()
            raise
        self._departures.add(bundle, departure)
        self._outbox += messages
        return bundle

    def receive(self, peer: str, data: bytes, *, now: float) -> None:
        """Take a message that came from a neighbour; nothing it holds raises."""
        try:
            message = self._decode(peer, data)
            if isinstance(message, RelayAnswer):
                self._receive_answer(peer, message)
            else:
                self._receive_keys(peer, message, now)
        except RelayError as error:
            self._events.append(MessageRefused(peer, error))

    def cancel(self, bundle: UUID) -> None:
        """Erase a bundle of this node's that nobody wants any more.

        Its keys may still come to be stored at the destination; here there are none.
        """
        self._departures.cancel(bundle)

    def lose(self, peer: str, data: bytes, *, now: float) -> None:
        """Note that a message to a neighbour could not be sent.

        A batch is answered as lost at that neighbour, now and not when time is up.
        """
        message = self._decode(peer, data)
        if not isinstance(message, RelayKeys):
            return
        forwarded = self._forwarded.get((message.bundle, message.path))
        if forwarded is not None and forwarded.downstream == peer:
            self._forwarded[message.bundle, message.path] = replace(
                forwarded, deadline=now
            )
        elif self._departures.cancel(message.bundle):
            error = failure(RelayFault.LOST, peer)
            self._events.append(BundleFailed(message.bundle, error))

    def close(self) -> None:
        """Erase all that is under way."""
        self._departures.clear()
        self._arrivals.clear()
        for forwarded in self._forwarded.values():
            forwarded.downstream_key.wipe()
            forwarded.upstream.key.wipe()
        self._forwarded.clear()
        for relayed in self.take_delivered():
            relayed.wipe()

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        timers = [each.deadline for each in self._forwarded.values()]
        others = (self._departures.get_timer(), self._arrivals.get_timer())
        return min(
            (*timers, *(each for each in others if each is not None)), default=None
        )

    def handle_timer(self, *, now: float) -> None:
        """Give up what was not answered in time, and say so upstream."""
        self._arrivals.expire(now)
        for bundle, silent in self._departures.expire(now):
            error = failure(RelayFault.LOST, silent)
            self._events.append(BundleFailed(bundle, error))
        late = [key for key, each in self._forwarded.items() if each.deadline <= now]
        for key in late:
            forwarded = self._forwarded.pop(key)
            forwarded.downstream_key.wipe()
            self._answer(forwarded.upstream, Outcome.LOST, forwarded.downstream)

    # Sending

    def _check_routes(self, routes: tuple[tuple[str, ...], ...], count: int) -> None:
        check_disjoint(routes)
        for route in routes:
            if route[0] != self._name or route[1] not in self._outgoing:
                raise RelayError(
                    f"{self._name} has no link to start this route with",
                    "correct the route",
                    fault=RelayFault.UNKNOWN_NODE,
                    node=self._name,
                )
        for route in routes:
            if self._outgoing[route[1]].left() < count + PADS_OF_MESSAGE:
                stock = stock_name(self._name, route[1])
                raise RelayError(
                    f"{stock} has too few pads for {count} keys",
                    "wait for the link's KME to deliver, or relay fewer keys",
                    fault=RelayFault.PADS_EXHAUSTED,
                    node=self._name,
                )

    def _seal(
        self, message: RelayKeys, shares: Sequence[Secret]
    ) -> tuple[bytes, Secret]:
        """Consume pads, make the message; return it and the key of its answer."""
        peer = message.route[message.hop + 1]
        holder = f"relay {message.bundle} {message.path} out"
        pads = self._outgoing[peer].draw(len(shares) + PADS_OF_MESSAGE, holder=holder)
        return seal_keys(message, shares, pads), pads[1][1]

    # Batches that arrive

    def _decode(self, peer: str, data: bytes) -> RelayKeys | RelayAnswer:
        if peer not in self._incoming:
            raise RelayError(
                "a stranger sent a relay message", fault=RelayFault.WRONG_HOP
            )
        return decode_message(data)

    def _receive_keys(self, peer: str, message: RelayKeys, now: float) -> None:
        route, hop = message.route, message.hop
        if (route[hop], route[hop + 1]) != (peer, self._name):
            raise RelayError(
                "a message was made for another hop", fault=RelayFault.WRONG_HOP
            )
        try:
            upstream, shares = self._open(peer, message)
        except RelayError as error:
            if error.fault is not RelayFault.FORGED:
                self._refuse(peer, message, _OUTCOMES[error.fault])
            raise
        except KeyStoreError as error:
            self._refuse(peer, message, Outcome.STORE)
            raise _store_failed(error) from None
        try:
            if hop + 2 == len(route):
                self._deliver(upstream, message, shares, now)
            else:
                self._forward(upstream, message, shares, now)
        except RelayError as error:
            outcome = _OUTCOMES.get(error.fault, Outcome.OUT_OF_STEP)
            self._answer(upstream, outcome, self._name)
            raise
        except KeyStoreError as error:
            self._answer(upstream, Outcome.STORE, self._name)
            raise _store_failed(error) from None

    def _open(self, peer: str, message: RelayKeys) -> tuple[_Upstream, list[Secret]]:
        """Steps 1 and 2: verify on loan, consume, decrypt."""
        pads = self._incoming[peer]
        holder = f"relay {message.bundle} {message.path} in {message.mac_id}"
        try:
            loan = pads.borrow(message.mac_id, holder=holder)
            try:
                candidates = pads.candidates(message.pad_tags)
                pad_ids = verify_keys(message, loan, candidates)
            finally:
                loan.wipe()
            used = [message.mac_id, message.answer_id, *pad_ids]
            mac_key, answer_key, *keys = pads.claim(used, holder=holder)
        finally:
            self._store.uses.release(holder)
        mac_key.wipe()
        upstream = _Upstream(peer, message.bundle, message.path, answer_key)
        return upstream, open_keys(message, keys)

    def _deliver(
        self, upstream: _Upstream, message: RelayKeys, shares: list[Secret], now: float
    ) -> None:
        relayed = self._arrivals.add(message, shares, now=now)
        if relayed is None:
            self._answer(upstream, Outcome.HELD, self._name)
            return
        self._hand_over(relayed)
        self._answer(upstream, Outcome.DELIVERED, self._name)

    def _forward(
        self, upstream: _Upstream, message: RelayKeys, shares: list[Secret], now: float
    ) -> None:
        try:
            hop = message.hop + 1
            peer = message.route[hop + 1]
            name = (message.bundle, message.path)
            if peer not in self._outgoing or not self._is_relay:
                raise RelayError(
                    f"no keys are carried on to {peer}", fault=RelayFault.UNKNOWN_NODE
                )
            if len(self._forwarded) >= MAX_FORWARDED or name in self._forwarded:
                raise RelayError("too much is under way", fault=RelayFault.BUSY)
            onward = _unsealed(*name, message.paths, hop, message.route)
            data, answer_key = self._seal(onward, shares)
        finally:
            for share in shares:
                share.wipe()
        deadline = now + HOP_TIMEOUT * (len(message.route) - 1 - hop)
        self._forwarded[name] = _Forwarded(upstream, peer, answer_key, deadline)
        self._outbox.append((peer, data))
        self._events.append(BatchForwarded(*name, upstream.peer, peer))

    def _hand_over(self, relayed: RelayedKeys) -> None:
        try:
            self._sink.take(relayed)
        finally:
            relayed.wipe()
        count = len(relayed.keys)
        self._events.append(BundleArrived(relayed.bundle, relayed.peer, count))

    # Answers

    def _answer(self, upstream: _Upstream, outcome: Outcome, node: str) -> None:
        answer = RelayAnswer(upstream.bundle, upstream.path, outcome, node)
        sealed = seal_answer(answer, upstream.key, sender=self._name, to=upstream.peer)
        self._outbox.append((upstream.peer, sealed))

    def _refuse(self, peer: str, message: RelayKeys, outcome: Outcome) -> None:
        """Say that a message could not be opened; untagged, for want of a key."""
        refusal = RelayAnswer(
            message.bundle, message.path, outcome, self._name, sealed=False
        )
        self._outbox.append((peer, encode_answer(refusal)))

    def _receive_answer(self, peer: str, answer: RelayAnswer) -> None:
        name = (answer.bundle, answer.path)
        forwarded = self._forwarded.get(name)
        if forwarded is not None and forwarded.downstream == peer:
            self._check_answer(peer, answer, forwarded.downstream_key)
            self._note_step(peer, answer)
            del self._forwarded[name]
            forwarded.downstream_key.wipe()
            self._answer(forwarded.upstream, answer.outcome, answer.node)
            return
        key = self._departures.answer_key(answer, peer)
        if key is None:
            raise RelayError(
                "an answer came to nothing that is under way",
                fault=RelayFault.UNEXPECTED,
            )
        self._check_answer(peer, answer, key)
        self._note_step(peer, answer)
        try:
            relayed = self._departures.settle(answer)
        except RelayError as error:
            self._events.append(BundleFailed(answer.bundle, error))
            return
        if relayed is not None:
            self._delivered.append(relayed)
            count = len(relayed.keys)
            self._events.append(BundleDelivered(answer.bundle, relayed.peer, count))

    def _note_step(self, peer: str, answer: RelayAnswer) -> None:
        """Say so if the next node does not hold the pads that this one used."""
        if answer.node == peer and answer.outcome in _OUT_OF_STEP:
            self._events.append(HopOutOfStep(peer))

    def _check_answer(self, peer: str, answer: RelayAnswer, key: Secret) -> None:
        if answer.sealed:
            verify_answer(answer, key, sender=peer, to=self._name)
        elif answer.outcome not in FAULTS:
            raise RelayError("a success came without a tag", fault=RelayFault.FORGED)


def _unsealed(
    bundle: UUID, path: int, paths: int, hop: int, route: tuple[str, ...]
) -> RelayKeys:
    return RelayKeys(bundle, path, paths, hop, route, _NOBODY, _NOBODY, (), b"")


def _store_failed(error: KeyStoreError) -> RelayError:
    return RelayError(error.message, error.hint, fault=RelayFault.STORE)
