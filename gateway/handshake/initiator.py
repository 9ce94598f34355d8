"""The machine's initiator side: what it sends, waits for and tries again.

`states` has the states of a handshake as a table, with the rules above it.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import CryptoError, ProtocolError
from gateway.handshake import limits
from gateway.handshake.attempts import InitiatorHandshake, TunnelHandshakes
from gateway.handshake.cookies import NO_MAC, make_mac2
from gateway.handshake.core import Core
from gateway.handshake.events import (
    Address,
    EpochCommitted,
    EpochPrepared,
    HandshakeFailed,
    HandshakeID,
    HandshakeRefused,
    QKDKeyRequested,
)
from gateway.handshake.freshness import qkd_age
from gateway.handshake.noise.initiator import (
    ResponseRead,
    consume_committed,
    consume_response,
    create_commit,
    create_initiation,
    finish_response,
)
from gateway.handshake.noise.symmetric import Chain, QKDKey, SymmetricInputs
from gateway.handshake.pace import commit_timeout, doubt_timeout, first_rto, max_rto
from gateway.handshake.policy import objection
from gateway.handshake.session import Session
from gateway.handshake.states import (
    GIVEN_UP,
    InitiatorInput,
    InitiatorState,
    InitiatorStep,
)
from gateway.secret import Secret
from gateway.wire.fragments import number_fragments, split_message
from gateway.wire.header import (
    HEADER_SIZE,
    INITIATION_OVERHEAD,
    Header,
    Type,
    encode_header,
)
from gateway.wire.payloads import InitiationPayload, Status, keys_that_fit

RETRY_TIMER: Final = "retry"


class InitiatorSide:
    """Runs the handshakes that this gateway starts."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # -- What the driver calls

    def start(
        self,
        tunnel: TunnelHandshakes,
        *,
        epoch: int,
        key_ids: Sequence[UUID],
        plane_offer: bytes,
        address: Address,
        now: float,
    ) -> HandshakeID:
        """Send M1; whatever handshake was under way is given up.

        Raises:
            ValueError: Too many QKD keys, or one of them twice.
        """
        core = self._core
        offered = tuple(key_ids)
        if offered != keys_that_fit(offered) or len(set(offered)) != len(offered):
            raise ValueError("more QKD keys than fit an offer, or one twice")
        if tunnel.handshake is not None:
            self.fail(tunnel.handshake, "superseded", "a newer handshake was started")
        handshake = InitiatorHandshake(core.new_id(), tunnel, epoch, offered, address)
        parameters = tunnel.parameters
        payload = InitiationPayload(
            tunnel.name,
            epoch,
            tunnel.terms,
            handshake.chain.chain_id if handshake.chain else None,
            offered,
            plane_offer,
        )
        handshake.sent = create_initiation(
            parameters.local,
            parameters.peer,
            tunnel.static_secret,
            payload,
            session_id=handshake.handshake_id,
            random=core.random,
        )
        handshake.deadline = now + limits.INITIATION_TIMEOUT
        handshake.rto = first_rto(tunnel.round_trip)
        tunnel.handshake = handshake
        core.holders[handshake.handshake_id] = handshake
        handshake.sent_at = now
        self._transmit(handshake, now=now)
        self._arm(handshake, now=now)
        return handshake.handshake_id

    def provide_key(
        self, handshake: InitiatorHandshake, secret: Secret, *, now: float
    ) -> None:
        """Continue with the QKD key that the responder chose."""
        read = handshake.read
        if not handshake.takes(InitiatorInput.KEY) or read is None:
            return
        key_id = read.payload.key_id
        assert key_id is not None  # noqa: S101  # state KEY is entered with one
        handshake.qkd = QKDKey(key_id, secret)
        self._finish(handshake, read, now=now)

    def commit(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send M3: the driver has prepared receiving."""
        if not handshake.takes(InitiatorInput.PREPARED):
            return
        keys, read = handshake.keys, handshake.read
        assert keys is not None and read is not None  # noqa: S101, PT018  # VERIFIED
        remote_id = read.payload.session_id
        header = encode_header(Type.COMMIT, remote_id)
        handshake.commit = header + create_commit(keys, header)
        handshake.session = Session(
            handshake.tunnel.name,
            handshake.epoch,
            keys,
            initiator=True,
            local_id=handshake.handshake_id,
            remote_id=remote_id,
        )
        handshake.move(InitiatorStep.COMMIT)
        handshake.deadline = now + commit_timeout(handshake.tunnel.parameters.interval)
        handshake.rto = first_rto(handshake.tunnel.round_trip)
        self._core.send(handshake.commit, handshake.address)
        self._arm(handshake, now=now)

    def fail(self, handshake: InitiatorHandshake, reason: str, detail: str) -> None:
        """End a handshake without keys."""
        handshake.move(InitiatorStep.END)
        self._forget(handshake)
        self._core.emit(
            HandshakeFailed(
                handshake.handshake_id, handshake.tunnel.name, reason, detail
            )
        )

    def abandon(self, tunnel: TunnelHandshakes, detail: str) -> None:
        """End what the peer cannot have committed."""
        handshake = tunnel.handshake
        if handshake is not None and handshake.state is not InitiatorState.COMMITTING:
            self.fail(handshake, "aborted", detail)

    # -- What arrives

    def receive_response(
        self,
        handshake: InitiatorHandshake,
        header: Header,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Take in one fragment of M2."""
        core, tunnel = self._core, handshake.tunnel
        local = tunnel.parameters.local
        start, mac1 = data[:-MAC_SIZE], data[-MAC_SIZE:]
        identity = core.identities[local.public.fingerprint]
        if not identity.seal.verify_mac1(start, mac1):
            raise ProtocolError("mac1")
        if not handshake.takes(InitiatorInput.RESPONSE):
            raise ProtocolError("duplicate")
        message = core.responses.add(
            header.session_id, header.index, header.count, start[HEADER_SIZE:], now=now
        )
        if message is None:
            return
        read = consume_response(handshake.sent, local, message)
        core.alive(tunnel, now=now)
        # Of a retransmitted M1 this is an upper bound, which a timer may safely use.
        tunnel.round_trip = now - handshake.sent_at
        handshake.read = read
        handshake.address = core.answered(handshake.address, address)
        handshake.answered = address
        self._judge(handshake, read, now=now)

    def receive_committed(
        self,
        handshake: InitiatorHandshake,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Take in M4."""
        keys = handshake.keys
        if not handshake.takes(InitiatorInput.CONFIRMATION) or keys is None:
            raise ProtocolError("unexpected")
        consume_committed(keys, data[:HEADER_SIZE], data[HEADER_SIZE:])
        self._committed(handshake, address, now=now)

    def receive_early_control(
        self,
        handshake: InitiatorHandshake,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> Session:
        """Take a control message under the new epoch's keys as the M4 that was lost.

        Only a responder that has committed can have sealed it. The message itself
        is lost; the sender repeats what matters.
        """
        session = handshake.session
        if not handshake.takes(InitiatorInput.CONTROL) or session is None:
            raise ProtocolError("unexpected")
        session.open(data)
        self._committed(handshake, address, now=now)
        return session

    def receive_cookie(
        self, handshake: InitiatorHandshake, data: bytes, *, now: float
    ) -> None:
        """Take in a cookie, and send M1 again with it, once."""
        tunnel = handshake.tunnel
        if not handshake.takes(InitiatorInput.COOKIE) or not handshake.first_mac1:
            raise ProtocolError("unexpected")
        tunnel.cookie = tunnel.seal.open_cookie(data, handshake.first_mac1)
        tunnel.cookie_expires = now + limits.COOKIE_USE
        self._transmit(handshake, now=now)
        handshake.first_mac1 = b""

    def handle_timer(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send again, or give up."""
        if now >= handshake.deadline:
            self._give_up(handshake)
            return
        # Grows to the bound, and never shrinks to it from a long round trip.
        bound = max(max_rto(handshake.tunnel.parameters.interval), handshake.rto)
        handshake.rto = min(handshake.rto * limits.RTO_GROWTH, bound)
        if handshake.state is InitiatorState.SENT:
            self._transmit(handshake, now=now)
        elif handshake.state is InitiatorState.COMMITTING:
            self._core.send(handshake.commit, handshake.address)
        self._arm(handshake, now=now)

    # -- Steps

    def _judge(
        self, handshake: InitiatorHandshake, read: ResponseRead, *, now: float
    ) -> None:
        """Act on an authentic answer."""
        payload, tunnel = read.payload, handshake.tunnel
        used = _used(handshake, read)
        if payload.status is not Status.ACCEPTED:
            finish_response(read, SymmetricInputs(None, None, None))
            handshake.move(InitiatorStep.END)
            self._forget(handshake)
            self._core.emit(
                HandshakeRefused(
                    handshake.handshake_id,
                    tunnel.name,
                    payload.status,
                    payload.terms,
                    payload.epoch,
                    used,
                )
            )
            return
        refusal = objection(handshake, payload)
        if refusal:
            self.fail(handshake, "policy", refusal)
        elif payload.key_id is None or handshake.qkd is not None:
            self._finish(handshake, read, now=now)
        else:
            handshake.move(InitiatorStep.CHOOSE)
            self._core.emit(
                QKDKeyRequested(
                    handshake.handshake_id, tunnel.name, payload.key_id, used
                )
            )

    def _finish(
        self, handshake: InitiatorHandshake, read: ResponseRead, *, now: float
    ) -> None:
        """Verify M2 whole; prepare, or wait for an M2 that nobody tampered with."""
        payload, tunnel = read.payload, handshake.tunnel
        chain = handshake.chain if payload.chained else None
        inputs = SymmetricInputs(tunnel.parameters.psk, chain, handshake.qkd)
        try:
            handshake.keys = finish_response(read, inputs)
        except CryptoError:
            handshake.move(InitiatorStep.DOUBT)
            if not handshake.suspicion:
                patience = doubt_timeout(tunnel.round_trip)
                handshake.deadline = min(handshake.deadline, now + patience)
                handshake.rto = first_rto(tunnel.round_trip)
            handshake.suspicion = (
                "the last tag of M2 fails: PSK, or bytes of the QKD key, differ "
                "between the two ends, or somebody tampers on the path"
            )
            self._core.drop("symmetric", handshake.address)
            self._arm(handshake, now=now)
            return
        handshake.move(InitiatorStep.VERIFY)
        handshake.qkd_age = qkd_age(chain, fresh=inputs.qkd is not None)
        self._core.emit(
            EpochPrepared(
                handshake.handshake_id,
                tunnel.name,
                handshake.epoch,
                handshake.keys,
                tunnel.sources(inputs),
                payload.key_id,
                handshake.qkd_age,
                payload.plane_offer,
                payload.terms,
                handshake.answered,
                _used(handshake, read),
            )
        )

    def _committed(
        self, handshake: InitiatorHandshake, address: Address, *, now: float
    ) -> None:
        core, tunnel = self._core, handshake.tunnel
        keys, session = handshake.keys, handshake.session
        assert keys is not None and session is not None  # noqa: S101, PT018  # COMMITTING
        handshake.move(InitiatorStep.CONFIRM)
        self._forget(handshake)
        tunnel.chains = (Chain(keys.chain_id, keys.chain, handshake.qkd_age),)
        core.install_session(tunnel, session, now=now)
        at = core.answered(handshake.address, address)
        installed = core.remote_of(handshake.answered) == core.remote_of(address)
        core.heard(tunnel, at, now=now, keyed=installed)
        core.emit(
            EpochCommitted(
                handshake.handshake_id, tunnel.name, handshake.epoch, address
            )
        )

    def _give_up(self, handshake: InitiatorHandshake) -> None:
        reason, detail = GIVEN_UP[handshake.state]
        if handshake.state is InitiatorState.SENT and handshake.suspicion:
            reason, detail = "symmetric", handshake.suspicion
        self.fail(handshake, reason, detail)

    def _transmit(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send every fragment of M1, with a cookie if the peer asked for one."""
        tunnel, message = handshake.tunnel, handshake.sent.message
        bodies = split_message(message, self._core.mtu - INITIATION_OVERHEAD)
        cookie = tunnel.cookie if now < tunnel.cookie_expires else b""
        numbered = number_fragments(Type.INITIATION, handshake.handshake_id, bodies)
        for index, start in enumerate(numbered):
            mac1 = tunnel.seal.mac1(start)
            if index == 0:
                handshake.first_mac1 = mac1
            mac2 = make_mac2(cookie, start + mac1) if cookie else NO_MAC
            self._core.send(start + mac1 + mac2, handshake.address)

    def _arm(self, handshake: InitiatorHandshake, *, now: float) -> None:
        when = min(now + handshake.rto, max(handshake.deadline, now))
        self._core.timers.set((RETRY_TIMER, handshake.handshake_id), when)

    def _forget(self, handshake: InitiatorHandshake) -> None:
        core = self._core
        core.timers.cancel((RETRY_TIMER, handshake.handshake_id))
        core.holders.pop(handshake.handshake_id, None)
        if handshake.tunnel.handshake is handshake:
            handshake.tunnel.handshake = None


def _used(handshake: InitiatorHandshake, read: ResponseRead) -> tuple[UUID, ...]:
    """Name the keys offered that the responder says it has used up."""
    offered = handshake.offered
    return tuple(offered[i] for i in sorted(read.payload.used) if i < len(offered))
