"""The initiator's part of a driver: finds the peer, offers keys, installs, commits."""

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import DataPlaneError, GatewayError, KeyStoreError
from gateway.events.bus import publish
from gateway.events.faults import InternalFault
from gateway.handshake.events import (
    EpochCommitted,
    EpochPrepared,
    HandshakeFailed,
    HandshakeID,
    HandshakeRefused,
    QKDKeyRequested,
)
from gateway.host.path import Path, SocketAddress
from gateway.tunnels.eager import start_eagerly
from gateway.tunnels.peer_addresses import Whereabouts
from gateway.tunnels.plane import installation_of
from gateway.tunnels.state import TunnelState
from gateway.wire.payloads import Policy, Status, keys_that_fit

if TYPE_CHECKING:
    from uuid import UUID

UNANSWERED: Final = frozenset({"timeout", "unconfirmed"})
"""Ends of a handshake that may mean that the peer is elsewhere."""


class InitiatorDriver:
    """Carries out what the handshakes that this end starts ask for.

    One handshake is under way at a time; a later one replaces it.
    """

    def __init__(self, state: TunnelState) -> None:
        self._state = state
        self._machine = state.context.machine
        self._holder = f"{state.name}/initiator"
        self._whereabouts = Whereabouts(
            state.context.resolver, state.config.endpoint, state.record.peer_address()
        )
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._handshake: HandshakeID | None = None
        self._offered: tuple[UUID, ...] = ()
        self._offer = b""
        self._key_spent = False
        self._prepared: EpochPrepared | None = None

    def is_own(self, handshake: HandshakeID) -> bool:
        """Whether a handshake is the one under way here."""
        return handshake == self._handshake

    def is_committing(self) -> bool:
        """Whether M3 is out, or about to be, and M4 is not in."""
        return self._prepared is not None

    def abort(self, detail: str) -> None:
        """Give up what is under way."""
        if self._handshake is not None:
            self._machine.abort(self._handshake, detail)
        self._prepared = None

    async def stop(self) -> None:
        """Stop looking for the peer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def start(self, epoch: int) -> asyncio.Task[None] | None:
        """Begin beside the queue: a slow resolver must not delay a block.

        Returns:
            What is not yet done of it, or None if the handshake has begun.
        """
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._whereabouts.reconfigure(self._state.config.endpoint)
        address = self._whereabouts.known(self._heard_from())
        if address is None:
            self._task = self._loop.create_task(self._start(epoch, None))
        else:
            self._task = start_eagerly(self._start(epoch, address), self._loop)
        return self._task

    def peer_silent(self) -> None:
        """The peer no longer answers where it was heard."""
        self._whereabouts.failed()

    async def provide_key(self, event: QKDKeyRequested) -> None:
        """Consume the key that the responder chose, and go on with it."""
        stock = self._state.stock
        try:
            await stock.retire(self._offered, event.used)
            key = await stock.consume(event.key_id, self._holder)
        except KeyStoreError as error:
            self._machine.refuse_qkd_key(event.handshake, error.message)
            return
        self._key_spent = True
        stock.note_unknown(unknown=False)
        self._machine.provide_qkd_key(event.handshake, key, now=self._state.now)

    async def prepare(self, event: EpochPrepared) -> None:
        """Make receiving work, then send M3."""
        state = self._state
        try:
            install = installation_of(
                event, state.config, self._offer, state.context, initiator=True
            )
            await state.plane.prepare(install)
        except GatewayError as error:
            self._machine.abort(event.handshake, error.message)
            return
        if state.is_down():
            return
        self._prepared = event
        state.peer_terms = event.terms
        state.rotation.prepared(event.epoch)
        self._machine.commit(event.handshake, now=state.now)
        if event.key_id is None:
            # Else `provide_key` has done it. Kept, they would be offered for ever.
            await state.stock.retire(self._offered, event.used)

    async def activate(self, event: EpochCommitted) -> None:
        """Move sending to the epoch that the responder has confirmed."""
        state = self._state
        if state.is_down():
            return
        prepared = self._prepared
        if prepared is None or prepared.epoch != event.epoch:
            raise GatewayError(f"epoch {event.epoch} was committed but not prepared")
        self._handshake = self._prepared = None
        self._whereabouts.answered()
        try:
            await state.let_first_pass()
            await state.plane.activate(event.epoch)
        except GatewayError as error:
            state.failed_because("plane", error)
        else:
            if not state.is_down():
                why = state.why_without(len(self._offered), by_peer=False)
                state.committed(prepared, why)
        await state.stock.release(self._holder)

    async def refused(self, event: HandshakeRefused) -> None:
        """Learn from a responder that said no."""
        state = self._state
        self._handshake = None
        self._whereabouts.answered()
        state.peer_terms = event.terms
        await state.stock.retire(self._offered, event.used)
        await state.stock.release(self._holder)
        lacks = event.status is Status.QKD_UNAVAILABLE and bool(self._offered)
        state.stock.note_unknown(unknown=lacks and not event.used)
        if event.status is Status.STALE_EPOCH:
            if state.rotation.rotations:
                # In this run it had agreed with us on every epoch until now.
                state.twins.of_ours(now=state.now)
            state.rotation.behind(event.epoch, now=state.now)
        else:
            state.refused(event.status, event.terms, state.name)
            if event.used:
                state.rotation.learned(now=state.now)

    async def failed(self, event: HandshakeFailed) -> None:
        """Clean up after an attempt that ended without keys."""
        state = self._state
        self._handshake = None
        await state.stock.release(self._holder)
        if event.reason in UNANSWERED:
            self._whereabouts.failed()
        state.failed(event.reason, event.detail, key_spent=self._key_spent)

    async def _start(self, epoch: int, address: SocketAddress | None) -> None:
        state = self._state
        try:
            if address is None:
                address = await self._whereabouts.find(self._heard_from())
            await self._start_handshake(epoch, address)
        except GatewayError as error:
            await state.stock.release(self._holder)
            reason = _reason_of(error)
            if reason == "endpoint":
                self._whereabouts.failed()
            state.failed_because(reason, error)
        except Exception as error:  # noqa: BLE001
            publish(
                InternalFault(f"while starting epoch {epoch}", error, tunnel=state.name)
            )
            state.failed("fault", "internal fault; see the log")

    def _heard_from(self) -> SocketAddress | None:
        """Return where the peer was last heard, authentically."""
        known = self._machine.peer_address(self._state.name)
        return known.remote if isinstance(known, Path) else None

    async def _start_handshake(self, epoch: int, address: SocketAddress) -> None:
        state = self._state
        # Offered in every epoch: a responder that lost the chain needs one at once, and
        # what it does not choose is given back. The source is asked only if one is due,
        # or if that may be why the last attempt failed.
        due = self._machine.qkd_due(state.name)
        draw = due or state.rotation.failures_in_row > 0
        offered = keys_that_fit(await state.stock.reserve(self._holder, draw=draw))
        if not offered and due and state.parameters.policy is Policy.REQUIRED:
            link = state.config.link
            raise KeyStoreError(
                f"no QKD key in stock of link {link}, and qkd = required",
                state.context.links.trouble(link or "")
                or f"import keys: qgw keystore import --link {link} FILE; or check "
                "the link",
            )
        offer = await state.plane.offer(epoch)
        if state.is_down():
            await state.stock.release(self._holder)
            return
        path = state.context.sockets.path_to(address, state.config.local_address)
        self._offer = offer
        self._offered = offered
        self._key_spent = False
        self._handshake = self._machine.start_handshake(
            state.name,
            epoch=epoch,
            key_ids=offered,
            plane_offer=offer,
            address=path,
            now=state.now,
        )


def _reason_of(error: GatewayError) -> str:
    """Name the part that kept a handshake from starting."""
    match error:
        case KeyStoreError():
            return "qkd"
        case DataPlaneError():
            return "plane"
        case _:
            return "endpoint"
