"""The responder's part of a driver: lends a key, then consumes, installs, confirms."""

from typing import Final

from gateway.errors import GatewayError
from gateway.events.bus import publish
from gateway.events.tunnels import InitiationUnanswered
from gateway.handshake.events import (
    CommitReceived,
    HandshakeFailed,
    HandshakeID,
    InitiationReceived,
    InitiationRefused,
)
from gateway.tunnels.plane import installation_of
from gateway.tunnels.state import TunnelState
from gateway.wire.control import Close, CloseReason
from gateway.wire.payloads import Status

MAX_ANSWERS: Final = 8
"""Plane offers kept for handshakes that no M3 has followed: twice the machine's cap."""


class ResponderDriver:
    """Carries out what the handshakes that the peer starts ask for."""

    def __init__(self, state: TunnelState) -> None:
        self._state = state
        self._machine = state.context.machine
        self._offers: dict[HandshakeID, bytes] = {}
        self._offered = 0

    async def answer(self, event: InitiationReceived) -> None:
        """Look for a QKD key and say yes, or no; nothing is consumed yet."""
        state = self._state
        if state.is_down():
            self._machine.refuse_initiation(event.handshake, Status.NOT_READY)
            # It may not have heard: then it would go on trying as if we were coming.
            self._machine.send_control(state.name, Close(CloseReason.REMOVED))
            return
        request = event.request
        state.peer_terms = request.terms
        self._offered = len(request.key_ids)
        holder = self._holder(event.handshake)
        try:
            wanted = request.key_ids if event.qkd_wanted else ()
            key, used = await state.stock.choose(wanted, holder)
            offer = await state.plane.offer(request.epoch)
        except GatewayError as error:
            publish(InitiationUnanswered(state.name, error.message))
            self._machine.refuse_initiation(event.handshake, Status.NOT_READY)
            return
        self._offers[event.handshake] = offer
        while len(self._offers) > MAX_ANSWERS:
            del self._offers[next(iter(self._offers))]
        self._machine.accept_initiation(
            event.handshake, plane_offer=offer, qkd=key, used=used
        )

    async def install(self, event: CommitReceived) -> None:
        """Consume the key, install the epoch and send M4; or none of it."""
        state = self._state
        holder = self._holder(event.handshake)
        offer = self._offers.pop(event.handshake, b"")
        if state.is_down():
            self._machine.abort(event.handshake, "the tunnel is taken down")
            return
        try:
            if event.key_id is not None:
                # Durable before any key made with it reaches the kernel.
                await state.stock.consume(event.key_id, holder)
            install = installation_of(
                event, state.config, offer, state.context, initiator=False
            )
            await state.let_first_pass()
            await state.plane.install(install)
        except GatewayError as error:
            self._machine.abort(event.handshake, error.message)
            await state.stock.release(holder)
            await state.plane.discard(event.epoch)
            state.failed_because("install", error)
            return
        if state.is_down():
            self._machine.abort(event.handshake, "the tunnel is taken down")
            return
        self._machine.confirm(event.handshake, now=state.now)
        state.peer_terms = event.terms
        why = state.why_without(self._offered, by_peer=True)
        state.committed(event, why)

    def note_refusal(self, event: InitiationRefused) -> None:
        """Tell this end's operator what the peer was told."""
        state = self._state
        state.peer_terms = event.terms
        if event.status is not Status.STALE_EPOCH:
            state.refused(event.status, event.terms, event.tunnel)

    async def failed(self, event: HandshakeFailed) -> None:
        """Give back what an attempt that came to nothing had reserved."""
        self._offers.pop(event.handshake, None)
        await self._state.stock.release(self._holder(event.handshake))

    def _holder(self, handshake: HandshakeID) -> str:
        return f"{self._state.name}/{handshake.hex()}"
