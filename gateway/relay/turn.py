"""A relay node's work in one call to the store's thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.errors import GatewayError, KeyStoreError, RelayError
from gateway.relay.events import RelayedKeys, RelayEvent
from gateway.relay.node import RelayNode

TURN: Final = 0.02
"""Seconds after which the store's thread is given back, so that rotations, which need
it too, do not wait for a full queue of the relay. A message under way is finished."""

Message = tuple[str, bytes]
"""A neighbour, and what came from it or goes to it."""

Start = tuple[Sequence[Sequence[str]], int]
"""Routes of a bundle, and how many keys."""


@dataclass(frozen=True, slots=True)
class Work:
    """What waits to be done.

    Attributes:
        messages: That came; the oldest first.
        starts: Bundles to be sent.
        cancelled: Bundles to be forgotten.
        unsent: Messages that could not be sent.
    """

    messages: Sequence[Message]
    starts: Sequence[Start]
    cancelled: Sequence[UUID]
    unsent: Sequence[Message]


@dataclass(slots=True)
class Turn:
    """What was done of it, and what follows.

    Attributes:
        received: How many of the messages were taken.
        started: For each of the bundles that were begun its name, or why it is none.
        to_send: Messages to send.
        delivered: Keys of this node's bundles.
        events: What is to be told.
        timer: When the next turn is due at the latest, or None.
    """

    received: int = 0
    started: list[UUID | GatewayError] = field(default_factory=list)
    to_send: list[Message] = field(default_factory=list)
    delivered: list[RelayedKeys] = field(default_factory=list)
    events: list[RelayEvent] = field(default_factory=list)
    timer: float | None = None


def take_turn(node: RelayNode, work: Work, clock: Callable[[], float]) -> Turn:
    """Do as much as `TURN` allows; called in the store's thread."""
    turn = Turn()
    until = clock() + TURN
    for bundle in work.cancelled:
        node.cancel(bundle)
    for peer, data in work.unsent:
        node.lose(peer, data, now=clock())
    for peer, data in work.messages:
        if clock() >= until:
            break
        node.receive(peer, data, now=clock())
        turn.received += 1
    # At least one, so that no flood of messages holds up who asks for keys.
    for routes, count in work.starts:
        if turn.started and clock() >= until:
            break
        turn.started.append(_start(node, routes, count, clock()))
    node.handle_timer(now=clock())
    turn.to_send = node.messages_to_send()
    turn.delivered = node.take_delivered()
    while (event := node.next_event()) is not None:
        turn.events.append(event)
    turn.timer = node.get_timer()
    return turn


def _start(
    node: RelayNode, routes: Sequence[Sequence[str]], count: int, now: float
) -> UUID | GatewayError:
    try:
        return node.start(routes, count, now=now)
    except (RelayError, KeyStoreError) as error:
        # Its frames know the shares.
        return error.with_traceback(None)
